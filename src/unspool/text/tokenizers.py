"""Make a tokenizer from training texts, or from the files of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unspool.errors import ModelFileError, SettingError, nearest, shorten
from unspool.text import bpe, vocabulary
from unspool.text.base import Tokenizer
from unspool.text.bpe import BPETokenizer
from unspool.text.characters import ByteTokenizer, CharTokenizer
from unspool.text.vocabulary import Vocabulary
from unspool.text.words import TokenTokenizer, WordTokenizer

__all__ = ["DEFAULTS", "LEVELS", "Tokenizer", "extend_tokenizer", "load_tokenizer", "train_tokenizer"]


@dataclass(frozen=True)
class Defaults:
    """What a level does when nothing is asked: least count, greatest size (None: no limit), lowercase."""

    min_count: int
    max_size: int | None
    lowercase: bool


DEFAULTS = {
    "word": Defaults(min_count=2, max_size=50_000, lowercase=True),
    "token": Defaults(min_count=1, max_size=50_000, lowercase=False),
    "char": Defaults(min_count=1, max_size=None, lowercase=False),
    "byte": Defaults(min_count=1, max_size=None, lowercase=False),
    "bpe": Defaults(min_count=2, max_size=8_000, lowercase=False),
}
LEVELS = tuple(DEFAULTS)


def train_tokenizer(
    level: str,
    texts: Iterable[str],
    *,
    min_count: int | None = None,
    max_size: int | None = None,
    lowercase: bool | None = None,
) -> Tokenizer:
    """A tokenizer whose vocabulary comes from `texts`, which should be the training part alone.

    level: 'word', 'token' (what stands between blanks), 'char', 'byte' or 'bpe'. min_count: a token (for bpe: a
    pair to be merged) seen less often gets no id. max_size: most ids, padding and unknown included. lowercase:
    lowercase every text first. None: DEFAULTS.
    Raises SettingError for an unknown level or a value out of range.
    """
    if level not in DEFAULTS:
        raise SettingError(f"level must be one of {', '.join(LEVELS)}, got {shorten(level)!r}{nearest(level, LEVELS)}")
    usual = DEFAULTS[level]
    lowercase = usual.lowercase if lowercase is None else lowercase
    if level == "byte":
        if min_count is not None or max_size is not None:
            raise SettingError("level byte always has all 256 bytes: min_count and max_size have no effect on it")
        return ByteTokenizer(lowercase=lowercase)
    kinds: dict[str, type[WordTokenizer | CharTokenizer | BPETokenizer]]
    kinds = {"word": WordTokenizer, "token": TokenTokenizer, "char": CharTokenizer, "bpe": BPETokenizer}
    return kinds[level].train(
        texts,
        min_count=usual.min_count if min_count is None else min_count,
        max_size=usual.max_size if max_size is None else max_size,
        lowercase=lowercase,
    )


def extend_tokenizer(tokenizer: Tokenizer, texts: Iterable[str], *, min_count: int, max_size: int | None) -> Tokenizer:
    """The same tokenizer with the tokens of `texts` that it lacks behind its own; byte and bpe lack none.

    min_count: a token seen less often gets no id. max_size: most ids in all.
    """
    if not isinstance(tokenizer, WordTokenizer | CharTokenizer):
        return tokenizer
    kind = type(tokenizer)
    found = kind.train(texts, min_count=min_count, max_size=None, lowercase=tokenizer.lowercase)
    more = tokenizer.vocabulary.extended(found.vocabulary.tokens, max_size=max_size)
    return kind(more, lowercase=tokenizer.lowercase)


def load_tokenizer(settings: Mapping[str, Any], files: Mapping[str, bytes]) -> Tokenizer:
    """The tokenizer that `Tokenizer.settings` and `Tokenizer.to_files()` describe.

    Raises ModelFileError when anything is missing, unknown, of a wrong type, or disagrees.
    """
    if set(settings) != {"level", "lowercase", "size"}:
        raise ModelFileError("the tokenizer's settings must be exactly level, lowercase and size")
    level, lowercase, size = settings["level"], settings["lowercase"], settings["size"]
    if not isinstance(level, str) or level not in DEFAULTS:
        raise ModelFileError(f"the tokenizer's level must be one of {', '.join(LEVELS)}, got {shorten(level)!r}")
    if type(lowercase) is not bool or type(size) is not int:
        raise ModelFileError("the tokenizer's lowercase must be true or false, and its size a whole number")
    if level == "byte":
        tokenizer = ByteTokenizer(lowercase=lowercase)
        if size != tokenizer.size:
            raise ModelFileError(f"a byte tokenizer has {tokenizer.size} ids, not {shorten(size)}")
        return tokenizer
    if level == "bpe":
        content = _file(files, bpe.FILE_NAME)
        return BPETokenizer.from_file(content, lowercase=lowercase, expected_size=size)
    words = Vocabulary.from_file(_file(files, vocabulary.FILE_NAME), size)
    if level in ("word", "token"):
        return (WordTokenizer if level == "word" else TokenTokenizer)(words, lowercase=lowercase)
    if any(len(token) != 1 for token in words.tokens):
        raise ModelFileError(f"{vocabulary.FILE_NAME}: a character vocabulary holds single characters only")
    return CharTokenizer(words, lowercase=lowercase)


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise ModelFileError(f"the model has no {name}")
    return files[name]
