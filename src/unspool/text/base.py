"""What every tokenizer can do; word, char, byte and BPE each supply how.

A tokenizer turns a text into int32 token ids and back. Id 0 is padding and id 1 the unknown token; no text ever
yields 0, and nothing a user writes ("<pad>", "[UNK]") is special.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from unspool.text.ragged import Int32, Ragged, offsets_of
from unspool.text.vocabulary import PADDING, UNKNOWN

UNKNOWN_CHARACTER = "\ufffd"
RESERVED_NAMES = ("<padding>", "<unknown>")


class Tokenizer(ABC):
    """Base of the four kinds. `lowercase`: every text is lowercased first, which `lossless` admits."""

    level: ClassVar[str]
    reversible: ClassVar[bool]

    def __init__(self, *, lowercase: bool) -> None:
        self.lowercase = lowercase

    @property
    @abstractmethod
    def size(self) -> int:
        """How many ids there are, padding and unknown included: the rows of an embedding."""

    @abstractmethod
    def _append_ids(self, texts: Sequence[str], ids: array[int]) -> list[int]:
        """Add the ids of the texts, not yet lowercased, to a flat array; return how many each text has."""

    @abstractmethod
    def _spell(self, token_id: int) -> str:
        """The token's text; `token_id` is in range and not reserved."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text; exactly the encoded one when `lossless` and no token is unknown. Padding is left out."""

    @abstractmethod
    def to_files(self) -> dict[str, bytes]:
        """The files that, with `settings`, make this tokenizer again."""

    @property
    def lossless(self) -> bool:
        """Whether decode(encode(text)) == text for every text without unknown tokens."""
        return self.reversible and not self.lowercase

    @property
    def settings(self) -> dict[str, Any]:
        """What `load_tokenizer` needs besides the files: level, lowercase, size."""
        return {"level": self.level, "lowercase": self.lowercase, "size": self.size}

    def encode(self, text: str) -> Int32:
        """The token ids of one text, int32 (tokens,)."""
        return self.encode_all([text]).ids

    def encode_all(self, texts: Sequence[str]) -> Ragged:
        """The token ids of all texts, written straight into one flat array."""
        ids: array[int] = array("i")
        lengths = self._append_ids(texts, ids)
        return Ragged(np.frombuffer(ids, np.int32) if ids else np.empty(0, np.int32), offsets_of(lengths))

    def token(self, token_id: int) -> str:
        """The text of one token, for people to read; the two reserved ids have names in angle brackets."""
        if not 0 <= token_id < self.size:
            raise IndexError(f"token id {token_id} is outside 0 … {self.size - 1}")
        return RESERVED_NAMES[token_id] if token_id <= UNKNOWN else self._spell(int(token_id))

    def unknown_rate(self, ragged: Ragged) -> float:
        """The share of tokens that are unknown, 0 to 1."""
        return float((ragged.ids == UNKNOWN).mean()) if ragged.ids.size else 0.0

    def _known(self, ids: Iterable[int]) -> list[int]:
        """Plain ints without padding; raises IndexError for an id that does not exist."""
        found = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), np.int64).reshape(-1)
        if found.size and (found.min() < 0 or found.max() >= self.size):
            raise IndexError(f"token ids must lie in 0 … {self.size - 1}")
        kept: list[int] = found[found != PADDING].tolist()
        return kept


def append_array(ids: array[int], part: Int32) -> None:
    """Add a whole array of ids to a flat array without making Python integers of them."""
    ids.frombytes(np.ascontiguousarray(part).view(np.uint8).data)
