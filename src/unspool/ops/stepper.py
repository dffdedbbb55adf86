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
from unspool.ops.compiled import kernel_name
from unspool.ops.layouts import CellLayout

Floats = npt.NDArray[np.float32]


class Stepper:
    """Steps of layers in one cell, without gradients, with the weights they had when this was made.

    layers: the weights of each, by name, float32 on the CPU; `products`: (weight (O, D), bias (O) or None) of dense
    layers over the last one. The other arguments are those of `ops.recurrent.run`. A row's answer has the same bits
    beside any other rows and on any number of threads. Only where `native.core()` is present.
    """

    def __init__(
        self,
        layout: CellLayout,
        layers: Sequence[Weights],
        products: Sequence[tuple[Tensor, Tensor | None]] = (),
        *,
        keep_share: float = 0.0,
        nonlinearity: str = "tanh",
        reset_after: bool = True,
    ) -> None:
        core = native.core()
        assert core is not None
        self._native = core.Stepper()
        self._memory = layout.has_memory
        name = kernel_name(layout, nonlinearity, reset_after)
        for weights in layers:
            self._native.add_layer(name, *_arguments(layout, weights, keep_share))
        for weight, bias in products:
            self._native.add_product(weight.detach().contiguous(), None if bias is None else bias.detach())
        self.outputs = len(products[-1][0]) if products else layers[-1]["weight_hh"].shape[1]

    def __call__(
        self, x: Floats, state: Sequence[Floats], *, log_softmax: bool = False
    ) -> tuple[Floats, tuple[Floats, ...]]:
        """x (B, I) and the state's parts (layers, B, H) → (y (B, O), the parts after the step), dense float32.

        log_softmax: of y, over O.
        """
        y = np.empty((len(x), self.outputs), np.float32)
        after = tuple(np.empty(part.shape, np.float32) for part in state)
        c, new_c = (state[1], after[1]) if self._memory else (None, None)
        self._native.step(x, state[0], c, y, after[0], new_c, log_softmax, torch.get_num_threads())
        return y, after


def _arguments(layout: CellLayout, weights: Weights, keep_share: float) -> tuple[Any, ...]:
    """The native call of one row and one step with these weights, by which they are checked."""
    own = {name: value.detach().contiguous() for name, value in weights.items()}
    w_ih, w_hh = own["weight_ih"], own["weight_hh"]
    extra = own.get("weight_ch")
    if layout.normalised:
        extra = torch.cat([own["norm_weight"], own["norm_bias"]])
    row = [w_hh.new_zeros(1, w_hh.shape[1]) for _ in range(4)]
    c, new_c = (row[1], row[3]) if layout.has_memory else (None, None)
    return (
        w_ih.new_zeros(1, 1, w_ih.shape[1]),
        w_ih,
        w_hh,
        own.get("bias_ih"),
        own.get("bias_hh"),
        extra,
        row[0],
        c,
        keep_share,
        torch.empty_like(row[0])[None],
        row[2],
        new_c,
    )
