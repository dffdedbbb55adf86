"""Gradients that have no gradient themselves, and say so.

torch's own `once_differentiable` refuses only where the incoming gradient is to be differentiated, too: with that of a
plain sum, the gradient would count as a constant and a penalty on it change nothing, in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Backward = Callable[..., tuple[Tensor | None, ...]]


def differentiable_once(message: str) -> Callable[[Backward], Backward]:
    """Decorates the `backward` of an autograd function: asking for a gradient of what it gives raises RuntimeError with
    the message."""

    def decorate(backward: Backward) -> Backward:
        @wraps(backward)
        def refusing(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
            with torch.no_grad():
                found = backward(ctx, *given)
            if not torch.is_grad_enabled():  # without create_graph=True
                return found
            real = [part.detach().requires_grad_() for part in found if part is not None]
            refused = iter(_Refuse.apply(message, *real))  # type: ignore[no-untyped-call]
            return tuple(None if part is None else next(refused) for part in found)

        return refusing

    return decorate


class _Refuse(torch.autograd.Function):
    """(message, *gradients) -> the gradients as they are."""

    @staticmethod
    def forward(ctx: Any, message: str, *gradients: Tensor) -> tuple[Tensor, ...]:
        ctx.message = message
        return tuple(gradient.view_as(gradient) for gradient in gradients)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[None, ...]:
        raise RuntimeError(ctx.message)
