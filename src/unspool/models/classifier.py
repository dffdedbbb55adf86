"""Many to one: token ids to the log-probabilities of the labels."""

from __future__ import annotations

import re
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch import nn as torch_nn
from torch.nn import functional

from unspool import nn
from unspool.config import Settings
from unspool.models.encoders import make_encoder


class Batch(NamedTuple):
    """Texts of one step: ids (B, T) int64 with 0 after each length, lengths (B,), labels (B,) int64."""

    ids: Tensor
    lengths: Tensor
    labels: Tensor


class Classifier(torch_nn.Module):
    """Embedding, vector encoder, dropout, linear output.

    Args:
        settings: the resolved settings.
        vocabulary_size: rows of the embedding; ids 0 and 1 are padding and unknown.
        classes: number of labels.
        vectors: pretrained rows (vocabulary_size, settings.embedding) float32, used as `settings.vectors_mode` says.
    """

    def __init__(
        self,
        settings: Settings,
        vocabulary_size: int,
        classes: int,
        *,
        vectors: npt.NDArray[np.float32] | None = None,
        vectors_mode: str = "rand",
    ) -> None:
        super().__init__()
        self.settings = settings
        self.word_dropout = nn.WordDropout(settings.word_dropout)
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding, vectors=vectors, mode=vectors_mode)
        self.embedding_dropout = nn.VariationalDropout(settings.embedding_dropout)
        self.encoder = make_encoder(self.embedding.out_features, settings)
        self.dropout = torch_nn.Dropout(settings.dropout)
        self.output = nn.Linear(self.encoder.out_features, classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B,) → logits (B, classes)."""
        ids = self.word_dropout(ids)
        embedded = self.embedding_dropout(self.embedding(ids))  # (B, T, E)
        return cast(Tensor, self.output(self.dropout(self.encoder(embedded, lengths))))

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of the batch, in nats."""
        logits = self(batch.ids, batch.lengths)
        return functional.cross_entropy(logits, batch.labels, label_smoothing=self.settings.label_smoothing)

    def layers(self) -> list[list[torch_nn.Parameter]]:
        """The parameters from the output down to the embedding; recurrent layers one by one, others together."""
        found: dict[int, list[torch_nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            found.setdefault(self._depth(name), []).append(parameter)
        return [found[depth] for depth in sorted(found)]

    def tables(self) -> list[nn.Embedding]:
        """The embeddings that are only ever looked up in."""
        return [self.embedding]

    def _depth(self, name: str) -> int:
        if name.startswith("output.") or ".pooling." in name:
            return 0
        if recurrent := re.search(r"_l(\d+)(_reverse)?$", name):
            return self.settings.layers - int(recurrent[1])
        return self.settings.layers + (2 if name.startswith("embedding.") else 1)

    @torch.no_grad()
    def after_step(self) -> None:
        """What holds after every update: rows of the output no longer than `max_norm`."""
        if self.settings.max_norm is not None:
            nn.max_norm_(self.output.weight, self.settings.max_norm)
