"""The compiled core behind `convolution.window_conv`: all answers of a convolution, float32 on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unspool import native
from unspool.ops.compiled_regions import takes as takes
from unspool.ops.once import differentiable_once
from unspool.ops.rooms import room


def answers(x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(B, W, F), W = max(T - k + 1, 1): the answers of each filter over all windows of each text, 0 past them.

    x (B, T, E), lengths (B,) int64, weight (F, k, E), bias (F,) or None. The padding is not read.
    """
    x, lengths, weight = x.contiguous(), lengths.contiguous(), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in (x, weight, bias)):
        found: Tensor = _Windows.apply(x, lengths, weight, bias)  # type: ignore[no-untyped-call]
        return found
    return _forward(x, lengths, weight, bias)


def _forward(x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = room(len(x), max(x.shape[1] - weight.shape[1] + 1, 1), len(weight))
    native.present().windows_forward(x, lengths, weight, bias, torch.get_num_threads(), y)
    return y


class _Windows(torch.autograd.Function):
    """(x, lengths, weight, bias) -> y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, lengths, weight)
        return _forward(x, lengths, weight, bias)

    @staticmethod
    @differentiable_once("a convolution has no gradient of gradients in float32: use float64")
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        x, lengths, weight = ctx.saved_tensors
        need_x, _, need_weight, need_bias = ctx.needs_input_grad
        d_x = room(*x.shape) if need_x else None
        d_weight = torch.empty_like(weight) if need_weight else None
        d_bias = weight.new_empty(len(weight)) if need_bias else None
        told = (x, lengths, weight, torch.get_num_threads(), given.contiguous())
        native.present().windows_backward(*told, d_x, d_weight, d_bias)
        return d_x, None, d_weight, d_bias
