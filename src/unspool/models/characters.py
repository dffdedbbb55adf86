"""A vector for a word from its spelling: convolution or recurrent layers over its characters."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch import nn as torch_nn
from torch.nn import functional

from unspool import nn

REGION_SIZES = (2, 3, 4)


class CharacterCnn(torch_nn.Module):
    """Windows of 2, 3 and 4 characters and the maximum of each filter (dos Santos and Zadrozny 2014).

    Words are widened by zeros on both sides, so that a filter can see where a word begins and ends.
    """

    def __init__(self, in_features: int, filters: int) -> None:
        super().__init__()
        self.margin = max(REGION_SIZES) - 1
        self.convolution = nn.TextConv(in_features, filters, REGION_SIZES)
        self.out_features = self.convolution.out_features

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        inside = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        widened = functional.pad(x.masked_fill(~inside[..., None], 0.0), (0, 0, self.margin, self.margin))
        return cast(Tensor, self.convolution(widened, lengths + 2 * self.margin))


class CharacterRnn(torch_nn.Module):
    """The last states of a recurrent layer in each direction (Lample et al. 2016)."""

    def __init__(self, in_features: int, hidden: int, cell: str) -> None:
        super().__init__()
        self.layer = nn.RECURRENT[cell](in_features, hidden, batch_first=True, bidirectional=True)
        self.pooling = nn.LastPool(2 * hidden, bidirectional=True)
        self.out_features = self.pooling.out_features

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.layer(x, lengths=lengths)
        return cast(Tensor, self.pooling(states, lengths))


class Speller(torch_nn.Module):
    """Character ids (W, L) with lengths (W,) to word vectors (W, out_features).

    kind: "cnn", or the cell of a recurrent layer. size: rows of the embedding. A word without characters gives zeros.
    """

    def __init__(self, kind: str, size: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, embedding)
        self.dropout = torch_nn.Dropout(dropout)
        self.encoder = CharacterCnn(embedding, hidden) if kind == "cnn" else CharacterRnn(embedding, hidden, kind)
        self.out_features = self.encoder.out_features

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        spelled = self.encoder(self.dropout(self.embedding(characters)), lengths)
        return torch.where(lengths[:, None] > 0, spelled, 0.0)
