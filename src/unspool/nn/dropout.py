"""The dropouts of sequence models, and the limit on weight rows that Kim 2014 uses beside them."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from unspool.ops import checks

PADDING = 0
UNKNOWN = 1
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of a number


class VariationalDropout(nn.Module):
    """Dropout with one mask a text, the same at every time step (Gal and Ghahramani 2016).

    x (B, T, D) to the same shape. In training each feature of each text is zeroed with probability p over all of its
    steps, the rest divided by 1 - p; in evaluation nothing happens.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = checks.fraction("p", p)

    def forward(self, input: Tensor) -> Tensor:
        """input (B, T, D); gives (B, T, D)."""
        checks.sequence(input)
        return drop_features(input, self.p) if self.training and self.p else input

    def extra_repr(self) -> str:
        return f"p={self.p}"


def drop_features(x: Tensor, p: float) -> Tensor:
    """x (B, T, D) with each feature of each row zeroed with probability p at all of its steps, the rest over 1 - p."""
    keep = torch.empty_like(x[:, :1]).bernoulli_(1 - p).to(_BITS[x.element_size()]).neg_()
    return cast(Tensor, _Kept.apply(x, keep, 1 / (1 - p)))  # type: ignore[no-untyped-call]


class _Kept(torch.autograd.Function):
    """x · scale where kept, else 0: a choice, not a product, so what was dropped gives no gradient even where the input
    is not finite. `keep` has all bits of a number or none: torch chooses by bits in a third of the time that it takes
    with booleans, and its own graph would walk over the texts three times as often."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(keep)
        ctx.scale = scale
        return (x.view(keep.dtype) & keep).view(x.dtype).mul_(scale)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return _Kept.apply(given, keep, ctx.scale), None, None  # type: ignore[no-untyped-call]


class WordDropout(nn.Module):
    """Whole tokens replaced by the unknown word, 1, each with probability p, in training (Bowman et al. 2016).

    Token ids of any shape to the same shape. Padding, 0, is never touched. It also teaches the model what an unknown
    word means, which the training part would otherwise hardly show.
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p = checks.fraction("p", p)

    def forward(self, input: Tensor) -> Tensor:
        """input: integer ids of any shape; gives ids of the same shape and type."""
        if input.is_floating_point():
            raise TypeError(f"input: WordDropout takes token ids, put it before the embedding; got {input.dtype}")
        if not self.training or self.p == 0:
            return input
        dropped = torch.rand(input.shape, device=input.device) < self.p
        return input.masked_fill(dropped & (input != PADDING), UNKNOWN)

    def extra_repr(self) -> str:
        return f"p={self.p}"


@torch.no_grad()
def max_norm_(weight: Tensor, limit: float) -> Tensor:
    """Rescale, in place, each row of `weight` (F, ...) whose Euclidean norm exceeds `limit` to that norm.

    Called after an optimiser step (Kim 2014 uses limit 3 on the rows of the last layer). Returns `weight`.
    """
    checks.above_zero("limit", limit)
    norms = weight.flatten(1).norm(dim=1)
    shrink = (limit / norms).clamp(max=1)
    return weight.mul_(shrink.view(-1, *[1] * (weight.dim() - 1)))
