"""The compiled core behind `convolution.region_conv` with max pooling: float32 on the CPU.

One pass finds the greatest window of every filter; the backward pass visits the winners only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unspool import native
from unspool.ops.once import differentiable_once
from unspool.ops.rooms import room


def takes(x: Tensor) -> bool:
    """Whether the compiled core is present and computes this input."""
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and type(x) in (Tensor, torch.nn.Parameter)
        and not torch.compiler.is_compiling()
        and native.core() is not None
    )


Filters = Sequence[tuple[Tensor, Tensor | None]]
"""(weight (F, k, E), bias (F,) or None) of each region size."""


def greatest(x: Tensor, lengths: Tensor, filters: Filters, kept: int = 1) -> list[Tensor]:
    """The `kept` greatest answers of each filter over the windows of each text, in the order of the text, before the
    activation: (B, kept, F) for each region size.

    x (B, T, E), lengths (B,) int64. Places without a window give 0; the padding is not read. The gradient of x is made
    once for all region sizes.
    """
    x, lengths = x.contiguous(), lengths.contiguous()
    flat = [None if part is None else part.contiguous() for pair in filters for part in pair]
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in (x, *flat)):
        return list(_Greatest.apply(x, lengths, kept, *flat))  # type: ignore[no-untyped-call]
    return [y for y, _ in _forward(x, lengths, _pairs(flat), kept)]


def _pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _forward(x: Tensor, lengths: Tensor, filters: Filters, kept: int) -> list[tuple[Tensor, Tensor]]:
    """(answers, winners) of each region size."""
    answers = []
    for weight, bias in filters:
        y = x.new_empty(x.shape[0], kept, weight.shape[0])
        winner = torch.empty(y.shape, dtype=torch.int32)
        native.present().region_forward(x, lengths, weight, bias, torch.get_num_threads(), y, winner)
        answers.append((y, winner))
    return answers


class _Greatest(torch.autograd.Function):
    """(x, lengths, kept, weight, bias, weight, bias, …) -> y of each region size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor, kept: int, *flat: Tensor | None) -> tuple[Tensor, ...]:
        filters = [(weight, bias) for weight, bias in _pairs(flat)]
        answers = _forward(x, lengths, filters, kept)
        ctx.save_for_backward(x, lengths, *(weight for weight, _ in filters), *(winner for _, winner in answers))
        return tuple(y for y, _ in answers)

    @staticmethod
    @differentiable_once("the region convolution has no gradient of gradients in float32: use float64")
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        x, lengths, *rest = ctx.saved_tensors
        weights, winners = rest[: len(given)], rest[len(given) :]
        d_x = room(*x.shape) if ctx.needs_input_grad[0] else None
        gradients: list[Tensor | None] = []
        for k, (need_weight, need_bias) in enumerate(_pairs(ctx.needs_input_grad[3:])):
            d_weight = torch.empty_like(weights[k]) if need_weight else None
            d_bias = weights[k].new_empty(len(weights[k])) if need_bias else None
            told = (x, lengths, weights[k], torch.get_num_threads(), winners[k], given[k].contiguous())
            native.present().region_backward(*told, d_x, d_weight, d_bias, add=k > 0)
            gradients += [d_weight, d_bias]
        return d_x, None, None, *gradients
