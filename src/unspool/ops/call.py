"""One layer in one direction over a whole batch: its arguments, checked once, for every way to compute it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unspool.errors import SettingError, shorten
from unspool.ops.layouts import CellLayout, layout_of, parameter_shapes
from unspool.ops.lengths import check_lengths

State = tuple[Tensor, ...]
Weights = Mapping[str, Tensor]
NONLINEARITIES = ("tanh", "relu")


@dataclass(frozen=True)
class Call:
    """Checked arguments of `unspool.ops.recurrent.run`, which describes them.

    `lengths` is None when every step of every row is real. With `tokens` (B, T), x is (N, I), one row for each
    distinct token, and the input of a step is the row that its token names.
    """

    layout: CellLayout
    x: Tensor
    state: State
    weights: Weights
    lengths: Tensor | None = None
    reverse: bool = False
    state_mask: Tensor | None = None
    zoneout: Tensor | float | None = None
    nonlinearity: str = "tanh"
    reset_after: bool = True
    tokens: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(B, T)."""
        rows, steps = (self.x if self.tokens is None else self.tokens).shape[:2]
        return rows, steps

    @property
    def hidden_size(self) -> int:
        """H, the width of the output and of each state."""
        return self.weights["weight_ih"].shape[0] // len(self.layout.gates)

    @property
    def kernel_size(self) -> int:
        """Inputs that one step reads: 1 but for the cell with a window."""
        return self.weights["weight_ih"].shape[2] if self.layout.window else 1

    @property
    def layer_norm(self) -> bool:
        """Whether the weights hold gains and shifts of layer normalisation."""
        return "ln_ih_weight" in self.weights


def checked_call(
    cell: str,
    x: Tensor,
    state: State,
    weights: Weights,
    lengths: Tensor | None,
    *,
    reverse: bool = False,
    state_mask: Tensor | None = None,
    zoneout: Tensor | float | None = None,
    nonlinearity: str = "tanh",
    reset_after: bool = True,
    tokens: Tensor | None = None,
) -> Call:
    """The arguments as a Call. Raises TypeError or ValueError naming the argument that does not fit."""
    layout = layout_of(cell)
    _check_options(layout, state_mask, nonlinearity, reset_after)
    _check_tensor("x", x, None)
    if tokens is None and x.dim() != 3:
        raise ValueError(f"x: expected shape (B, T, I), got {tuple(x.shape)}")
    if tokens is not None:
        _check_tokens(tokens, x)
    (rows, steps), width = (x if tokens is None else tokens).shape[:2], x.shape[-1]
    if lengths is not None:
        lengths = check_lengths(lengths, rows, steps, x.device)
        if not torch.compiler.is_compiling():  # a look at the numbers would break the graph
            lengths = None if rows == 0 or int(lengths.min()) == steps else lengths
    call = Call(layout, x, state, weights, lengths, reverse, state_mask, zoneout, nonlinearity, reset_after, tokens)
    _check_weights(call)
    hidden = call.hidden_size
    shapes = [(rows, hidden)] * len(layout.states)
    shapes += [(rows, call.kernel_size - 1, width)] if layout.window else []  # type: ignore[list-item]
    if not isinstance(state, tuple) or len(state) != len(shapes):
        raise TypeError(f"state: expected a tuple of {len(shapes)} tensors, got {_kind(state)}")
    for index, (part, shape) in enumerate(zip(state, shapes, strict=True)):
        _check_tensor(f"state[{index}]", part, x, shape)
    if state_mask is not None:
        _check_tensor("state_mask", state_mask, x, (rows, hidden))
    _check_zoneout(zoneout, (len(layout.states), rows, steps, hidden))
    return call


def _check_options(layout: CellLayout, mask: Tensor | None, nonlinearity: str, reset_after: bool) -> None:
    if nonlinearity not in NONLINEARITIES:
        raise SettingError(f"nonlinearity: expected tanh or relu, got {shorten(nonlinearity)!r}")
    if nonlinearity != "tanh" and layout.name != "rnn":
        raise SettingError(f"nonlinearity: the cell {layout.name} has no choice of it; leave it at tanh")
    if not reset_after and layout.name != "gru":
        raise SettingError(f"reset_after: the cell {layout.name} has no reset gate; leave it at True")
    if mask is not None and not layout.recurrent:
        raise SettingError(f"state_mask: the cell {layout.name} has no recurrent product that a mask could act on")


def _check_weights(call: Call) -> None:
    weights, layout = call.weights, call.layout
    for name in ("weight_ih", "weight_hh") if layout.recurrent else ("weight_ih",):
        if name not in weights:
            raise ValueError(f"weights: {name} is missing")
    dimensions = 3 if layout.window else 2
    if weights["weight_ih"].dim() != dimensions or weights["weight_ih"].shape[0] % len(layout.gates):
        raise ValueError(
            f"weight_ih: expected {dimensions} dimensions and rows for {len(layout.gates)} gates, "
            f"got shape {tuple(weights['weight_ih'].shape)}"
        )
    shapes = parameter_shapes(
        layout.name,
        call.x.shape[-1],
        call.hidden_size,
        bias="bias_ih" in weights,
        layer_norm=call.layer_norm,
        kernel_size=call.kernel_size,
    )
    if set(shapes) != set(weights):
        missing, unknown = sorted(set(shapes) - set(weights)), sorted(set(weights) - set(shapes))
        what = f"{missing[0]} is missing" if missing else f"{shorten(unknown[0])} has no place in this cell"
        raise ValueError(f"weights: {what}")
    for name, shape in shapes.items():
        _check_tensor(name, weights[name], call.x, shape)


def _check_tokens(tokens: Tensor, x: Tensor) -> None:
    if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64:
        raise TypeError(f"tokens: expected a tensor of torch.int64, got {getattr(tokens, 'dtype', type(tokens))}")
    if tokens.dim() != 2 or x.dim() != 2:
        found = f"{tuple(tokens.shape)} and {tuple(x.shape)}"
        raise ValueError(f"tokens, x: expected shapes (B, T) and (N, I), got {found}")
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(x):
        found = f"{int(tokens.min())} to {int(tokens.max())}"
        raise ValueError(f"tokens: expected 0 to {len(x) - 1}, the rows of x, got {found}")


def _check_zoneout(zoneout: Tensor | float | None, shape: tuple[int, ...]) -> None:
    if isinstance(zoneout, Tensor):
        if zoneout.dtype != torch.bool or zoneout.shape != shape:
            found = f"{tuple(zoneout.shape)} of {zoneout.dtype}"
            raise ValueError(f"zoneout: expected a mask (states, B, T, H) = {shape} of torch.bool, got {found}")
    elif zoneout is not None and not 0 <= zoneout <= 1:
        raise ValueError(f"zoneout: expected a probability, 0 to 1, got {zoneout}")


def _check_tensor(name: str, value: object, like: Tensor | None, shape: tuple[int, ...] | None = None) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name}: expected floating-point numbers, got {value.dtype}")
    if shape is not None and value.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(value.shape)}")
    if like is not None and value.dtype != like.dtype:
        raise TypeError(f"{name}: expected {like.dtype}, as x, got {value.dtype}")
    if like is not None and value.device != like.device:
        raise ValueError(f"{name}: expected device {like.device}, as x, got {value.device}")


def _kind(value: object) -> str:
    return f"{len(value)}" if isinstance(value, tuple) else type(value).__name__
