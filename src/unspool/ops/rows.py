"""Tables of vectors of which a training step reads and writes only the rows of its batch.

A row with gradient 0 still moves under Adam, for its first moment fades over some steps, and it decays. Here such steps
are put off until the row is wanted, and then done as one (`catch_up`), with the same result up to rounding.

These are the definitions. The compiled core does the same for float32 on the CPU, with the same bits for any number of
threads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from unspool import native
from unspool.ops import compiled_rows

PADDING = 0
FEW = 2**22  # ids up to which a bit for each is less work than sorting


class Table(NamedTuple):
    """A table (V, E) with what Adam keeps of it; all of one floating type.

    weight, first, second (V, E): the vectors and the moments. clock (V,): up to which place, counted in steps, a row is
    brought. ahead (4, N): what brings a row from each clock, 0 to N - 1, to the present place. Its lines are the
    distance that first / (root of second + eps) is multiplied with, and the factors of weight, first and second.
    """

    weight: Tensor
    first: Tensor
    second: Tensor
    clock: Tensor
    ahead: Tensor


class Step(NamedTuple):
    """The numbers of one step of AdamW: the rate over the first bias correction; 1 - rate · decay; both betas; 1 over
    the root of the second bias correction; eps."""

    rate: float
    kept: float
    beta1: float
    beta2: float
    scale: float
    eps: float


def distinct(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct ids of (...) int64 or int32, ascending (U,), and where each stands among them (...), both int64."""
    if not torch.compiler.is_compiling() and ids.numel() and ids.device.type == "cpu" and native.core() is not None:
        low, high = torch.aminmax(ids)
        if 0 <= int(low) <= int(high) < FEW:
            return compiled_rows.distinct(ids.long(), int(high) + 1)
    found, slots = torch.unique(ids, return_inverse=True)
    return found.long(), slots


def lookup(ids: Tensor, weight: Tensor) -> Tensor:
    """Rows of weight (V, E) for ids (...): (..., E). The gradient is row-sparse and leaves row 0, the padding, out."""
    if compiled_rows.takes(weight):
        return compiled_rows.lookup(ids, weight)
    return F.embedding(ids, weight, padding_idx=PADDING, sparse=True)


def coalesced(gradient: Tensor) -> Tensor:
    """A row-sparse gradient with each row once, in ascending order: itself if it is so already."""
    if gradient.is_coalesced():
        return gradient
    rows = gradient._indices()[0]
    if bool((rows[1:] > rows[:-1]).all()):  # torch forgets it where it accumulates gradients, and would sort again
        return gradient._coalesced_(True)
    return gradient.coalesce()


def advance(ahead: Tensor, step: Step) -> None:
    """Bring the lines of `Table.ahead` up to the clocks so far (4, place + 1) forward by one step, in place."""
    ahead.mul_(ahead.new_tensor([step.kept, step.kept, step.beta1, step.beta2])[:, None])
    moved, _, first, second = ahead
    moved.add_(first / second.sqrt(), alpha=step.rate / step.scale)


def catch_up(table: Table, place: int, eps: float, ids: Tensor | None = None) -> None:
    """Do, in place, the steps up to `place` that rows have missed: rows `ids` (any shape, repeated or not), or all."""
    if compiled_rows.takes(table.weight):
        return compiled_rows.catch_up(table, place, eps, ids)
    rows = torch.arange(len(table.weight)) if ids is None else torch.unique(ids).long()
    rows = rows[table.clock[rows] < place]
    weight, first, second = (part[rows] for part in table[:3])
    moved, kept, *fade = table.ahead[:, table.clock[rows].long(), None]
    table.weight[rows] = weight * kept - moved * first / (second.sqrt() + eps)
    table.first[rows], table.second[rows] = first * fade[0], second * fade[1]
    table.clock[rows] = place
    return None


def update(table: Table, place: int, ids: Tensor, gradient: Tensor, step: Step) -> None:
    """One step of AdamW, in place, for different rows `ids` (U,) int64 that are at `place`, with gradient (U, E)."""
    if compiled_rows.takes(table.weight):
        return compiled_rows.update(table, place, ids, gradient, step)
    weight, first, second = (part[ids] for part in table[:3])
    first = first + (gradient - first) * (1 - step.beta1)
    second = second * step.beta2 + gradient * gradient * (1 - step.beta2)
    table.weight[ids] = weight * step.kept - step.rate * first / (second.sqrt() * step.scale + step.eps)
    table.first[ids], table.second[ids] = first, second
    table.clock[ids] = place + 1
    return None
