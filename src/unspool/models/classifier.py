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
from unspool.models.encoders import RegionEncoder, make_encoder

LEAST_DEVIATION = 0.01  # of a feature that counts: below, it would be scaled up with its rounding


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

    mean: Tensor | None
    deviation: Tensor | None

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
        self.register_buffer("mean", None)
        self.register_buffer("deviation", None)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B,) → logits (B, classes)."""
        features = self.features(ids, lengths)
        if self.mean is not None and self.deviation is not None:
            features = (features - self.mean) / self.deviation
        return cast(Tensor, self.output(self.dropout(features)))

    def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B,) → what the encoder makes of them, (B, D)."""
        ids = self.word_dropout(ids)
        if isinstance(self.encoder, RegionEncoder):  # the padding's vector is 0, so ids can be widened: far less work
            embedded = self.embedding_dropout(self.embedding(self.encoder.widened(ids, lengths)))
            return self.encoder.over_widened(embedded, lengths)
        embedded = self.embedding_dropout(self.embedding(ids))  # (B, T, E)
        return self.encoder(embedded, lengths)

    def standardise(self, features: Tensor) -> None:
        """Let the output read features less the mean, over the deviation, of `features` (N, D), N at least 2, until
        `fold`. Those of a language model hardly vary around a mean of their own, and AdamW, which moves every weight at
        one pace, would hardly tell them apart: docs/experiments.md, "A classifier from a language model"."""
        self.mean, self.deviation = features.mean(0), features.std(0).clamp_min(LEAST_DEVIATION)

    @torch.no_grad()
    def fold(self) -> None:
        """Put what `standardise` gave into the output's weights: the same answers of an ordinary network."""
        if self.mean is None or self.deviation is None:
            return
        self.output.weight.div_(self.deviation)
        self.output.bias.sub_(self.output.weight @ self.mean)
        self.mean = self.deviation = None

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
