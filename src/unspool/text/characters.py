"""Character level (code points) and byte level (UTF-8): both through one look-up table.

A text becomes an array of numbers with one call of `str.encode`, and the ids are a gather from the table; texts
are joined to blocks first, because the call costs more than a short text does.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from unspool.text.base import UNKNOWN_CHARACTER, Tokenizer, append_array
from unspool.text.ragged import Int32
from unspool.text.vocabulary import FILE_NAME, RESERVED, UNKNOWN, Vocabulary

BLOCK = 2**18  # characters joined before they are looked up


class CharTokenizer(Tokenizer):
    """Ids of code points. A character outside the vocabulary is unknown and decodes to U+FFFD."""

    level = "char"
    reversible = True

    def __init__(self, vocabulary: Vocabulary, *, lowercase: bool) -> None:
        super().__init__(lowercase=lowercase)
        self.vocabulary = vocabulary
        codes = np.array([ord(token) for token in vocabulary.tokens], np.int64)
        # The last entry stands for every code point beyond the vocabulary's highest.
        self._table = np.full(int(codes.max(initial=0)) + 2, UNKNOWN, np.int32)
        self._table[codes] = np.arange(RESERVED, vocabulary.size, dtype=np.int32)

    @classmethod
    def train(cls, texts: Iterable[str], *, min_count: int, max_size: int | None, lowercase: bool) -> CharTokenizer:
        """A vocabulary of the characters of `texts`."""
        counts: Counter[str] = Counter()
        for _, joined in _blocks(texts, lowercase):
            counts.update(joined)
        return cls(Vocabulary.from_counts(counts, min_count=min_count, max_size=max_size), lowercase=lowercase)

    @property
    def size(self) -> int:
        """How many ids there are."""
        return self.vocabulary.size

    def decode(self, ids: Iterable[int]) -> str:
        """The text; an unknown character is U+FFFD."""
        return "".join(UNKNOWN_CHARACTER if i == UNKNOWN else self._spell(i) for i in self._known(ids))

    def to_files(self) -> dict[str, bytes]:
        """vocabulary.json"""
        return {FILE_NAME: self.vocabulary.to_file()}

    def _append_ids(self, texts: Sequence[str], ids: array[int]) -> list[int]:
        lengths: list[int] = []
        for block_lengths, joined in _blocks(texts, self.lowercase):
            lengths += block_lengths
            append_array(ids, self._look_up(joined))
        return lengths

    def _look_up(self, text: str) -> Int32:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        return self._table[np.minimum(codes, self._table.size - 1)]

    def _spell(self, token_id: int) -> str:
        return self.vocabulary.tokens[token_id - RESERVED]


class ByteTokenizer(Tokenizer):
    """Ids of UTF-8 bytes: byte b has id b + 2, nothing is ever unknown, no vocabulary is needed."""

    level = "byte"
    reversible = True

    @property
    def size(self) -> int:
        """258: padding, unknown, 256 bytes."""
        return 256 + RESERVED

    def decode(self, ids: Iterable[int]) -> str:
        """The text; bytes that are no UTF-8, and the unknown id, become U+FFFD."""
        unknown = UNKNOWN_CHARACTER.encode()
        content = b"".join(unknown if i == UNKNOWN else bytes([i - RESERVED]) for i in self._known(ids))
        try:
            return content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return content.decode("utf-8", "replace")

    def to_files(self) -> dict[str, bytes]:
        """None: the settings say it all."""
        return {}

    def _append_ids(self, texts: Sequence[str], ids: array[int]) -> list[int]:
        lengths = []
        for text in texts:
            content = (text.lower() if self.lowercase else text).encode("utf-8", "surrogatepass")
            append_array(ids, np.frombuffer(content, np.uint8).astype(np.int32) + np.int32(RESERVED))
            lengths.append(len(content))
        return lengths

    def _spell(self, token_id: int) -> str:
        byte = token_id - RESERVED
        return chr(byte) if 32 < byte < 127 else f"0x{byte:02x}"


def _blocks(texts: Iterable[str], lowercase: bool) -> Iterator[tuple[list[int], str]]:
    """(lengths of the texts, the texts joined), about BLOCK characters at a time."""
    pending: list[str] = []
    characters = 0
    for text in texts:
        pending.append(text.lower() if lowercase else text)
        characters += len(pending[-1])
        if characters >= BLOCK:
            yield [len(part) for part in pending], "".join(pending)
            pending, characters = [], 0
    if pending:
        yield [len(part) for part in pending], "".join(pending)
