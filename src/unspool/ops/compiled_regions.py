"""The compiled core behind `convolution.region_conv` with max pooling: float32 on the CPU.

One pass finds the greatest window of every filter; the backward pass visits the winners only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unspool import native


def takes(x: Tensor) -> bool:
    """Whether the compiled core is present and computes this input."""
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and type(x) in (Tensor, torch.nn.Parameter)
        and not torch.compiler.is_compiling()
        and native.core() is not None
    )


def greatest(x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor | None, kept: int = 1) -> Tensor:
    """The `kept` greatest answers of each filter over the windows of each text, in the order of the text, before the
    activation: (B, kept, F).

    x (B, T, E), lengths (B,) int64, weight (F, k, E), bias (F,) or None. Places without a window give 0; the padding is
    not read.
    """
    x, lengths, weight = x.contiguous(), lengths.contiguous(), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in (x, weight, bias)):
        y: Tensor = _Greatest.apply(x, lengths, weight, bias, kept)  # type: ignore[no-untyped-call]
        return y
    return _forward(x, lengths, weight, bias, kept)[0]


def _forward(x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor | None, kept: int) -> tuple[Tensor, Tensor]:
    core = native.core()
    assert core is not None  # `takes` has seen it
    y = x.new_empty(x.shape[0], kept, weight.shape[0])
    winner = torch.empty(y.shape, dtype=torch.int32)
    core.region_forward(x, lengths, weight, bias, torch.get_num_threads(), y, winner)
    return y, winner


class _Greatest(torch.autograd.Function):
    """(x, lengths, weight, bias, kept) -> y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor | None, kept: int) -> Tensor:
        y, winner = _forward(x, lengths, weight, bias, kept)
        ctx.save_for_backward(x, lengths, weight, winner)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor | None, ...]:
        x, lengths, weight, winner = ctx.saved_tensors
        core = native.core()
        assert core is not None  # the forward pass has used it
        wanted = ctx.needs_input_grad
        d_x = torch.empty_like(x) if wanted[0] else None
        d_weight = torch.empty_like(weight) if wanted[2] else None
        d_bias = weight.new_empty(weight.shape[0]) if wanted[3] else None
        core.region_backward(
            x, lengths, weight, torch.get_num_threads(), winner, d_y.contiguous(), d_x, d_weight, d_bias
        )
        return d_x, None, d_weight, d_bias, None
