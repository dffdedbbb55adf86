"""Word level: words, and punctuation marks one by one; white space is not kept.

A word is a run of letters, digits and underscores with the combining marks and joiners that belong to it (Python's
`\\w` knows no marks, which would cut Hindi or Thai words, and decomposed accents, to pieces), and may have
apostrophes inside ("don't"). Any other visible character is a token of its own.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Self

from unspool.text.base import UNKNOWN_CHARACTER, Tokenizer
from unspool.text.vocabulary import FILE_NAME, RESERVED, UNKNOWN, Vocabulary

CACHE_ENTRIES = 2**19
CACHED_LENGTH = 64


@lru_cache(maxsize=1)
def word_pattern() -> re.Pattern[str]:
    """The pattern of one token. No unbounded repeat stands inside another, so matching takes linear time."""
    marks = _combining_marks() + "\u200c\u200d"
    word = rf"\w[\w{marks}]*"
    return re.compile(rf"{word}(?:['’]{word})?(?:['’]{word})?|[^\w\s][{marks}]*")


def split_words(text: str) -> list[str]:
    """The tokens of a text, in order, as they stand."""
    return word_pattern().findall(text)


class WordTokenizer(Tokenizer):
    """Ids of words.

    No token reaches across white space, so the ids of a white-space-separated piece are remembered: running text
    repeats its pieces, and a dictionary look-up is several times faster than the pattern.
    """

    level = "word"
    reversible = False

    def __init__(self, vocabulary: Vocabulary, *, lowercase: bool) -> None:
        super().__init__(lowercase=lowercase)
        self.vocabulary = vocabulary
        self._pieces = _PieceIds(vocabulary, lowercase, self.split)

    @staticmethod
    def split(piece: str) -> list[str]:
        """The tokens of a piece of text without white space."""
        return split_words(piece)

    @classmethod
    def train(cls, texts: Iterable[str], *, min_count: int, max_size: int | None, lowercase: bool) -> Self:
        """A vocabulary of the words of `texts`."""
        pieces: Counter[str] = Counter()
        for text in texts:
            pieces.update(text.split())
        counts: Counter[str] = Counter()
        for piece, count in pieces.items():
            for word in cls.split(piece.lower() if lowercase else piece):
                counts[word] += count
        return cls(Vocabulary.from_counts(counts, min_count=min_count, max_size=max_size), lowercase=lowercase)

    @property
    def size(self) -> int:
        """How many ids there are."""
        return self.vocabulary.size

    def decode(self, ids: Iterable[int]) -> str:
        """The tokens with single spaces between them; an unknown one is U+FFFD."""
        return " ".join(UNKNOWN_CHARACTER if i == UNKNOWN else self._spell(i) for i in self._known(ids))

    def to_files(self) -> dict[str, bytes]:
        """vocabulary.json"""
        return {FILE_NAME: self.vocabulary.to_file()}

    def _append_ids(self, texts: Sequence[str], ids: array[int]) -> list[int]:
        lengths = []
        for text in texts:
            before = len(ids)
            ids.frombytes(b"".join(map(self._pieces.__getitem__, text.split())))
            lengths.append(len(ids) - before)
        return lengths

    def _spell(self, token_id: int) -> str:
        return self.vocabulary.tokens[token_id - RESERVED]


class TokenTokenizer(WordTokenizer):
    """Ids of what stands between white space, for text that was cut into tokens before."""

    level = "token"

    @staticmethod
    def split(piece: str) -> list[str]:
        """The piece as it is."""
        return [piece]


class _PieceIds(dict[str, bytes]):
    """From a piece of text without white space to the bytes of its int32 ids; fills itself up to a fixed size."""

    def __init__(self, vocabulary: Vocabulary, lowercase: bool, split: Callable[[str], list[str]]) -> None:
        super().__init__()
        self._ids = vocabulary.ids
        self._lowercase = lowercase
        self._split = split

    def __missing__(self, piece: str) -> bytes:
        words = self._split(piece.lower() if self._lowercase else piece)
        ids = array("i", [self._ids.get(word, UNKNOWN) for word in words]).tobytes()
        if len(piece) <= CACHED_LENGTH and len(self) < CACHE_ENTRIES:
            self[piece] = ids
        return ids


def _combining_marks() -> str:
    """All characters of category M, as ranges for a character class."""
    codes = [c for c in chain(range(0x300, 0x1F000), range(0xE0100, 0xE01F0)) if unicodedata.category(chr(c))[0] == "M"]
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
