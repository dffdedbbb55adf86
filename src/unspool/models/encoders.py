"""Vector encoders: (B, T, E) and lengths to (B, D), for every model name.

A vector encoder is a sequence encoder (recurrent, convolutional, or one after the other) and a pooling, or a
convolution that pools by itself. `make_encoder` is the table.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch import nn as torch_nn
from torch.nn import functional

from unspool import nn
from unspool.config import Settings
from unspool.nn.recurrent import Recurrent


class VectorEncoder(Protocol):
    """(B, T, E), lengths (B,) → (B, out_features)."""

    out_features: int

    def __call__(self, x: Tensor, lengths: Tensor) -> Tensor: ...


def recurrent_layers(in_features: int, cell: str, settings: Settings) -> Recurrent:
    """The recurrent layers that the settings describe: (B, T, in_features) → (B, T, hidden, twice if bidirectional)."""
    options: dict[str, Any] = {"reset_after": settings.reset_after} if cell == "gru" else {}
    options |= {"kernel_size": settings.kernel_size} if cell == "qrnn" else {}
    if cell not in ("mingru", "qrnn"):
        options |= {"recurrent_dropout": settings.recurrent_dropout}
    return nn.RECURRENT[cell](
        in_features,
        settings.hidden,
        settings.layers,
        batch_first=True,
        dropout=settings.dropout if settings.layers > 1 else 0.0,
        bidirectional=settings.bidirectional,
        zoneout=settings.zoneout,
        layer_norm=settings.layer_norm,
        residual=settings.residual,
        **options,
    )


class RecurrentEncoder(torch_nn.Module):
    """Recurrent layers of any cell, then a pooling over each text's own steps."""

    def __init__(self, in_features: int, cell: str, settings: Settings) -> None:
        super().__init__()
        self.layer = recurrent_layers(in_features, cell, settings)
        width = settings.hidden * (2 if settings.bidirectional else 1)
        self.pooling = nn.make_pooling(settings.pooling, width, bidirectional=settings.bidirectional)
        self.out_features: int = self.pooling.out_features

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.layer(x, lengths=lengths)  # (B, T, D)
        return cast(Tensor, self.pooling(states, lengths))


class CnnRecurrentEncoder(torch_nn.Module):
    """Convolution and max pooling shorten the text, a recurrent encoder reads what is left."""

    def __init__(self, in_features: int, cell: str, settings: Settings) -> None:
        super().__init__()
        self.convolution = nn.ConvPool(in_features, settings.filters, settings.kernel_size, settings.pool_size)
        self.recurrent = RecurrentEncoder(settings.filters, cell, settings)
        self.out_features = self.recurrent.out_features

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        shorter, lengths = self.convolution(x, lengths)
        return cast(Tensor, self.recurrent(shorter, lengths))


class RegionEncoder(torch_nn.Module):
    """Kim 2014: several region sizes, one pooled value a filter. Texts are widened by zeros on both sides, so
    that the first and the last tokens meet every position of a window."""

    def __init__(self, in_features: int, settings: Settings) -> None:
        super().__init__()
        self.margin = max(settings.region_sizes) - 1
        self.convolution = nn.TextConv(in_features, settings.filters, settings.region_sizes, pooling=settings.pooling)
        self.out_features = self.convolution.out_features

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.over_widened(self.widened(x, lengths), lengths)

    def widened(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Vectors (B, T, E) or ids (B, T) → (B, T + 2 · margin, …), zeros, the id of the padding, around each text."""
        within = [0, 0] * (x.dim() - 2)  # the features stay as many
        wide = functional.pad(x, [*within, self.margin, self.margin])
        beyond = torch.arange(-self.margin, x.shape[1] + self.margin, device=x.device) >= lengths[:, None]
        return wide.masked_fill_(beyond if x.dim() == 2 else beyond[..., None], 0)

    def over_widened(self, x: Tensor, lengths: Tensor) -> Tensor:
        """What `forward` gives, of vectors that are widened already."""
        return cast(Tensor, self.convolution(x, lengths + 2 * self.margin))


class DilatedEncoder(torch_nn.Module):
    """Residual dilated convolutions over all tokens, then a pooling."""

    def __init__(self, in_features: int, settings: Settings) -> None:
        super().__init__()
        self.convolution = nn.DilatedConv(
            in_features, settings.filters, kernel_size=settings.kernel_size, blocks=settings.layers
        )
        self.pooling = nn.make_pooling(settings.pooling, settings.filters, bidirectional=False)
        self.out_features: int = self.pooling.out_features

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return cast(Tensor, self.pooling(self.convolution(x, lengths), lengths))


def make_encoder(in_features: int, settings: Settings) -> VectorEncoder:
    """The vector encoder that `settings.model` names."""
    model = settings.model
    if model == "cnn":
        return RegionEncoder(in_features, settings)
    if model == "stacked-cnn":
        return nn.StackedConv(
            in_features,
            settings.filters,
            settings.kernel_size,
            settings.pool_size,
            layers=settings.layers,
            pooling=settings.pooling,
        )
    if model == "dilated-cnn":
        return DilatedEncoder(in_features, settings)
    if model.startswith("cnn-"):
        return CnnRecurrentEncoder(in_features, model.removeprefix("cnn-"), settings)
    return RecurrentEncoder(in_features, model, settings)
