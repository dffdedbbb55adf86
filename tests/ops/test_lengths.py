"""Masks and reversal by lengths, against loops over rows."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from unspool.ops.lengths import check_lengths, keep, last_steps, reverse_rows, valid_steps


@st.composite
def batches(draw):
    steps = draw(st.integers(0, 6))
    lengths = draw(st.lists(st.integers(0, steps), max_size=5))
    random = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    return torch.randn(len(lengths), steps, 2, generator=random), torch.tensor(lengths, dtype=torch.int64)


@given(batches())
def test_rows_are_reversed_within_their_lengths(batch):
    x, lengths = batch
    found = reverse_rows(x, lengths)
    for row, turned, length in zip(x, found, lengths.tolist(), strict=True):
        assert torch.equal(turned[:length], row[:length].flip(0)) and torch.equal(turned[length:], row[length:])
    assert torch.equal(reverse_rows(found, lengths), x)
    assert torch.equal(reverse_rows(x, None), x.flip(1))


@given(batches())
def test_only_real_steps_are_kept(batch):
    x, lengths = batch
    poisoned = x.clone()
    for row, length in zip(poisoned, lengths.tolist(), strict=True):
        row[length:] = float("nan")
    found = keep(poisoned, valid_steps(lengths, x.shape[1]))
    for kept, row, length in zip(found, x, lengths.tolist(), strict=True):
        assert torch.equal(kept[:length], row[:length]) and not kept[length:].any()


@given(batches().filter(lambda batch: batch[0].shape[1] > 0))
def test_the_last_real_step_is_taken(batch):
    x, lengths = batch
    otherwise = torch.full((x.shape[0], 2), 7.0)
    found = last_steps(x, lengths, otherwise)
    for taken, row, length in zip(found, x, lengths.tolist(), strict=True):
        assert torch.equal(taken, row[length - 1] if length else torch.full((2,), 7.0))


def test_lengths_come_back_as_int64_on_the_device():
    for given_lengths in ([2, 0], torch.tensor([2, 0], dtype=torch.int16)):
        checked = check_lengths(given_lengths, 2, 3, torch.device("cpu"))
        assert checked.dtype == torch.int64 and checked.tolist() == [2, 0]
    assert check_lengths([], 0, 3, torch.device("cpu")).shape == (0,)
