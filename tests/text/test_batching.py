from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.errors import SettingError
from unspool.text.batching import batches, padding_share, sorted_batches
from unspool.text.ragged import Ragged, offsets_of, pad
from unspool.text.shuffling import random_keys

LENGTHS = st.lists(st.integers(0, 50), max_size=60).map(lambda lengths: np.array(lengths, np.int64))


@given(lengths=LENGTHS, size=st.integers(1, 9), seed=st.integers(0, 2**64), epoch=st.integers(0, 10**6))
def test_every_row_is_in_one_batch_and_the_order_repeats(lengths: np.ndarray, size: int, seed: int, epoch: int) -> None:
    order = batches(lengths, size, seed, epoch)
    assert sorted(row for rows in order for row in rows.tolist()) == list(range(len(lengths)))
    assert all(1 <= len(rows) <= size for rows in order)
    assert sum(len(rows) < size for rows in order) <= 1
    again = batches(lengths, size, seed, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(order, again, strict=True))
    evaluation = sorted_batches(lengths, size)
    assert sorted(row for rows in evaluation for row in rows.tolist()) == list(range(len(lengths)))


@pytest.mark.parametrize("rows", [299, 300, 301, 1000])
def test_rows_of_several_chunks_are_all_there(rows: int) -> None:
    order = batches(np.arange(rows) % 17, 3, 0, 0)
    assert sorted(np.concatenate(order).tolist()) == list(range(rows))


def test_epochs_and_seeds_differ() -> None:
    lengths = np.full(1000, 7, np.int64)
    orders = {tuple(np.concatenate(batches(lengths, 10, seed, epoch))) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_a_shuffle_is_uniform() -> None:
    """Mean position of each row over many epochs: expectation 9.5, standard error 5.77 / sqrt(2000) = 0.129."""
    positions = np.zeros(20)
    for epoch in range(2000):
        positions[np.argsort(random_keys(20, 3, epoch))] += np.arange(20)
    assert np.abs(positions / 2000 - 9.5).max() < 5 * 0.129


def test_the_order_is_the_same_for_ever() -> None:
    assert random_keys(3, 0, 0).tolist() == [16294208416658607535, 7960286522194355700, 487617019471545679]
    assert np.concatenate(batches(np.arange(6), 2, 1, 1)).tolist() == [2, 3, 4, 5, 0, 1]


def test_little_padding_on_lengths_like_reviews() -> None:
    """IMDB's lengths: about lognormal, median 174, cut at 400 tokens."""
    lengths = np.random.default_rng(0).lognormal(np.log(174), 0.75, 25_000).astype(np.int64).clip(1, 400)
    assert padding_share(lengths, batches(lengths, 64, 0, 0)) < 0.02
    assert padding_share(lengths, sorted_batches(lengths, 64)) < 0.005
    unsorted = [np.arange(start, start + 50) for start in range(0, 25_000, 50)]
    assert padding_share(lengths, unsorted) > 0.3


def test_padding_share_by_hand() -> None:
    lengths = np.array([1, 3, 0, 0])
    assert padding_share(lengths, [np.array([0, 1]), np.array([2, 3])]) == pytest.approx(2 / 6)
    assert padding_share(lengths, []) == 0.0


def test_pad_by_hand() -> None:
    ragged = Ragged.of([[5, 6, 7], [], [8]])
    ids, lengths = pad(ragged, np.array([2, 0, 1]))
    assert ids.dtype == lengths.dtype == np.int64
    assert ids.tolist() == [[8, 0, 0], [5, 6, 7], [0, 0, 0]] and lengths.tolist() == [1, 3, 0]
    assert pad(ragged, np.array([1]))[0].shape == (1, 0)
    assert pad(ragged, np.array([], np.int64))[0].shape == (0, 0)


ROWS = st.lists(st.lists(st.integers(2, 99), max_size=9), max_size=9)


@given(rows=ROWS, limit=st.integers(1, 10))
def test_truncation_keeps_head_tail_or_both(rows: list[list[int]], limit: int) -> None:
    ragged = Ragged.of(rows)
    assert [row.tolist() for row in ragged] == rows
    assert [row.tolist() for row in ragged.truncate(limit)] == [row[:limit] for row in rows]
    assert [row.tolist() for row in ragged.truncate(limit, "tail")] == [row[-limit:] for row in rows]
    head, tail = (limit + 1) // 2, limit // 2
    both = [row if len(row) <= limit else row[:head] + row[len(row) - tail :] for row in rows]
    assert [row.tolist() for row in ragged.truncate(limit, "both")] == both


@given(rows=ROWS, seed=st.integers(0, 99))
def test_take(rows: list[list[int]], seed: int) -> None:
    chosen = np.random.default_rng(seed).permutation(len(rows))[: max(len(rows) - 1, 0)]
    assert [row.tolist() for row in Ragged.of(rows).take(chosen)] == [rows[row] for row in chosen]


def test_wrong_arguments() -> None:
    with pytest.raises(SettingError, match="batch_size must be at least 1, got 0"):
        batches(np.arange(3), 0, 0, 0)
    with pytest.raises(SettingError, match="max_length must be at least 1, got 0"):
        Ragged.of([[1]]).truncate(0)
    with pytest.raises(SettingError, match="keep must be one of head, tail, both, got 'middle'"):
        Ragged.of([[1]]).truncate(1, "middle")  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="row 1 of 1"):
        Ragged.of([[1]])[1]
    for ids, offsets in [
        (np.zeros(2, np.int64), offsets_of([2])),
        (np.zeros(2, np.int32), offsets_of([3])),
        (np.zeros(2, np.int32), np.array([0, 3, 2])),
        (np.zeros(2, np.int32), np.array([1, 2])),
        (np.zeros(2, np.int32), np.array([], np.int64)),
    ]:
        with pytest.raises(ValueError, match="Ragged"):
            Ragged(ids, offsets)
