"""The dense layer that models use."""

from __future__ import annotations

from torch import Tensor, nn

from unspool.ops.linear import linear


class Linear(nn.Linear):
    """torch.nn.Linear, arguments, start and state dict, but a row's answer has the same bits beside any other rows,
    and all gradients have them on any number of threads (`unspool.ops.linear`)."""

    def forward(self, input: Tensor) -> Tensor:
        """input (…, in_features) → (…, out_features)."""
        return linear(input, self.weight, self.bias)
