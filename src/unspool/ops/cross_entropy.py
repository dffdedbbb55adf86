"""A linear layer over a vocabulary and its cross-entropy in one pass, without ever holding all the logits.

With V in the thousands the logits (N, V) are the largest thing of a step. Here some rows at a time go through
everything, loss and gradient: few enough to stay near the core, and enough to be worth packing the weights for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unspool import native
from unspool.ops import linear
from unspool.ops.once import differentiable_once

FLOATS_AT_ONCE = 2**19  # of logits: 2 MiB, about a core's own cache
ROWS_AT_ONCE = 256  # at least


def linear_cross_entropy(
    x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Mean over the rows of the cross-entropy, in nats, of softmax(x weightᵀ + bias) with the targets.

    x (N, D), weight (V, D), bias (V,), targets (N,) int64 from 0 to V - 1; N = 0 gives 0. Each target keeps
    1 - label_smoothing of its share, the rest is spread over all V (Szegedy et al. 2016, section 7), as in
    torch.nn.functional.cross_entropy. The gradient is made together with the loss and can be asked for once.
    Raises ValueError for shapes that do not fit or a target outside the vocabulary.
    """
    if x.dim() != 2 or weight.dim() != 2 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"expected x (N, D) and weight (V, D), got {tuple(x.shape)} and {tuple(weight.shape)}")
    if bias.shape != weight.shape[:1] or targets.shape != x.shape[:1]:
        raise ValueError(f"expected bias (V,) and targets (N,), got {tuple(bias.shape)} and {tuple(targets.shape)}")
    if targets.numel():
        low, high = (int(one) for one in torch.aminmax(targets))
        if low < 0 or high >= len(weight):
            raise ValueError(f"targets: expected 0 to {len(weight) - 1}, got {low} to {high}")
    targets = targets.contiguous()
    if not torch.is_grad_enabled():
        return _walk(x, weight, bias, targets, label_smoothing, None)
    loss: Tensor = _LinearCrossEntropy.apply(x, weight, bias, targets, label_smoothing)  # type: ignore[no-untyped-call]
    return loss


Gradients = tuple[Tensor, Tensor, Tensor]


def _walk(
    x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, gradients: Gradients | None
) -> Tensor:
    """The mean loss, some rows at a time; `gradients` of x, weight and bias are filled on the way."""
    rows, total = max(ROWS_AT_ONCE, FLOATS_AT_ONCE // len(weight)), x.new_zeros((), dtype=torch.float64)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        shares = linear.linear(x[part], weight, bias)
        total += _losses(shares, targets[part], smoothing, 1 / len(x)).sum(dtype=torch.float64)
        if gradients is not None:
            _add_gradients(x[part], weight, shares, gradients[0][part], *gradients[1:])
    return (total / max(1, len(x))).to(x.dtype)


def _add_gradients(x: Tensor, weight: Tensor, shares: Tensor, d_x: Tensor, d_weight: Tensor, d_bias: Tensor) -> None:
    for total, found in zip((d_weight, d_bias), linear.gradients(x, weight, shares, d_x), strict=True):
        total.add_(found)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        need = any(ctx.needs_input_grad)
        d_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        ctx.gradients = (d_x, torch.zeros_like(weight), torch.zeros_like(bias)) if need else None
        return _walk(x, weight, bias, targets, smoothing, ctx.gradients)

    @staticmethod
    @differentiable_once("linear_cross_entropy has no gradient of gradients: use torch.nn.functional.cross_entropy")
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("linear_cross_entropy: its gradient can be asked for once only")
        gradients, ctx.gradients = ctx.gradients, None
        if given != 1:
            gradients = tuple(gradient.mul_(given) for gradient in gradients)
        return *gradients, None, None


def _losses(logits: Tensor, targets: Tensor, smoothing: float, scale: float) -> Tensor:
    """The losses (n,) of logits (n, V), which become the gradients of them, times `scale`."""
    if linear.takes(logits):
        losses = logits.new_empty(len(logits))
        native.present().cross_entropy(logits, targets, smoothing, scale, torch.get_num_threads(), losses)
        return losses
    wide = logits.shape[1]
    logits.sub_(logits.amax(1, keepdim=True))
    losses = logits.gather(1, targets[:, None]).squeeze(1).mul_(smoothing - 1)
    if smoothing:
        losses.sub_(logits.mean(1), alpha=smoothing)
    shares = logits.exp_()
    sums = shares.sum(1)
    losses += sums.log()
    shares.mul_(sums.reciprocal()[:, None])
    if smoothing:
        shares.sub_(smoothing / wide)
    shares.scatter_add_(1, targets[:, None], shares.new_full((len(shares), 1), smoothing - 1)).mul_(scale)
    return losses
