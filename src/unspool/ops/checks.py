"""Checks of a layer's arguments, shared by `ops` and `nn`, so that every refusal reads alike."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from unspool.errors import SettingError, nearest, shorten
from unspool.ops.lengths import check_lengths


def positive(name: str, value: object) -> int:
    """`value` when it is a whole number of at least 1, else a SettingError naming the argument."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingError(f"{name} must be a whole number of at least 1, not {shorten(repr(value))}")
    return value


def fraction(name: str, value: object) -> float:
    """`value` as a probability in [0, 1), else a SettingError naming the argument."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise SettingError(f"{name} must be a number from 0 up to, but not including, 1, not {shorten(repr(value))}")
    return float(value)


def above_zero(name: str, value: float) -> float:
    """`value` when it is a finite number greater than 0, else a SettingError naming the argument."""
    if not 0 < value < float("inf"):
        raise SettingError(f"{name} must be a number above 0, not {shorten(repr(value))}")
    return value


def choice(name: str, value: object, known: Iterable[str]) -> str:
    """`value` when it is one of `known`, else a SettingError listing them."""
    names = list(known)
    if isinstance(value, str) and value in names:
        return value
    hint = nearest(value, names) if isinstance(value, str) else ""
    raise SettingError(f"{name} must be one of {', '.join(names)}, not {shorten(repr(value))}{hint}")


def sequence(x: Tensor, features: int | None = None) -> None:
    """Refuse anything but a floating (B, T, D) tensor, with D = `features` when that is given."""
    if not x.is_floating_point():
        raise TypeError(f"input: expected floating-point numbers, got {x.dtype}")
    if x.dim() != 3 or (features is not None and x.shape[2] != features):
        last = "features" if features is None else features
        raise ValueError(f"input: expected shape (batch, time, {last}), got {tuple(x.shape)}")


def row_lengths(x: Tensor, lengths: Tensor | None) -> Tensor:
    """The checked lengths (B,) int64 of `x` (B, T, D); None means that every row is T long."""
    rows, steps = x.shape[:2]
    if lengths is None:
        return torch.full((rows,), steps, dtype=torch.int64, device=x.device)
    return check_lengths(lengths, rows, steps, x.device)
