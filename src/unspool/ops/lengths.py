"""Which steps of a padded batch are real.

A batch (B, T, …) with `lengths` (B,) has, in row b, real steps 0 … lengths[b] - 1 and padding after them. What
the padding holds, NaN included, must reach neither a value nor a gradient: `keep` is the way to take it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_lengths(lengths: Tensor | Sequence[int], rows: int, steps: int, device: torch.device) -> Tensor:
    """`lengths` as an int64 tensor (rows,) on `device`.

    Raises TypeError when they are not whole numbers; ValueError when there are not `rows` of them, or one is
    negative or greater than `steps`.
    """
    try:
        checked = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"lengths: expected whole numbers, one a row, got {type(lengths).__name__}") from error
    if checked.numel() == 0 and not isinstance(lengths, Tensor):
        checked = checked.long()  # an empty list has no number that could tell its type
    if checked.dtype == torch.bool or checked.is_floating_point() or checked.is_complex():
        raise TypeError(f"lengths: expected whole numbers, got {checked.dtype}")
    if checked.shape != (rows,):
        raise ValueError(f"lengths: expected shape ({rows},), one a row, got {tuple(checked.shape)}")
    # A compiled graph would break at a look at the numbers; the compiled core looks at them itself.
    if rows and not torch.compiler.is_compiling() and (int(checked.min()) < 0 or int(checked.max()) > steps):
        low, high = int(checked.min()), int(checked.max())
        raise ValueError(f"lengths: expected 0 to {steps}, the steps of the input, got {low} to {high}")
    return checked.to(device=device, dtype=torch.int64)


def valid_steps(lengths: Tensor, steps: int) -> Tensor:
    """(B, T) bool: True where a step is real."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def keep(x: Tensor, valid: Tensor) -> Tensor:
    """`x` (B, T, …) where `valid` (B, T), and 0 elsewhere, whatever stood there; the gradient is 0 there, too."""
    return torch.where(valid.reshape(*valid.shape, *[1] * (x.dim() - 2)), x, 0.0)


def reverse_rows(x: Tensor, lengths: Tensor | None) -> Tensor:
    """`x` (B, T, D) with the real steps of each row in reverse order; padding stays where it is.

    Its own inverse. `lengths` None: every step is real.
    """
    if lengths is None:
        return x.flip(1)
    step = torch.arange(x.shape[1], device=x.device)
    source = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)
    return x[torch.arange(x.shape[0], device=x.device)[:, None], source]


def last_steps(x: Tensor, lengths: Tensor, otherwise: Tensor) -> Tensor:
    """(B, D): the last real step of each row of `x` (B, T, D), and `otherwise` (B, D) for a row that has none."""
    rows = torch.arange(x.shape[0], device=x.device)
    return torch.where((lengths > 0)[:, None], x[rows, (lengths - 1).clamp_min(0)], otherwise)
