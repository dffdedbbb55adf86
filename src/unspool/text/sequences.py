"""Texts to blocks of ids as Keras makes them: its Tokenizer or TextVectorization, then pad_sequences.

A network that was trained on padded blocks and reads the padding answers right only when it gets the same padding, so
side and length belong to the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unspool.errors import ModelFileError, shorten
from unspool.text.ragged import Int64

KERAS_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'  # the default of Keras's Tokenizer
VECTORIZATION_FILTERS = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"  # lower_and_strip_punctuation of TextVectorization

WordId = Annotated[int, Field(ge=0, lt=2**24, strict=True)]


class Sequences(BaseModel):
    """How texts become ids, and ids a block.

    Attributes:
        words: id of each word, or None when the texts are ids already, separated by white space.
        unknown: id of a word that is not among them, or None to leave it out.
        lowercase: fold case first.
        removed: these characters are left out; blanked: these become spaces. Then the text is cut at white space.
        length: ids in every row, or None for as many as a text has.
        shortest: the least that the network can read; only used when `length` is None.
        padding: the side on which zeros are added; keep: the end of a longer text that is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: dict[str, WordId] | None = None
    unknown: WordId | None = None
    lowercase: bool = True
    removed: str = ""
    blanked: str = KERAS_FILTERS
    length: Annotated[int, Field(ge=1, le=10**6, strict=True)] | None = None
    shortest: Annotated[int, Field(ge=1, le=10**6, strict=True)] = 1
    padding: Literal["left", "right"] = "left"
    keep: Literal["head", "tail"] = "tail"

    @classmethod
    def parse(cls, values: Any) -> Sequences:
        """From plain values; ModelFileError naming what is wrong."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise ModelFileError(f"how the model reads texts: {shorten(first['loc'], 80)}: {first['msg']}") from None

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, cut to `length`, not yet padded. An id that is not a number reads as unknown."""
        table = str.maketrans(dict.fromkeys(self.removed, "") | dict.fromkeys(self.blanked, " "))
        found = []
        for text in texts:
            pieces = (text.lower() if self.lowercase else text).translate(table).split()
            ids = [self.unknown if (own := self._id(piece)) is None else own for piece in pieces]
            kept = [number for number in ids if number is not None]
            if self.length is not None:
                kept = kept[: self.length] if self.keep == "head" else kept[-self.length :]
            found.append(kept)
        return found

    def block(self, rows: Sequence[Sequence[int]], length: int) -> Int64:
        """The rows, none longer than `length`, as int64 (B, length), zeros on the side of the padding."""
        block = np.zeros((len(rows), length), np.int64)
        for line, row in zip(block, rows, strict=True):
            place = slice(length - len(row), length) if self.padding == "left" else slice(0, len(row))
            line[place] = row
        return block

    def _id(self, piece: str) -> int | None:
        if self.words is not None:
            return self.words.get(piece)
        return int(piece) if piece.isascii() and piece.isdigit() and len(piece) < 9 else None
