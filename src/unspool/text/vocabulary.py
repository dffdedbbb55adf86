"""Which tokens have an id of their own, and the strict file that remembers them.

Ids 0 (padding) and 1 (unknown) are reserved and have no text; token k of the list has id k + 2. A vocabulary is
made from the training part alone. A token seen fewer than `min_count` times is in no file, so a model does not
carry a password that stood once in its data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from unspool.errors import ModelFileError, SettingError, shorten
from unspool.files import parse_json, to_json

PADDING, UNKNOWN, RESERVED = 0, 1, 2
MAX_TOKEN_LENGTH = 256  # a longer "word" is a data error or an attack; it stays unknown
MAX_TOKENS = 2**24
FILE_NAME = "vocabulary.json"
FORMAT = 1


class Vocabulary:
    """An ordered list of distinct tokens; `ids` maps a token to its id, `tokens[id - 2]` maps back."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self.ids = {token: number for number, token in enumerate(self.tokens, start=RESERVED)}
        if len(self.ids) != len(self.tokens):
            raise ValueError("a token stands twice in the vocabulary")

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], *, min_count: int, max_size: int | None) -> Vocabulary:
        """The tokens seen at least `min_count` times, commonest first, ties in alphabetical order.

        `max_size` caps the ids including the two reserved ones (None: no cap).
        """
        if min_count < 1:
            raise SettingError(f"min_count must be at least 1, got {min_count}")
        if max_size is not None and max_size <= RESERVED:
            raise SettingError(f"max_size must be above {RESERVED} (padding and unknown take two), got {max_size}")
        usual = [token for token, count in counts.items() if count >= min_count and _is_storable(token)]
        usual.sort(key=lambda token: (-counts[token], token))
        return cls(usual if max_size is None else usual[: max_size - RESERVED])

    def extended(self, words: Iterable[str], *, max_size: int | None) -> Vocabulary:
        """This vocabulary and, after its own tokens, those of `words` (of pretrained vectors) that it lacks."""
        added = (word for word in dict.fromkeys(words) if word not in self.ids and _is_storable(word))
        room = None if max_size is None else max(0, max_size - self.size)
        return Vocabulary([*self.tokens, *islice(added, room)])

    @property
    def size(self) -> int:
        """How many ids there are, the two reserved ones included."""
        return len(self.tokens) + RESERVED

    def to_file(self) -> bytes:
        """The content of vocabulary.json."""
        return to_json({"format": FORMAT, "tokens": list(self.tokens)})

    @classmethod
    def from_file(cls, content: bytes, expected_size: int) -> Vocabulary:
        """Strict reading of vocabulary.json; raises ModelFileError on anything unexpected."""
        found = parse_json(content, Path(FILE_NAME))
        if not isinstance(found, dict) or set(found) != {"format", "tokens"}:
            raise ModelFileError(f"{FILE_NAME} must hold exactly the entries format and tokens")
        check_format(found["format"], FILE_NAME)
        tokens = check_tokens(found["tokens"], FILE_NAME)
        check_size(len(tokens) + RESERVED, expected_size, FILE_NAME)
        return cls(tokens)


def check_size(found: int, expected: int, origin: str) -> None:
    """Refuse a vocabulary of another size than the model's settings say."""
    if found != expected:
        raise ModelFileError(f"{origin} holds {found} ids where the settings say {shorten(expected, 20)}")


def check_format(found: Any, origin: str) -> None:
    """Refuse a file format other than the one this version writes."""
    if type(found) is int and found > FORMAT:
        raise ModelFileError(f"{origin} was made by a newer version of unspool (format {shorten(found, 20)})")
    if type(found) is not int or found != FORMAT:
        raise ModelFileError(f"{origin} has format {shorten(repr(found), 40)}, expected {FORMAT}")


def check_tokens(found: Any, origin: str) -> list[str]:
    """The tokens if they are a list of distinct, storable strings of sane number and length."""
    if not isinstance(found, list) or len(found) > MAX_TOKENS:
        raise ModelFileError(f"{origin}: tokens must be a list of at most {MAX_TOKENS} strings")
    for token in found:
        if not isinstance(token, str) or not _is_storable(token):
            raise ModelFileError(f"{origin}: {shorten(repr(token))} is not a token")
    if len(set(found)) != len(found):
        raise ModelFileError(f"{origin}: a token stands twice")
    return found


def _is_storable(token: str) -> bool:
    """Lone surrogates cannot be written as UTF-8; they stay unknown."""
    return 0 < len(token) <= MAX_TOKEN_LENGTH and (token.isascii() or not any("\ud800" <= c <= "\udfff" for c in token))
