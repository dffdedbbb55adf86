"""A dense layer whose answers and gradients have the same bits on any number of threads.

torch leaves its products to a library that may sum in another order on another number of threads (on some CPUs it
does). Ours sum in the order of the depth, always.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from unspool import native
from unspool.ops.rooms import room


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (…, D), weight (O, D), bias (O,) or None → (…, O): what torch.nn.functional.linear gives.

    By the compiled core for float32 on the CPU, elsewhere by torch. Raises ValueError or TypeError for shapes or types
    that do not fit.
    """
    if torch.compiler.is_compiling() or not takes(x, weight, bias) or 0 in weight.shape:
        return functional.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    weight = weight.contiguous()
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in (x, weight, bias)):
        y = cast(Tensor, _Linear.apply(rows, weight, bias))  # type: ignore[no-untyped-call]
    else:
        y = _forward(rows, weight, bias)
    return y.view(*x.shape[:-1], len(weight))


def gradients(x: Tensor, weight: Tensor, given: Tensor, d_x: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients (O, D) and (O,) of weight (O, D) and the bias, from x (N, D) and the gradient of the answer (N, O);
    that of x is written into d_x (N, D)."""
    if not takes(x, weight, given):
        torch.mm(given, weight, out=d_x)
        return given.t() @ x, given.sum(0)
    found = room(*weight.shape), weight.new_empty(len(weight))
    _backward(x.contiguous(), weight.contiguous(), given, d_x, *found)
    return found


def takes(*parts: Tensor | None) -> bool:
    """Whether the compiled core is present and computes with these tensors."""
    return native.core() is not None and all(
        part is None
        or (part.dtype == torch.float32 and part.device.type == "cpu" and type(part) in (Tensor, torch.nn.Parameter))
        for part in parts
    )


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = room(len(x), len(weight))
    native.present().linear_forward(x, weight, bias, torch.get_num_threads(), y)
    return y


def _backward(x: Tensor, weight: Tensor, given: Tensor, *found: Tensor | None) -> None:
    native.present().linear_backward(x, weight, torch.get_num_threads(), given.contiguous(), *found)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph=True: in operations that have gradients themselves
            return (
                given @ weight if need_x else None,
                given.t() @ x if need_weight else None,
                given.sum(0) if need_bias else None,
            )
        d_x = room(*x.shape) if need_x else None
        d_weight = room(*weight.shape) if need_weight else None
        d_bias = weight.new_empty(len(weight)) if need_bias else None
        _backward(x, weight, given, d_x, d_weight, d_bias)
        return d_x, d_weight, d_bias
