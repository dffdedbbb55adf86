"""Many to many, aligned: word and spelling vectors of the tokens, a sequence encoder, a tag for each token."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch import nn as torch_nn
from torch.nn import functional

from unspool import nn
from unspool.config import Settings
from unspool.models.characters import Speller
from unspool.models.encoders import recurrent_layers


class TagBatch(NamedTuple):
    """Sentences of one step. words: (B, T) int64 ids, 0 after each length; forms: (B, T) int64 rows of `characters`;
    lengths: (B,); characters: (W, L) int64, the spelling of each distinct form, character_lengths: (W,); tags: (B, T)
    int64, whatever in the padding."""

    words: Tensor
    forms: Tensor
    lengths: Tensor
    characters: Tensor
    character_lengths: Tensor
    tags: Tensor


class Tagger(torch_nn.Module):
    """Embedding and speller, sequence encoder, dropout, linear output, and a softmax or a CRF over the tags.

    Args:
        settings: the resolved settings.
        words: rows of the word embedding; characters: rows of the character embedding, 0 without a speller.
        tags: number of tags.
        vectors: pretrained rows (words, settings.embedding) float32, used as `vectors_mode` says.
    """

    def __init__(
        self,
        settings: Settings,
        words: int,
        characters: int,
        tags: int,
        *,
        vectors: npt.NDArray[np.float32] | None = None,
        vectors_mode: str = "rand",
    ) -> None:
        super().__init__()
        self.settings, self.tags = settings, tags
        self.word_dropout = nn.WordDropout(settings.word_dropout)
        self.embedding = nn.Embedding(words, settings.embedding, vectors=vectors, mode=vectors_mode)
        width = self.embedding.out_features
        self.speller: Speller | None = None
        if settings.characters != "none":
            self.speller = Speller(
                settings.characters,
                characters,
                settings.character_embedding,
                settings.character_hidden,
                settings.character_dropout,
            )
            width += self.speller.out_features
        self.embedding_dropout = nn.VariationalDropout(settings.embedding_dropout)
        self.encoder, width = _sequence_encoder(width, settings)
        self.dropout = torch_nn.Dropout(settings.dropout)
        self.output = nn.Linear(width, tags)
        self.crf = nn.LinearChainCRF(tags) if settings.output == "crf" else None

    def spell(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Characters (W, L), lengths (W,) → spelling vectors (W, S); S is 0 without a speller."""
        if self.speller is None:
            return torch.empty(len(lengths), 0)
        return cast(Tensor, self.speller(characters, lengths))

    def forward(self, words: Tensor, spelled: Tensor, lengths: Tensor) -> Tensor:
        """words (B, T) ids, spelled (B, T, S) from `spell`, lengths (B,) → scores (B, T, tags)."""
        embedded = torch.cat([self.embedding(self.word_dropout(words)), spelled], 2)
        states = self.encoder(self.embedding_dropout(embedded), lengths=lengths)
        if isinstance(states, tuple):  # recurrent layers give their final state, too
            states = states[0]
        return cast(Tensor, self.output(self.dropout(states)))

    def loss(self, batch: TagBatch) -> Tensor:
        """Mean negative log-likelihood of a token's tag (softmax), or of the tag sequence for each token (CRF)."""
        spelled = self.spell(batch.characters, batch.character_lengths)[batch.forms]
        scores = self(batch.words, spelled, batch.lengths)
        if self.crf is not None:
            return cast(Tensor, self.crf(scores, batch.tags, batch.lengths).sum() / batch.lengths.sum())
        real = torch.arange(scores.shape[1]) < batch.lengths[:, None]
        return functional.cross_entropy(scores[real], batch.tags[real])

    def decode(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The answer (B, T) int64: the best sequence under the CRF, or else the best tag of each token."""
        if self.crf is not None:
            return self.crf.decode(scores, lengths)
        return scores.argmax(2)

    def probabilities(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, tags) double: the marginals under the CRF, or else the softmax."""
        if self.crf is not None:
            return self.crf.marginals(scores, lengths)
        return scores.double().softmax(2)

    def tables(self) -> list[nn.Embedding]:
        """The embeddings that are only ever looked up in."""
        return [self.embedding]

    def after_step(self) -> None:
        """Nothing has to hold after an update."""


def _sequence_encoder(in_features: int, settings: Settings) -> tuple[torch_nn.Module, int]:
    """The encoder that `settings.model` names, and the width of its answer."""
    if settings.model == "dilated-cnn":
        encoder = nn.DilatedConv(
            in_features,
            settings.filters,
            kernel_size=settings.kernel_size,
            blocks=settings.layers,
            dropout=settings.dropout,
        )
        return encoder, encoder.out_features
    width = settings.hidden * (2 if settings.bidirectional else 1)
    return recurrent_layers(in_features, settings.model, settings), width
