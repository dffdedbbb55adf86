"""From a sequence to one vector a text: the poolings, each over the valid steps only.

Every pooling is built from the number of features of a step, has `out_features`, and maps x (B, T, D) with lengths
(B,) to (B, out_features). An empty text gives zeros. `POOLINGS` maps the names users write to the classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unspool.errors import SettingError
from unspool.nn.linear import Linear
from unspool.ops import checks
from unspool.ops.convolution import blank, moments
from unspool.ops.lengths import last_steps, valid_steps


class Pooling(nn.Module):
    """The abstract base: remembers the width and checks the input; a pooling supplies `pool`."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.in_features = checks.positive("in_features", in_features)
        self.out_features = in_features

    def forward(self, input: Tensor, lengths: Tensor | None = None) -> Tensor:
        """input (B, T, in_features), lengths (B,) or None for T everywhere; gives (B, out_features)."""
        checks.sequence(input, self.in_features)
        lengths = checks.row_lengths(input, lengths)
        if not input.shape[1]:  # no step at all: every text is empty
            input = F.pad(input, (0, 0, 0, 1))
        return self.pool(blank(input, lengths), lengths)

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (B, T, D), T at least 1, zeros past each length; gives (B, out_features)."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.in_features}"


class LastPool(Pooling):
    """The last valid step; when `bidirectional`, the first half of the features from there, the second from step 0.

    That is where the forward and the backward direction of a recurrent layer have read the whole text.
    """

    def __init__(self, in_features: int, *, bidirectional: bool = False) -> None:
        super().__init__(in_features)
        if bidirectional and in_features % 2:
            raise SettingError(f"in_features must be even for two directions, not {in_features}")
        self.bidirectional = bidirectional

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        last = last_steps(x, lengths, torch.zeros_like(x[:, 0]))
        if not self.bidirectional:
            return last
        half = self.in_features // 2
        return torch.cat([last[:, :half], x[:, 0, half:]], 1)


class MaxPool(Pooling):
    """The greatest value of each feature."""

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        valid = valid_steps(lengths, x.shape[1])[..., None]
        greatest = x.masked_fill(~valid, -torch.inf).amax(1)
        return torch.where(lengths[:, None] > 0, greatest, 0)


class MeanPool(Pooling):
    """The mean of each feature."""

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        return moments(x, lengths, variance=False)


class MeanVariancePool(Pooling):
    """The means, then the population variances: out_features is twice in_features; the variance of one step is 0."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.out_features = 2 * in_features

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        return moments(x, lengths, variance=True)


class AttentionPool(Pooling):
    """The mean weighted by a learned score of each step: Σ_t a_t x_t, a = softmax_t(v · tanh(W x_t + b)).

    Yang et al. 2016, equations 5 to 7. W is (attention_size, in_features), attention_size = in_features by default.
    Glorot initialisation, bias zero.
    """

    def __init__(self, in_features: int, *, attention_size: int | None = None) -> None:
        super().__init__(in_features)
        self.attention_size = (
            in_features if attention_size is None else checks.positive("attention_size", attention_size)
        )
        self.project = Linear(in_features, self.attention_size)
        self.context = Linear(self.attention_size, 1, bias=False)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.xavier_uniform_(self.context.weight)

    def attention(self, input: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The weights a, (B, T): they sum to 1 over the valid steps, and are 0 in the padding and in empty texts."""
        checks.sequence(input, self.in_features)
        lengths = checks.row_lengths(input, lengths)
        return self._weights(blank(input, lengths), lengths)

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        return torch.bmm(self._weights(x, lengths)[:, None], x).squeeze(1)

    def _weights(self, x: Tensor, lengths: Tensor) -> Tensor:
        scores = self.context(torch.tanh(self.project(x))).squeeze(2)
        valid = valid_steps(lengths, x.shape[1])
        # An empty text would be a softmax over nothing, 0/0: it gets one over everything, and then zeros.
        open_steps = valid | (lengths == 0)[:, None]
        weights = scores.masked_fill(~open_steps, -torch.inf).softmax(1)
        return torch.where(valid, weights, 0)


POOLINGS: dict[str, type[Pooling]] = {
    "last": LastPool,
    "max": MaxPool,
    "mean": MeanPool,
    "mean+variance": MeanVariancePool,
    "attention": AttentionPool,
}


def make_pooling(name: str, in_features: int, *, bidirectional: bool = False) -> Pooling:
    """The pooling of that name; `bidirectional` tells "last" where the second direction ends, the others need not know.

    Raises SettingError for an unknown name.
    """
    checks.choice("pooling", name, POOLINGS)
    if name == "last":
        return LastPool(in_features, bidirectional=bidirectional)
    return POOLINGS[name](in_features)
