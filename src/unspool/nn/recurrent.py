"""What all recurrent layers share: torch's arguments, shapes and names around `unspool.ops.recurrent`.

The nine layers themselves are in `cells.py`; each adds the name of its cell and what only it can choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from unspool.errors import SettingError
from unspool.nn.dropout import drop_features
from unspool.nn.initialisation import initialise
from unspool.nn.packed import pack_as, unpack
from unspool.ops import checks, compiled, recurrent, rows
from unspool.ops.call import State
from unspool.ops.layouts import CELLS, parameter_shapes
from unspool.ops.lengths import check_lengths
from unspool.ops.reference import Trace
from unspool.ops.stepper import Stepper

LayerState = Tensor | tuple[Tensor, ...]


class Options(TypedDict, total=False):
    """Keyword arguments that every recurrent layer takes besides torch's; see `Recurrent`."""

    variational: bool
    recurrent_dropout: float
    zoneout: float
    layer_norm: bool
    residual: bool
    device: torch.device | str | None
    dtype: torch.dtype | None


_USUAL: dict[str, object] = {
    "num_layers": 1,
    "nonlinearity": "tanh",
    "reset_after": True,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "variational": False,
    "recurrent_dropout": 0.0,
    "zoneout": 0.0,
    "layer_norm": False,
    "residual": False,
    "kernel_size": 1,
}
"""Settings that `repr` shows when they are not these."""


