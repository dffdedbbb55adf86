"""Many token sequences in two arrays, and the padded block a batch becomes.

`Ragged` is how a whole corpus of token ids lives in memory: one flat array and the offsets of its rows, so
that 1 GB of text never becomes a million small arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unspool.errors import SettingError, shorten

Keep = Literal["head", "tail", "both"]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of token ids: row k is `ids[offsets[k]:offsets[k + 1]]`.

    ids: int32, flat; offsets: int64, one more than there are rows, starting at 0.
    """

    ids: Int32
    offsets: Int64

    def __post_init__(self) -> None:
        if self.ids.dtype != np.int32 or self.offsets.dtype != np.int64 or self.ids.ndim != 1:
            raise ValueError("Ragged expects flat int32 ids and int64 offsets")
        if self.offsets.ndim != 1 or self.offsets.size == 0 or self.offsets[0] != 0:
            raise ValueError("Ragged offsets start at 0 and have one entry more than rows")
        if self.offsets[-1] != self.ids.size or (np.diff(self.offsets) < 0).any():
            raise ValueError("Ragged offsets never fall and end at the number of ids")

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | Int32]) -> Ragged:
        """From separate rows; for small data and tests."""
        flat = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows] or [np.empty(0, np.int32)])
        return cls(flat, offsets_of([len(row) for row in rows]))

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, row: int) -> Int32:
        """Row `row` as a view, int32 (length,)."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        row %= len(self)
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[Int32]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> Int64:
        """Tokens in each row, int64 (rows,)."""
        return np.diff(self.offsets)

    def take(self, rows: Int64) -> Ragged:
        """The chosen rows, in the order given, copied."""
        starts, lengths = self.offsets[rows], self.lengths[rows]
        return self._gather(starts, lengths)

    def truncate(self, max_length: int, keep: Keep = "head") -> Ragged:
        """Rows of at most `max_length` tokens: their head, tail, or both (the first and the last half)."""
        if max_length < 1:
            raise SettingError(f"max_length must be at least 1, got {max_length}")
        if keep not in get_args(Keep):
            raise SettingError(f"keep must be one of {', '.join(get_args(Keep))}, got {shorten(keep)!r}")
        lengths = self.lengths
        kept = np.minimum(lengths, max_length)
        if (kept == lengths).all():
            return self
        if keep == "head":
            return self._gather(self.offsets[:-1], kept)
        if keep == "tail":
            return self._gather(self.offsets[1:] - kept, kept)
        return self._both_ends(kept)

    def pieces(self, max_length: int) -> Ragged:
        """The same ids in rows of at most `max_length`, a longer row cut into several; nothing is lost or moved."""
        if max_length < 1:
            raise SettingError(f"max_length must be at least 1, got {max_length}")
        if (self.lengths <= max_length).all():
            return self
        ends = self.offsets[1:].tolist()
        starts = [
            start
            for begin, end in zip([0, *ends[:-1]], ends, strict=True)
            for start in range(begin, max(end, begin + 1), max_length)
        ]
        return Ragged(self.ids, np.array([*starts, self.offsets[-1]], np.int64))

    def _both_ends(self, kept: Int64) -> Ragged:
        head = (kept + 1) // 2
        tail = kept - head
        starts = np.stack([self.offsets[:-1], self.offsets[1:] - tail], axis=1).reshape(-1)
        pieces = self._gather(starts, np.stack([head, tail], axis=1).reshape(-1))
        return Ragged(pieces.ids, pieces.offsets[::2].copy())

    def _gather(self, starts: Int64, lengths: Int64) -> Ragged:
        offsets = offsets_of(lengths)
        ids = np.empty(offsets[-1], np.int32)
        for begin, end, start in zip(offsets[:-1].tolist(), offsets[1:].tolist(), starts.tolist(), strict=True):
            ids[begin:end] = self.ids[start : start + end - begin]
        return Ragged(ids, offsets)


def offsets_of(lengths: Sequence[int] | Int64) -> Int64:
    """Row starts (and the final end) for rows of these lengths, int64 (rows + 1,)."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def pad(ragged: Ragged, rows: Int64) -> tuple[Int64, Int64]:
    """The rows as one block: ids int64 (B, T) filled with 0 past each length, and lengths int64 (B,).

    T is the length of the longest chosen row; 0 when all are empty.
    """
    starts, ends = ragged.offsets[rows], ragged.offsets[np.asarray(rows) + 1]
    lengths = ends - starts
    block = np.zeros((len(lengths), int(lengths.max(initial=0))), np.int64)
    for line, start, end in zip(block, starts.tolist(), ends.tolist(), strict=True):
        line[: end - start] = ragged.ids[start:end]
    return block, lengths
