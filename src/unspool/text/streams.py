"""A corpus as one long row of token ids: how documents become it, how it is kept, how it is cut.

Id 0, which pads elsewhere, stands here at the start of every document; a document with label k begins with the id
`tokenizer.size + k` in its place (a control code, Keskar et al. 2019). At the levels that lose line ends (word,
token) a 0 stands after every line, too. As a target every start is 0: what follows is not announced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unspool import files
from unspool.errors import DataError, shorten
from unspool.text.duplicates import text_hash
from unspool.text.ragged import Int32, Int64
from unspool.text.readers import Documents, Piece
from unspool.text.shuffling import mixed_keys
from unspool.text.tokenizers import Tokenizer

START = 0
GROUPED = 2**20  # characters encoded in one call

Unsigned = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True)
class Encoder:
    """Pieces of documents to ids. labels: name to id of the start. lines: mark the end of every line with START."""

    tokenizer: Tokenizer
    labels: Mapping[str, int]
    lines: bool

    @classmethod
    def of(cls, tokenizer: Tokenizer, labels: Iterable[str]) -> Encoder:
        """The encoder for a tokenizer: lines are marked when it would lose their ends."""
        starts = {name: tokenizer.size + k for k, name in enumerate(labels)}
        return cls(tokenizer, starts, lines=not tokenizer.reversible)

    @property
    def size(self) -> int:
        """How many ids there are, starts included."""
        return self.tokenizer.size + len(self.labels)

    @property
    def kind(self) -> type[np.unsignedinteger]:
        """The smallest number that holds every id."""
        return np.uint8 if self.size <= 2**8 else np.uint16 if self.size <= 2**16 else np.uint32

    def start(self, label: str | None = None) -> int:
        """The id a document begins with; DataError for a label that was not seen in training."""
        if label is None:
            return START
        if not self.labels:
            raise DataError(
                f"the model was trained without labels and cannot write by {shorten(label)!r}: train it with "
                "--label-column, or leave the label out"
            )
        if label not in self.labels:
            known = ", ".join(shorten(name, 30) for name in list(self.labels)[:20])
            raise DataError(f"the model knows no label {shorten(label)!r}; it knows: {known}")
        return self.labels[label]

    def encode(self, text: str) -> Int32:
        """The ids of a text without a start."""
        return self._join([Piece(text, first=False)])

    def stream(self, pieces: Iterable[Piece]) -> Iterator[Int32]:
        """The ids of all pieces, about a mebibyte of characters at a time."""
        group: list[Piece] = []
        characters = 0
        for piece in pieces:
            group.append(piece)
            characters += len(piece.text)
            if characters >= GROUPED:
                yield self._join(group)
                group, characters = [], 0
        if group:
            yield self._join(group)

    def _join(self, group: list[Piece]) -> Int32:
        texts: list[str] = []
        marks: list[tuple[int, int]] = []  # (number of the text before which it stands, id)
        for piece in group:
            if piece.first:
                marks.append((len(texts), self.start(piece.label)))
            parts = piece.text.split("\n") if self.lines else [piece.text]
            texts += parts
            marks += [(number, START) for number in range(len(texts) - len(parts) + 1, len(texts))]
        ragged = self.tokenizer.encode_all(texts)
        numbers = np.array([number for number, _ in marks], np.int64)
        return np.insert(ragged.ids, ragged.offsets[numbers], [mark for _, mark in marks]).astype(np.int32, copy=False)


class Tokens:
    """A row of ids in memory, or in a file that may be larger than memory.

    A file is mapped anew for each reading, so that the pages read do not stay with the process.
    """

    def __init__(self, held: Unsigned | Path, kind: type[np.unsignedinteger]) -> None:
        self._held, self._kind = held, np.dtype(kind)
        self._count = held.stat().st_size // self._kind.itemsize if isinstance(held, Path) else held.size

    @classmethod
    def collect(cls, parts: Iterable[Int32], kind: type[np.unsignedinteger]) -> Tokens:
        """In memory."""
        return cls(np.concatenate([np.empty(0, kind), *(part.astype(kind) for part in parts)]), kind)

    @classmethod
    def write(cls, path: Path, parts: Iterable[Int32], kind: type[np.unsignedinteger]) -> Tokens:
        """Into a file, part by part."""
        files.publish_pieces(path, (part.astype(kind).tobytes() for part in parts))
        return cls(path, kind)

    def __len__(self) -> int:
        return self._count

    def block(self, starts: Int64, length: int) -> Int64:
        """(rows, length) int64: the `length` ids from each start on; all must lie inside."""
        held = self._mapped()
        block = np.empty((len(starts), length), np.int64)
        for row, start in zip(block, starts.tolist(), strict=True):
            if not 0 <= start <= self._count - length:
                raise IndexError(f"ids {start} to {start + length} of {self._count}")
            row[:] = held[start : start + length]
        return block

    def starts(self, first_label: int) -> Int64:
        """Where documents (or lines) begin: the places of START and of the labels, the ids from `first_label` on."""
        found = [
            begin + np.flatnonzero((part == START) | (part >= first_label))
            for begin in range(0, self._count, 2**24)
            if (part := self._mapped()[begin : begin + 2**24]).size
        ]
        return np.concatenate([np.empty(0, np.int64), *found]).astype(np.int64)

    def _mapped(self) -> Unsigned:
        if not isinstance(self._held, Path):
            return self._held
        return np.memmap(self._held, self._kind, "r") if self._count else np.empty(0, self._kind)


def held_out(documents: Documents, share: float, most: int, seed: int) -> tuple[Documents, Documents]:
    """The training and the validation part, at most `most` characters, of documents.

    Of running text the last `share` of the characters. Of rows about `share`, chosen by the hash of their text, so
    that copies go together.
    """
    if documents.running:
        cut = documents.characters - min(math.ceil(documents.characters * share), most)
        return _running(documents, 0, cut), _running(documents, cut, documents.characters)
    share = min(share, most / max(1, documents.characters))

    def chosen(piece: Piece) -> bool:
        key = mixed_keys(np.array([text_hash(piece.text)], np.uint64), seed, 2)[0]
        return float(key >> np.uint64(11)) * 2.0**-53 < share

    return _filtered(documents, lambda piece: not chosen(piece)), _filtered(documents, chosen)


def _running(documents: Documents, begin: int, end: int) -> Documents:
    """Characters begin to end; a document cut in two begins twice."""

    def pieces() -> Iterator[Piece]:
        place, first = 0, True
        for piece in documents.pieces():
            text = piece.text[max(0, begin - place) : max(0, end - place)]
            place += len(piece.text)
            if text:
                yield Piece(text, piece.first or first, piece.label)
                first = False
            if place >= end:
                return

    return Documents(pieces, True, end - begin, documents.labels)


def _filtered(documents: Documents, wanted: Callable[[Piece], bool]) -> Documents:
    characters = sum(len(piece.text) for piece in documents.pieces() if wanted(piece))
    return Documents(lambda: filter(wanted, documents.pieces()), False, characters, documents.labels)


def texts_of(documents: Documents) -> Iterator[str]:
    """The texts of the pieces, for a vocabulary."""
    return (piece.text for piece in documents.pieces())


def bytes_of(documents: Documents) -> int:
    """How many bytes of UTF-8 the texts are, each read once."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts_of(documents))
