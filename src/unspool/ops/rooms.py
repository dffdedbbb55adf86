"""Memory for large results, kept from one call to the next.

Fresh pages cost a tenth of what is computed on them. So what a large tensor leaves when it dies goes to the next one,
up to 256 MiB (native/room.cpp).
"""

from __future__ import annotations

from math import prod
from typing import cast

import torch
from torch import Tensor

from unspool import native

_LARGE = 2**19  # floats, 2 MiB: smaller ones the C library keeps by itself


def room(*shape: int) -> Tensor:
    """An uninitialised dense float32 tensor on the CPU, for the compiled core."""
    if prod(shape) < _LARGE:
        return torch.empty(shape, dtype=torch.float32, device="cpu")
    return cast(Tensor, native.present().room(shape))
