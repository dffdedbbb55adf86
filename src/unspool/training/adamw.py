"""torch's AdamW, without loading torch's compiler."""

from __future__ import annotations

from inspect import unwrap

import torch
from torch.optim import Optimizer


class AdamW(torch.optim.AdamW):
    """torch.optim.AdamW as it is, step for step; only, what torch wraps around its methods to keep its compiler out is
    taken off: at its first call it loads that compiler, which takes a second or two of every training."""

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)

    def step(self) -> None:  # type: ignore[override]
        """One update."""
        with torch.no_grad():
            unwrap(torch.optim.AdamW.step)(self)