class Recurrent(nn.Module):
    """Recurrent layers over a sequence, stacked and in one or both directions.

    input_size, hidden_size, num_layers, bias, batch_first, dropout (between layers), bidirectional: as in
    torch.nn.LSTM, and a state dict of torch.nn.LSTM, GRU or RNN loads as it is.
    variational: the dropout between layers hides the same units of a row at all steps of a call (Gal & Ghahramani
    2016); torch's, which is usual, draws anew at each step.
    recurrent_dropout: chance for a unit of the previous state to be hidden from all recurrent products of a row,
    the same units at every step (Gal & Ghahramani 2016). Only in training.
    zoneout: chance for each unit of each state to keep its value over a step (Krueger et al. 2017); in evaluation
    old and new value are mixed in this proportion.
    layer_norm: normalise the input's and the recurrent part of the pre-activations, and the memory before it is
    shown (Ba et al. 2016). `residual`: from the second layer on, add a layer's input to its output.

    Shapes are torch's: input (T, B, I), (B, T, I) with batch_first, (T, I) for one row, or a PackedSequence;
    output with D·H features, D = 2 when bidirectional; state (num_layers · D, B, H), for cells with a memory the
    pair (h, c). `lengths` (B,), default all T: output is 0 past each length, the final state is that after the
    last real step, and what the padding holds changes nothing.

    Raises SettingError for an argument that has no meaning or would have no effect.
    """

    cell: ClassVar[str]
    forget_bias: float = 0.0  # a class with more to choose sets it before the parameters are made here
    kernel_size: int = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        layer_norm: bool = False,
        residual: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.layout = CELLS[self.cell]
        self.input_size = checks.positive("input_size", input_size)
        self.hidden_size = checks.positive("hidden_size", hidden_size)
        self.num_layers = checks.positive("num_layers", num_layers)
        self.bias, self.batch_first = flag("bias", bias), flag("batch_first", batch_first)
        self.bidirectional = flag("bidirectional", bidirectional)
        self.dropout, self.variational = checks.fraction("dropout", dropout), flag("variational", variational)
        self.recurrent_dropout = checks.fraction("recurrent_dropout", recurrent_dropout)
        self.zoneout = checks.fraction("zoneout", zoneout)
        self.layer_norm, self.residual = flag("layer_norm", layer_norm), flag("residual", residual)
        self._refuse_without_effect()
        self._names = [self._add_parameters(k, suffix, device, dtype) for k, suffix in self._parts()]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew; `unspool.nn.initialisation` says how."""
        for names in self._names:
            for name, own in names.items():
                initialise(name, getattr(self, own), self.layout, self.forget_bias)

    def forward(
        self,
        input: Tensor | PackedSequence,
        state: LayerState | None = None,
        lengths: Tensor | Sequence[int] | int | None = None,
    ) -> tuple[Tensor | PackedSequence, LayerState]:
        """(output, final state); the class describes the shapes. A missing state is 0.

        Raises TypeError or ValueError naming the argument that does not fit.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError("lengths: a PackedSequence brings its own; leave them out")
            x, own_lengths = unpack(input)
            y, final = self._over_batch(x, state, own_lengths)
            return pack_as(input, y, own_lengths), final
        if not isinstance(input, Tensor):
            raise TypeError(f"input: expected a tensor or a PackedSequence, got {type(input).__name__}")
        if input.dim() == 2:
            y, final = self._over_batch(input[None], _batched(state), _lengths_of_one(lengths))
            return y[0], _map(final, lambda part: part.squeeze(1))
        if input.dim() != 3:
            raise ValueError(f"input: expected 2 or 3 dimensions, got shape {tuple(input.shape)}")
        if self.batch_first:
            return self._over_batch(input, state, lengths)
        y, final = self._over_batch(input.transpose(0, 1), state, lengths)
        return y.transpose(0, 1), final

    def over_tokens(
        self,
        ids: Tensor,
        embedding: Callable[[Tensor], Tensor],
        state: LayerState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Tensor, LayerState]:
        """What `self(embedding(ids), state, lengths)` gives, from less work: each distinct token of the batch is
        looked up and projected once, and its gradient comes back summed over all its places.

        ids: whole numbers (T, B), (B, T) with batch_first. embedding: maps ids (1, N) to (1, N, I), each id for
        itself: `unspool.nn.Embedding` or `torch.nn.Embedding`; a dropout that differs from place to place has no
        room here. Raises TypeError or ValueError as calling the layer does.
        """
        if ids.dim() != 2 or ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"ids: expected whole numbers of 2 dimensions, got {ids.dtype} {tuple(ids.shape)}")
        distinct, tokens = rows.distinct(ids if self.batch_first else ids.t())
        y, final = self._over_batch(embedding(distinct[None])[0], state, lengths, tokens=tokens)
        return (y if self.batch_first else y.transpose(0, 1)), final

    def step(self, x: Tensor, state: LayerState | None = None) -> tuple[Tensor, LayerState]:
        """One step over x (B, I): (output (B, H), state), equal to the next step of a whole sequence.

        Raises SettingError for layers that also read backwards, and in training with recurrent or variational
        dropout, whose mask has to be the same at all steps.
        """
        if self.bidirectional:
            raise SettingError("step: a bidirectional layer needs the whole sequence; call it with the sequence")
        if self.training and self.recurrent_dropout:
            raise SettingError("step: recurrent_dropout in training needs the whole sequence; call eval() first")
        if self.training and self.variational:
            raise SettingError("step: variational dropout in training needs the whole sequence; call eval() first")
        if x.dim() != 2:
            raise ValueError(f"x: expected shape (B, {self.input_size}), got {tuple(x.shape)}")
        step = x[:, None]
        run = self._infer if self._infers_natively(step, state) else self._over_batch
        y, final = run(step, state, None)
        return y[:, 0], final

    def _infers_natively(self, x: Tensor, state: LayerState | None) -> bool:
        """Whether `_infer` computes this; what is wrong with it is told elsewhere."""
        parts = () if state is None else state if isinstance(state, tuple) else (state,)
        shape = (len(self._names), x.shape[0], self.hidden_size)
        return (
            not torch.is_grad_enabled()
            and x.dtype == torch.float32
            and x.shape[2] == self.input_size
            and compiled.infers(self.layout, x)
            and not (self.layer_norm or self.residual or (self.training and self._drops()))
            and len(parts) == (0 if state is None else len(self.layout.states))
            and all(isinstance(p, Tensor) and p.shape == shape and p.dtype == x.dtype for p in parts)
        )

    def _drops(self) -> bool:
        return bool(self.dropout or self.zoneout or self.recurrent_dropout)

    def _infer(self, x: Tensor, state: LayerState | None, lengths: Tensor | None) -> tuple[Tensor, LayerState]:
        """All layers over x (B, T, I) by one native call."""
        shape = (len(self._names), x.shape[0], self.hidden_size)
        parts = [x.new_zeros(shape) for _ in self.layout.states] if state is None else _parts_of(state)
        options = {"directions": 1 + self.bidirectional, "keep_share": self.zoneout, **self._cell_options()}
        y, after = compiled.infer(self.layout, x, parts, self._weights(), lengths, **options)
        return y, after if len(after) > 1 else after[0]

    def stepper(
        self, products: Sequence[tuple[Tensor, Tensor | None]] = (), *, vectors: Tensor | None = None
    ) -> Stepper | None:
        """Steps in evaluation with the weights as they are now: quicker than `step`, whose weights may change at any
        time. None where the compiled core is absent or does not take such layers.

        products: (weight (O, D), bias (O) or None) of dense layers to be computed after these. `vectors` (V, I): the
        steps are then over tokens, each of which stands for its row of them.
        """
        weight = self._parameters[next(iter(self._names[0].values()))]
        usual = not (self.bidirectional or self.layer_norm or self.residual)
        if not usual or weight is None or weight.dtype != torch.float32 or not compiled.infers(self.layout, weight):
            return None
        options = self._cell_options()
        return Stepper(self.layout, self._weights(), products, vectors=vectors, keep_share=self.zoneout, **options)

    def _weights(self) -> list[dict[str, Tensor]]:
        """The parameters of each layer and direction, by the names of `ops.layouts`."""
        found = self._parameters  # quicker than getattr, which knows what pruning and parametrizations put there
        return [
            {name: cast(Tensor, found[own] if own in found else getattr(self, own)) for name, own in names.items()}
            for names in self._names
        ]

    def trace(
        self, input: Tensor, state: LayerState | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> list[Trace]:
        """Gates, states and outputs at every step, (B, T, H) each: one Trace for each layer and direction, in the
        order of the state. `input` has three dimensions, as in `forward`."""
        if input.dim() != 3:
            raise ValueError(f"input: expected 3 dimensions, got shape {tuple(input.shape)}")
        traces: list[Trace] = []
        self._over_batch(input if self.batch_first else input.transpose(0, 1), state, lengths, traces)
        return traces

    def extra_repr(self) -> str:
        shown = [f"{self.input_size}, {self.hidden_size}"]
        for name, usual in _USUAL.items():
            value = getattr(self, name, usual)
            shown += [f"{name}={value}"] if value != usual else []
        return ", ".join(shown)

    def _cell_options(self) -> dict[str, Any]:
        """What `ops.recurrent.run` is to be told about the cell, besides its name."""
        return {}

    def _refuse_without_effect(self) -> None:
        if self.num_layers == 1 and self.dropout:
            raise SettingError("dropout acts between layers and has no effect with num_layers=1; leave it at 0")
        if self.variational and not self.dropout:
            raise SettingError("variational is of the dropout between layers and has no effect with dropout=0")
        if self.num_layers == 1 and self.residual:
            raise SettingError("residual acts from the second layer on and has no effect with num_layers=1")
        if self.recurrent_dropout and not self.layout.recurrent:
            raise SettingError(
                f"recurrent_dropout: {type(self).__name__} has no recurrent product to drop from; use zoneout"
            )

    def _parts(self) -> list[tuple[int, str]]:
        """(layer, suffix) of each layer and direction, in torch's order."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [(k, f"_l{k}{direction}") for k in range(self.num_layers) for direction in directions]

    def _width(self, layer: int) -> int:
        """How many features enter a layer."""
        return self.hidden_size * (1 + self.bidirectional) if layer else self.input_size

    def _add_parameters(
        self, layer: int, suffix: str, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> dict[str, str]:
        shapes = parameter_shapes(
            self.cell,
            self._width(layer),
            self.hidden_size,
            bias=self.bias,
            layer_norm=self.layer_norm,
            kernel_size=self.kernel_size,
        )
        for name, shape in shapes.items():
            self.register_parameter(name + suffix, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        return {name: name + suffix for name in shapes}

    def _over_batch(
        self,
        x: Tensor,
        state: LayerState | None,
        lengths: Tensor | Sequence[int] | int | None,
        traces: list[Trace] | None = None,
        tokens: Tensor | None = None,
    ) -> tuple[Tensor, LayerState]:
        """All layers over x (B, T, I), or (N, I) with `tokens` (B, T)."""
        if not x.is_floating_point():
            raise TypeError(f"input: expected floating-point numbers, got {x.dtype}")
        if x.shape[-1] != self.input_size:
            raise ValueError(f"input: expected {self.input_size} features, got {x.shape[-1]}")
        batch, steps = (x if tokens is None else tokens).shape[:2]
        if lengths is not None:
            lengths = check_lengths(cast("Tensor | Sequence[int]", lengths), batch, steps, x.device)
        if traces is None and tokens is None and self._infers_natively(x, state):
            return self._infer(x, state, lengths)
        initial = self._spread(state, x, batch)
        final: list[State] = []
        directions = 1 + self.bidirectional
        for layer in range(self.num_layers):
            entering, outputs = x, []
            if layer and self.dropout:
                x = self._between(x)
            for part in range(layer * directions, (layer + 1) * directions):
                y, after = self._run(part, x, initial[part], lengths, traces, None if layer else tokens)
                outputs.append(y)
                final.append(after)
            y = torch.cat(outputs, 2) if self.bidirectional else outputs[0]
            x = y + entering if layer and self.residual else y
        return x, self._collect(final)

    def _between(self, x: Tensor) -> Tensor:
        """The dropout before a further layer."""
        if self.variational and self.training:
            return drop_features(x, self.dropout)
        return functional.dropout(x, self.dropout, self.training)

    def _run(
        self,
        part: int,
        x: Tensor,
        state: State,
        lengths: Tensor | None,
        traces: list[Trace] | None,
        tokens: Tensor | None,
    ) -> tuple[Tensor, State]:
        """One layer in one direction."""
        shape = (x if tokens is None else tokens).shape
        arguments: dict[str, Any] = {
            "reverse": self.bidirectional and part % 2 == 1,
            "state_mask": self._draw_state_mask(x, shape[0]),
            "zoneout": self._draw_zoneout(x, shape[0], shape[1]),
            **self._cell_options(),
        }
        weights = {name: getattr(self, own) for name, own in self._names[part].items()}
        if traces is None:
            return recurrent.run(self.cell, x, state, weights, lengths, tokens=tokens, **arguments)
        traces.append(recurrent.trace(self.cell, x, state, weights, lengths, **arguments))
        return traces[-1].output, traces[-1].final

    def _draw_state_mask(self, x: Tensor, rows: int) -> Tensor | None:
        if not (self.training and self.recurrent_dropout):
            return None
        kept = 1 - self.recurrent_dropout
        return x.new_empty(rows, self.hidden_size).bernoulli_(kept) / kept

    def _draw_zoneout(self, x: Tensor, rows: int, steps: int) -> Tensor | float | None:
        if not (self.training and self.zoneout):
            return self.zoneout or None
        return random_bits((len(self.layout.states), rows, steps, self.hidden_size), self.zoneout, x.device)

    def _spread(self, state: LayerState | None, x: Tensor, rows: int) -> list[State]:
        """The state of each layer and direction, rows first; 0 when there is none."""
        layers, hidden = len(self._names), self.hidden_size
        shapes = [(layers, rows, hidden)] * len(self.layout.states)
        if self.layout.window:
            shapes += [(self.kernel_size - 1, rows, self._width(layer)) for layer, _ in self._parts()]
        parts = tuple(x.new_zeros(shape) for shape in shapes) if state is None else _parts_of(state)
        if [tuple(part.shape) for part in parts] != shapes:
            found = ", ".join(str(tuple(part.shape)) for part in parts)
            raise ValueError(f"state: expected {', '.join(map(str, shapes))}, got {found}")
        common = len(self.layout.states)
        spread = [tuple(part[k] for part in parts[:common]) for k in range(layers)]
        if not self.layout.window:
            return spread
        return [(*spread[k], parts[common + k].transpose(0, 1)) for k in range(layers)]

    def _collect(self, final: list[State]) -> LayerState:
        """The inverse of `_spread`."""
        common = len(self.layout.states)
        parts = [torch.stack([state[index] for state in final]) for index in range(common)]
        if self.layout.window:
            parts += [state[common].transpose(0, 1) for state in final]
        return tuple(parts) if len(parts) > 1 else parts[0]


def flag(name: str, value: object) -> bool:
    """`value` when it is True or False, else a TypeError naming the argument."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {type(value).__name__}")
    return value


