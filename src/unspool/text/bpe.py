"""Byte-pair encoding (Sennrich et al. 2016) over bytes, by the `tokenizers` library; exact round trip.

`tokenizer.json` is in that library's format, but it is never handed to the library: only the vocabulary and the
merges are taken from it, everything else must equal what this module writes. So a foreign file can switch on nothing.
Merges come from pairs seen at least `min_count` times; a password that stood once in the data gets no token.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from unspool.errors import ModelFileError, SettingError
from unspool.files import parse_json, to_json
from unspool.text.base import UNKNOWN_CHARACTER, Tokenizer, append_array
from unspool.text.vocabulary import MAX_TOKENS, RESERVED, UNKNOWN, check_size, check_tokens

FILE_NAME = "tokenizer.json"
BYTES = 256
LONGEST_RUN = 256  # characters
ENCODED_AT_ONCE = 1024  # texts given to the library in one call
_SURROGATES = re.compile("[\ud800-\udfff]")

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_AROUND: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": _BYTE_LEVEL,
    "post_processor": None,
    "decoder": _BYTE_LEVEL,
}
_MODEL: dict[str, Any] = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


class BPETokenizer(Tokenizer):
    """Ids of byte-pair tokens: the library's id + 2. Nothing is ever unknown, save lone surrogates (U+FFFD)."""

    level = "bpe"
    reversible = True

    def __init__(self, vocabulary: dict[str, int], merges: list[tuple[str, str]], *, lowercase: bool) -> None:
        super().__init__(lowercase=lowercase)
        self._merges = merges
        self._tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        self._library = _around(models.BPE(vocab=vocabulary, merges=merges))

    @classmethod
    def train(cls, texts: Iterable[str], *, min_count: int, max_size: int | None, lowercase: bool) -> BPETokenizer:
        """Merges learned from `texts`; `max_size` ids at most, the 256 bytes and the reserved two included."""
        if max_size is None or max_size < BYTES + RESERVED:
            raise SettingError(f"max_size must be at least {BYTES + RESERVED} for bpe, got {max_size}")
        if min_count < 1:
            raise SettingError(f"min_count must be at least 1, got {min_count}")
        library = _around(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=max_size - RESERVED,
            min_frequency=min_count,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[],
            show_progress=False,
        )
        library.train_from_iterator(_cut_runs(_clean(texts, lowercase)), trainer)
        model = parse_json(library.to_str().encode(), Path(FILE_NAME))["model"]
        return cls(model["vocab"], [(left, right) for left, right in model["merges"]], lowercase=lowercase)

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self._tokens) + RESERVED

    def decode(self, ids: Iterable[int]) -> str:
        """The text; the unknown id, and bytes that are no UTF-8, become U+FFFD."""
        content = b"".join(
            UNKNOWN_CHARACTER.encode() if i == UNKNOWN else self._bytes(self._tokens[i - RESERVED])
            for i in self._known(ids)
        )
        return content.decode("utf-8", "replace")

    def to_files(self) -> dict[str, bytes]:
        """tokenizer.json"""
        model = _MODEL | {
            "vocab": {token: number for number, token in enumerate(self._tokens)},
            "merges": [list(pair) for pair in self._merges],
        }
        return {FILE_NAME: to_json(_AROUND | {"model": model})}

    @classmethod
    def from_file(cls, content: bytes, *, lowercase: bool, expected_size: int) -> BPETokenizer:
        """Strict reading of tokenizer.json; raises ModelFileError on anything unexpected."""
        found = parse_json(content, Path(FILE_NAME))
        model = found.get("model") if isinstance(found, dict) else None
        if not isinstance(model, dict) or found != _AROUND | {"model": model}:
            raise ModelFileError(f"{FILE_NAME} is not a byte-level BPE tokenizer as unspool writes it")
        vocabulary, merges = model.get("vocab"), model.get("merges")
        if model != _MODEL | {"vocab": vocabulary, "merges": merges}:
            raise ModelFileError(f"{FILE_NAME} is not a byte-level BPE tokenizer as unspool writes it")
        tokens = _checked_vocabulary(vocabulary, expected_size)
        return cls(tokens, _checked_merges(merges, tokens), lowercase=lowercase)

    def _append_ids(self, texts: Sequence[str], ids: array[int]) -> list[int]:
        lengths = []
        for start in range(0, len(texts), ENCODED_AT_ONCE):
            part = list(_clean(texts[start : start + ENCODED_AT_ONCE], self.lowercase))
            for encoding in self._library.encode_batch_fast(part, add_special_tokens=False):
                append_array(ids, np.array(encoding.ids, np.int32) + np.int32(RESERVED))
                lengths.append(len(encoding.ids))
        return lengths

    def _spell(self, token_id: int) -> str:
        return self._bytes(self._tokens[token_id - RESERVED]).decode("utf-8", "replace")

    @staticmethod
    def _bytes(token: str) -> bytes:
        return bytes(_BYTE_OF[character] for character in token)


def byte_characters() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte: printable Latin-1 stays itself, the rest moves to U+0100 …"""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(BYTES) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(BYTES + number) for number, byte in enumerate(others)}


_BYTE_OF = {character: byte for byte, character in byte_characters().items()}


def _around(model: models.BPE) -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer(model)
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    library.decoder = decoders.ByteLevel()
    return library


def _clean(texts: Iterable[str], lowercase: bool) -> Iterator[str]:
    for text in texts:
        clean = text if text.isascii() else _SURROGATES.sub(UNKNOWN_CHARACTER, text)
        yield clean.lower() if lowercase else clean


def _cut_runs(texts: Iterable[str]) -> Iterator[str]:
    """Texts with an endless run of letters or of blanks in slices: the library learns in quadratic time from a run."""
    for text in texts:
        words = text.split()
        blanks = len(text) - sum(map(len, words))
        if max(map(len, words), default=0) > LONGEST_RUN or blanks > len(words) + LONGEST_RUN:
            yield from (text[start : start + LONGEST_RUN] for start in range(0, len(text), LONGEST_RUN))
        else:
            yield text


def _checked_vocabulary(found: Any, expected_size: int) -> dict[str, int]:
    if not isinstance(found, dict) or len(found) > MAX_TOKENS:
        raise ModelFileError(f"{FILE_NAME}: vocab must map tokens to numbers")
    check_tokens(list(found), FILE_NAME)
    check_size(len(found) + RESERVED, expected_size, FILE_NAME)
    if any(type(number) is not int for number in found.values()) or set(found.values()) != set(range(len(found))):
        raise ModelFileError(f"{FILE_NAME}: the numbers in vocab must be 0 … {len(found) - 1}, each once")
    if not set(found) >= set(_BYTE_OF) or any(not set(token) <= set(_BYTE_OF) for token in found):
        raise ModelFileError(f"{FILE_NAME}: vocab must hold the 256 bytes and tokens made of them")
    return found


def _checked_merges(found: Any, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    damaged = ModelFileError(f"{FILE_NAME}: merges must be pairs of tokens of vocab, each joining to a token of vocab")
    if not isinstance(found, list) or len(found) > len(vocabulary):
        raise damaged
    for pair in found:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise damaged
        if not {pair[0], pair[1], pair[0] + pair[1]} <= vocabulary.keys():
            raise damaged
    if len({(left, right) for left, right in found}) != len(found):
        raise ModelFileError(f"{FILE_NAME}: a merge stands twice")
    return [(left, right) for left, right in found]
