"""Steps of stacked layers on weights that are packed once: for whoever takes many, with a model that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unspool import native
from unspool.ops.call import Weights
from unspool.ops.compiled import kernel_name, native_weights
from unspool.ops.layouts import CellLayout

Floats = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

_LARGEST_TABLE = 2**20  # projected numbers, 4 MiB: many more take longer to make than the steps of a text


class Stepper:
    """Steps of layers in one cell, without gradients, with the weights they had when this was made.

    layers: the weights of each, by name, float32 on the CPU; `products`: (weight (O, D), bias (O) or None) of dense
    layers over the last one. `vectors` (V, I): the first layer then reads tokens, each its row of these; when they are
    few, the first layer's product with them is made once, here. The other arguments are those of `ops.recurrent.run`. A
    row's answer has the same bits beside any other rows and on any number of threads. Only where `native.core()` is
    present.
    """

    def __init__(
        self,
        layout: CellLayout,
        layers: Sequence[Weights],
        products: Sequence[tuple[Tensor, Tensor | None]] = (),
        *,
        vectors: Tensor | None = None,
        keep_share: float = 0.0,
        nonlinearity: str = "tanh",
        reset_after: bool = True,
    ) -> None:
        core = native.core()
        assert core is not None
        self._native = core.Stepper()
        self._memory = layout.has_memory
        self._states = len(layout.states), len(layers), layers[0]["weight_hh"].shape[1]
        name = kernel_name(layout, nonlinearity, reset_after)
        table = vectors is not None and len(vectors) * len(layers[0]["weight_ih"]) <= _LARGEST_TABLE
        self._vectors = None if vectors is None or table else vectors.detach().numpy().copy()
        for k, weights in enumerate(layers):
            projected = vectors.detach().contiguous() if vectors is not None and table and k == 0 else None
            self._native.add_layer(name, *_arguments(layout, weights, keep_share), projected)
        for weight, bias in products:
            self._native.add_product(weight.detach().contiguous(), None if bias is None else bias.detach())
        self.outputs = len(products[-1][0]) if products else layers[-1]["weight_hh"].shape[1]

    def __call__(
        self, x: Floats | Int64, state: Sequence[Floats] | None = None, *, log_softmax: bool = False
    ) -> tuple[Floats, tuple[Floats, ...]]:
        """x (B, I), or tokens (B,) int64 with `vectors`, and the state's parts (layers, B, H), 0 when it is None → (y
        (B, O), the parts after the step), dense float32.

        log_softmax: of y, over O. Raises ValueError or TypeError for a shape, a type or a token that does not fit.
        """
        if self._vectors is not None:
            x = self._vectors[x]
        if state is None:
            count, layers, width = self._states
            state = [np.zeros((layers, len(x), width), np.float32)] * count  # they are read only
        y = np.empty((len(x), self.outputs), np.float32)
        after = tuple(np.empty(part.shape, np.float32) for part in state)
        c, new_c = (state[1], after[1]) if self._memory else (None, None)
        given = (None, x) if x.ndim == 1 else (x, None)
        self._native.step(*given, state[0], c, y, after[0], new_c, log_softmax, torch.get_num_threads())
        return y, after


def _arguments(layout: CellLayout, weights: Weights, keep_share: float) -> tuple[Any, ...]:
    """The native call of one row and one step with these weights, by which they are checked."""
    told = native_weights(layout, {name: value.detach() for name, value in weights.items()})
    w_ih, w_hh = told[:2]
    row = [w_hh.new_zeros(1, w_hh.shape[1]) for _ in range(4)]
    c, new_c = (row[1], row[3]) if layout.has_memory else (None, None)
    return (
        w_ih.new_zeros(1, 1, w_ih.shape[1]),
        *told,
        row[0],
        c,
        keep_share,
        torch.empty_like(row[0])[None],
        row[2],
        new_c,
    )