def random_bits(shape: tuple[int, ...], share: float, device: torch.device) -> Tensor:
    """Booleans that are True with probability `share`, to 1 in 65,536, drawn from torch's generator.

    One draw of the generator makes four of them: three times as fast as torch.bernoulli, which matters where a
    number is drawn for every unit at every step.
    """
    count = math.prod(shape)
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
    return (drawn.view(torch.int16)[:count] < min(round(share * 65536), 65535) - 32768).view(shape)


def _parts_of(state: LayerState) -> tuple[Tensor, ...]:
    """The tensors of a state. Raises TypeError when something else is in their place."""
    if isinstance(state, Tensor):
        return (state,)
    wanted = "state: expected a tensor or a tuple of tensors, got"
    if not isinstance(state, tuple | list):
        raise TypeError(f"{wanted} {type(state).__name__}")
    for part in state:
        if not isinstance(part, Tensor):
            raise TypeError(f"{wanted} {type(part).__name__} in it")
    return tuple(state)


def _map(state: LayerState, change: Callable[[Tensor], Tensor]) -> LayerState:
    return change(state) if isinstance(state, Tensor) else tuple(change(part) for part in _parts_of(state))


def _batched(state: LayerState | None) -> LayerState | None:
    return None if state is None else _map(state, lambda part: part.unsqueeze(1))


def _lengths_of_one(lengths: Tensor | Sequence[int] | int | None) -> Tensor | None:
    """The length of a single row, in whatever form it came, as a batch of one."""
    return None if lengths is None else torch.as_tensor(lengths).reshape(-1)
