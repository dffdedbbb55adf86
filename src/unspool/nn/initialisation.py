"""How the parameters of a recurrent layer start."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unspool.ops.layouts import CellLayout


def initialise(name: str, parameter: Tensor, layout: CellLayout, forget_bias: float) -> None:
    """Fill one parameter, named as in `layouts.parameter_shapes`, in place.

    weight_ih: Glorot & Bengio 2010, uniform. weight_hh: orthogonal in the block of each gate (Saxe et al. 2014).
    bias_ih: 0, and `forget_bias` in the rows of a forget gate (Jozefowicz et al. 2015). Gains: 1. Everything
    else, peepholes included, 0.
    """
    with torch.no_grad():
        if name == "weight_ih":
            nn.init.xavier_uniform_(parameter)
        elif name == "weight_hh":
            _orthogonal_blocks(parameter)
        elif name.startswith(("ln_", "norm_")) and name.endswith("weight"):
            parameter.fill_(1.0)
        else:
            parameter.zero_()
        if name == "bias_ih" and layout.has_forget_gate:
            parameter.chunk(len(layout.gates))[layout.gates.index("f")].fill_(forget_bias)


def _orthogonal_blocks(weight: Tensor) -> None:
    hidden = weight.shape[1]
    for block in weight.chunk(weight.shape[0] // hidden):
        # the decomposition behind it does not exist for the short floats
        block.copy_(nn.init.orthogonal_(torch.empty(hidden, hidden, device=weight.device, dtype=torch.float32)))
