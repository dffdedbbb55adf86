"""Which rows form which batch: a pure function of (seed, epoch), so that resuming is arithmetic.

Rows are shuffled, cut into chunks of 100 batches, sorted by length inside each chunk, cut into batches, and the
batches shuffled. Rows of near-equal length thus share a batch (little padding) while the order stays random.
The shuffle sorts by hashed keys (`shuffling`), so the order depends on no generator state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unspool.errors import SettingError
from unspool.text.ragged import Int64, Keep, Ragged, offsets_of, pad
from unspool.text.shuffling import random_keys

__all__ = ["Keep", "Ragged", "batches", "offsets_of", "pad", "padding_share", "sorted_batches"]

BATCHES_PER_CHUNK = 100
MOST_POSITIONS = 2**18


def batches(lengths: Int64, batch_size: int, seed: int, epoch: int) -> list[Int64]:
    """The batches of one epoch, in order: arrays of row numbers, int64, `batch_size` each (one may be smaller).

    Every row is in exactly one batch. Raises SettingError when `batch_size` is below 1.
    """
    _check_size(batch_size)
    rows = np.argsort(random_keys(len(lengths), seed, 2 * epoch), kind="stable")
    chunk = batch_size * BATCHES_PER_CHUNK
    found: list[Int64] = []
    for start in range(0, rows.size, chunk):
        part = rows[start : start + chunk]
        found += _cut(part[np.argsort(lengths[part], kind="stable")], batch_size)
    order = np.argsort(random_keys(len(found), seed, 2 * epoch + 1), kind="stable")
    return [found[position] for position in order]


def sorted_batches(lengths: Int64, batch_size: int) -> list[Int64]:
    """All rows by length, for evaluation, where order does not matter and padding should be least.

    A batch of long rows is smaller than `batch_size`: its padded block has at most MOST_POSITIONS, or one row.
    """
    _check_size(batch_size)
    rows = np.argsort(lengths, kind="stable")
    found: list[Int64] = []
    start = 0
    while start < rows.size:
        taken = min(batch_size, rows.size - start)
        while taken > 1 and taken * int(lengths[rows[start + taken - 1]]) > MOST_POSITIONS:
            taken //= 2
        found.append(rows[start : start + taken])
        start += taken
    return found


def padding_share(lengths: Int64, order: Sequence[Int64]) -> float:
    """The share of positions in the padded blocks of `order` that hold padding, 0 to 1."""
    positions = sum(len(rows) * int(lengths[rows].max(initial=0)) for rows in order)
    tokens = sum(int(lengths[rows].sum()) for rows in order)
    return 1 - tokens / positions if positions else 0.0


def _cut(rows: Int64, batch_size: int) -> list[Int64]:
    return [rows[start : start + batch_size] for start in range(0, rows.size, batch_size)]


def _check_size(batch_size: int) -> None:
    if batch_size < 1:
        raise SettingError(f"batch_size must be at least 1, got {batch_size}")
