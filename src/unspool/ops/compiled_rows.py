"""The compiled core behind `ops/rows.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from unspool import native
from unspool.ops.compiled_regions import takes as takes

if TYPE_CHECKING:
    from unspool.ops.rows import Step, Table


def lookup(ids: Tensor, weight: Tensor) -> Tensor:
    """See rows.lookup."""
    if torch.is_grad_enabled() and weight.requires_grad:
        found: Tensor = _Lookup.apply(ids, weight)  # type: ignore[no-untyped-call]
        return found
    return F.embedding(ids, weight)


def catch_up(table: Table, place: int, eps: float, ids: Tensor | None) -> None:
    """See rows.catch_up."""
    wanted = None if ids is None else ids.reshape(-1).long()
    weight = table.weight.detach()
    native.present().catch_up_rows(weight, *table[1:4], place, wanted, eps, torch.get_num_threads(), table.ahead)


def update(table: Table, place: int, ids: Tensor, gradient: Tensor, step: Step) -> None:
    """See rows.update."""
    numbers = (step.rate, step.kept, step.beta1, step.beta2, step.scale)
    threads, given = torch.get_num_threads(), gradient.contiguous()
    native.present().update_rows(*table[:4], place, ids, step.eps, threads, given, *numbers)


def distinct(ids: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """See rows.distinct; all ids are below `size`."""
    flat = ids.reshape(-1).contiguous()
    slots, found = torch.empty_like(flat), torch.empty_like(flat)
    return found[: native.present().distinct_rows(flat, size, False, slots, found)], slots.view(ids.shape)


def sum_equal(ids: Tensor, gradient: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The distinct ids of (N,) int64 below `size` but 0, ascending (U,), and the sums of their rows of gradient (N, E).

    Equal ids are added in the order in which they stand.
    """
    slots, distinct = torch.empty_like(ids), torch.empty_like(ids)
    found = distinct[: native.present().distinct_rows(ids, size, True, slots, distinct)]
    sums = gradient.new_empty(len(found), gradient.shape[1])
    native.present().sum_rows(gradient, slots, torch.get_num_threads(), sums)
    return found, sums


class _Lookup(torch.autograd.Function):
    """(ids, weight) -> vectors."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.size = weight.shape
        return F.embedding(ids, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (ids,) = ctx.saved_tensors
        flat = gradient.reshape(-1, ctx.size[1]).contiguous()
        rows, sums = sum_equal(ids.reshape(-1).long().contiguous(), flat, ctx.size[0])
        return None, torch.sparse_coo_tensor(rows[None], sums, ctx.size, is_coalesced=True, check_invariants=False)
