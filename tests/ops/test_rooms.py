"""Memory that dead tensors leave to new ones."""

from __future__ import annotations

import pytest
import torch

from unspool import native
from unspool.ops.rooms import room

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")

LARGE = (3, 400, 512)  # 2.3 MiB


def test_what_a_dead_tensor_leaves_is_taken_again_and_nothing_that_lives_is():
    first = room(*LARGE).fill_(1.0)
    place = first.data_ptr()
    second = room(*LARGE).fill_(2.0)
    assert second.data_ptr() != place and bool((first == 1.0).all())
    kept = first[1:]  # a view keeps the memory
    del first
    third = room(*LARGE).fill_(3.0)
    assert third.data_ptr() != place and bool((kept == 1.0).all())
    del kept
    assert room(*LARGE).data_ptr() == place


@pytest.mark.parametrize("shape", [(0,), (5, 7), LARGE])
def test_a_room_is_an_ordinary_tensor(shape):
    made = room(*shape)
    assert made.shape == shape and made.dtype == torch.float32 and made.is_contiguous() and made.data_ptr() % 64 == 0
    made.zero_().requires_grad_()
    (made.clone() + 1).sum().backward()
    assert made.grad is not None and bool((made.grad == 1).all())


@pytest.mark.parametrize("shape", [(5, 7), LARGE])
def test_the_default_type_is_not_the_rooms(shape):
    torch.set_default_dtype(torch.float64)
    try:
        made = room(*shape)
    finally:
        torch.set_default_dtype(torch.float32)
    assert made.dtype == torch.float32


def test_more_than_there_is_is_refused():
    with pytest.raises(MemoryError):
        room(2**40, 2**40)
    with pytest.raises(MemoryError):
        room(2**31, 2**31)
