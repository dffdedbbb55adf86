"""The half of a translator that writes: recurrent layers with a look at the source in between.

The first layer reads the target so far; its states ask the attention; further layers read the answer too; a readout
joins both. So without input feeding a whole target goes through in one native call a layer and one attention over
all steps (Luong et al. 2015, section 3, without 3.3), and the second layer still knows where was looked before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import nn as torch_nn

from unspool import nn
from unspool.config import Settings
from unspool.nn.attention import Memory

State = dict[str, Tensor]
"""Everything that goes from step to step, by name, rows first: what a search may reorder."""


def layer_options(cell: str, settings: Settings) -> dict[str, Any]:
    """The arguments of a recurrent layer that depend on its cell, and those all translators' layers share."""
    options: dict[str, Any] = {"zoneout": settings.zoneout, "layer_norm": settings.layer_norm, "batch_first": True}
    if nn.RECURRENT[cell] is nn.QRNN:
        options["kernel_size"] = settings.kernel_size
    if cell == "gru":
        options["reset_after"] = settings.reset_after
    if cell not in ("mingru", "qrnn"):
        options["recurrent_dropout"] = settings.recurrent_dropout
    return options


class AttentiveDecoder(torch_nn.Module):
    """Token vectors (B, T, E) and a memory → readouts (B, T, E), which the output layer compares with the vocabulary.

    Args:
        features: E, width of the token vectors and of the readout.
        memory_features: width of the encoder's steps and of its summary.
        hidden: units of each layer.
        settings: `attention`, `input_feeding`, `decoder_layers`, `dropout`, `residual` and the cell's own.
        cell: name of the recurrent cell.
    """

    def __init__(self, features: int, memory_features: int, hidden: int, cell: str, settings: Settings) -> None:
        super().__init__()
        self.input_feeding, self.residual = settings.input_feeding, settings.residual
        self.attention = (
            None if settings.attention == "none" else nn.Attention(settings.attention, hidden, memory_features)
        )
        context = memory_features if self.attention else 0
        options, kind = layer_options(cell, settings), nn.RECURRENT[cell]
        first = kind(features * (1 + self.input_feeding), hidden, **options)
        further = (kind(hidden + context, hidden, **options) for _ in range(settings.decoder_layers - 1))
        layers = [first, *further]
        self.layers = torch_nn.ModuleList(layers)
        # how many states of `hidden` units each layer has, and the shape of its window of earlier inputs, if any
        self.states = [len(layer.layout.states) for layer in layers]
        self.windows = [(layer.kernel_size - 1, layer.input_size) if layer.layout.window else None for layer in layers]
        self.bridge = nn.Linear(memory_features, hidden * sum(self.states))
        self.readout = nn.Linear(hidden + context, features)
        self.dropout = torch_nn.Dropout(settings.dropout)

    def remember(self, memory: Tensor, lengths: Tensor) -> Memory | None:
        """What all steps of a row share; None without attention."""
        return self.attention.remember(memory, lengths) if self.attention else None

    def start(self, summary: Tensor) -> State:
        """The state before the first token, from the encoder's summary (B, memory_features)."""
        rows, state = summary.shape[0], State()
        parts = iter(torch.tanh(self.bridge(summary)).chunk(sum(self.states), 1))
        for k, (states, window) in enumerate(zip(self.states, self.windows, strict=True)):
            state |= {f"layer{k}.{i}": next(parts)[:, None] for i in range(states)}
            if window:
                state[f"layer{k}.{states}"] = summary.new_zeros(rows, *window)
        if self.input_feeding:
            state["fed"] = summary.new_zeros(rows, self.readout.out_features)
        return state

    def forward(
        self, x: Tensor, memory: Memory | None, state: State, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """x (N, T, E), memory of B rows, state of N rows, lengths (N,) → readouts (N, T, E), state after.

        N is B, or B times a number of beams, those of a row side by side. The state after holds `attention` (N, S),
        the weights of the last step. With input feeding (Luong et al. 2015, section 3.3) each step also reads the
        readout before it, so the steps go one by one.
        """
        if not self.input_feeding:
            return self._run(x, memory, state, lengths)
        readouts = []
        for t in range(x.shape[1]):
            y, state = self._run(torch.cat([x[:, t : t + 1], state["fed"][:, None]], 2), memory, state, None)
            state["fed"] = y[:, 0]
            readouts.append(y)
        return torch.cat(readouts, 1), state

    def _run(self, x: Tensor, memory: Memory | None, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        after = State()
        y = self._layer(0, x, state, after, lengths)
        context: list[Tensor] = []
        if self.attention is not None and memory is not None:
            found, weights = self.attention.attend(y.reshape(len(memory.values), -1, y.shape[2]), memory)
            context = [found.reshape(*y.shape[:2], -1)]
            after["attention"] = weights.reshape(*y.shape[:2], -1)[:, -1]
        for k in range(1, len(self.layers)):
            higher = self._layer(k, torch.cat([self.dropout(y), *context], 2), state, after, lengths)
            y = higher + y if self.residual else higher
        return self.dropout(torch.tanh(self.readout(torch.cat([self.dropout(y), *context], 2)))), after

    def _layer(self, k: int, x: Tensor, state: State, after: State, lengths: Tensor | None) -> Tensor:
        prefix = f"layer{k}."
        parts = tuple(part.transpose(0, 1) for name, part in state.items() if name.startswith(prefix))
        y, final = self.layers[k](x, parts if len(parts) > 1 else parts[0], lengths=lengths)
        final = (final,) if isinstance(final, Tensor) else final
        after |= {f"{prefix}{i}": part.transpose(0, 1) for i, part in enumerate(final)}
        return y  # type: ignore[no-any-return]
