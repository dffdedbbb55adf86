"""Sequence to sequence: token ids of one language to the log-probabilities of the other's next token."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn as torch_nn
from torch.nn import functional

from unspool import nn
from unspool.config import CELLS, Settings
from unspool.models.attentive_decoder import AttentiveDecoder, State, layer_options
from unspool.nn.attention import Memory
from unspool.ops.cross_entropy import linear_cross_entropy
from unspool.ops.lengths import valid_steps
from unspool.ops.linear import linear

VECTOR_LENGTH = 2.0  # of a token vector at first; much shorter ones make the attention slow to learn

Step = Callable[[Tensor, State], tuple[Tensor, State]]


class PairBatch(NamedTuple):
    """Pairs of one step. Rows of ids end with the language's boundary id and have 0 after each length.

    source (B, S) int64, source_lengths (B,), target (B, T) int64, target_lengths (B,); all lengths at least 1.
    """

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor


class Translator(torch_nn.Module):
    """Encoder, bridge, attentive decoder, output over the target vocabulary.

    Args:
        settings: the resolved settings.
        source_size, target_size: ids of the two tokenizers; one more id, the last, is the boundary: the end of every
            text, and what stands before the first target token. With `settings.joint` both are the same.
    """

    def __init__(self, settings: Settings, source_size: int, target_size: int) -> None:
        super().__init__()
        self.settings, self.boundary = settings, target_size
        scale = VECTOR_LENGTH * (3 / settings.embedding) ** 0.5  # of the bounds of uniform numbers
        self.target_embedding = nn.Embedding(target_size + 1, settings.embedding, scale=scale)
        if not settings.joint:
            self.own_source_embedding = nn.Embedding(source_size + 1, settings.embedding, scale=scale)
        self.word_dropout = nn.WordDropout(settings.word_dropout)
        self.embedding_dropout = nn.VariationalDropout(settings.embedding_dropout)
        recurrent = settings.model in CELLS
        self.encoder = _recurrent_encoder(settings) if recurrent else _convolutional_encoder(settings)
        width = settings.hidden * (1 + settings.bidirectional) if recurrent else settings.filters
        hidden = width if settings.attention == "dot" else settings.hidden
        self.summary = nn.make_pooling("last" if recurrent else "mean", width, bidirectional=settings.bidirectional)
        self.decoder = AttentiveDecoder(settings.embedding, width, hidden, settings.decoder or "gru", settings)
        self.output_bias = torch_nn.Parameter(torch.zeros(target_size + 1))
        if not settings.tied:
            self.own_output_weight = torch_nn.Parameter(torch.empty(target_size + 1, settings.embedding))
            torch_nn.init.uniform_(self.own_output_weight, -scale, scale)

    @property
    def source_embedding(self) -> torch_nn.Module:
        """The source's token vectors, those of the target when the vocabulary is joint."""
        return self.target_embedding if self.settings.joint else self.own_source_embedding

    @property
    def output_weight(self) -> Tensor:
        """(V, E); the target's token vectors when tied (Press and Wolf 2017)."""
        return self.target_embedding.weight if self.settings.tied else self.own_output_weight

    def loss(self, batch: PairBatch) -> Tensor:
        """Mean cross-entropy of the target tokens, the closing boundary among them, in nats."""
        memory, state = self.encode(batch.source, batch.source_lengths)
        given = functional.pad(batch.target[:, :-1], (1, 0), value=self.boundary)
        if self.training and self.settings.scheduled_sampling:
            given = self._partly_own(given, batch, memory, state)
        readouts, targets = self._readouts(given, batch, memory, state)
        smoothing = self.settings.label_smoothing if self.training else 0.0
        return linear_cross_entropy(readouts, self.output_weight, self.output_bias, targets, smoothing)

    def next_tokens(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """(tokens,) the likeliest token at every real step after the true ones before it, and (tokens,) the true."""
        memory, state = self.encode(batch.source, batch.source_lengths)
        given = functional.pad(batch.target[:, :-1], (1, 0), value=self.boundary)
        readouts, targets = self._readouts(given, batch, memory, state)
        return self._logits(readouts).argmax(1), targets

    def after_step(self) -> None:
        """Nothing has to hold after an update."""

    def encode(self, ids: Tensor, lengths: Tensor) -> tuple[Memory | None, State]:
        """ids (B, S), lengths (B,) → what the decoder looks at, and its state before the first token."""
        x = self._embed(self.source_embedding, ids)
        steps = self.encoder(x, lengths=lengths)
        steps = steps if isinstance(steps, Tensor) else steps[0]  # a recurrent layer gives its final state, too
        return self.decoder.remember(steps, lengths), self.decoder.start(self.summary(steps, lengths))

    def start(self, ids: Tensor, lengths: Tensor, beams: int = 1) -> tuple[Step, State]:
        """A step function for a search over `beams` prefixes a row, side by side, and its first state.

        step(tokens (B·beams,), state) → log-probabilities (B·beams, V) of the next token, state after. The first
        tokens are `boundary`. The log-probability of padding is -inf.
        """
        memory, state = self.encode(ids, lengths)
        state = {name: part.repeat_interleave(beams, 0) for name, part in state.items()}

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            readouts, state = self.decoder(self._embed(self.target_embedding, tokens[:, None]), memory, state)
            log_probabilities = self._logits(readouts[:, 0]).log_softmax(1)
            log_probabilities[:, 0] = -torch.inf
            return log_probabilities, state

        return step, state

    def _logits(self, readouts: Tensor) -> Tensor:
        return linear(readouts, self.output_weight, self.output_bias)

    def _embed(self, table: torch_nn.Module, ids: Tensor) -> Tensor:
        return self.embedding_dropout(table(self.word_dropout(ids)))  # type: ignore[no-any-return]

    def _readouts(self, given: Tensor, batch: PairBatch, memory: Memory | None, state: State) -> tuple[Tensor, Tensor]:
        """Readouts (tokens, E) of all real steps of a batch, row by row, and the ids that should follow them."""
        x = self._embed(self.target_embedding, given)
        readouts, _ = self.decoder(x, memory, state, batch.target_lengths)
        real = valid_steps(batch.target_lengths, given.shape[1])
        return readouts[real], batch.target[real]

    @torch.no_grad()
    def _partly_own(self, given: Tensor, batch: PairBatch, memory: Memory | None, state: State) -> Tensor:
        """Some given tokens replaced by the model's own guesses at their place (scheduled sampling, Bengio et al.
        2015, all steps at once as in Duckworth et al. 2019)."""
        readouts, _ = self._readouts(given, batch, memory, state)
        real = valid_steps(batch.target_lengths, given.shape[1])
        guesses = torch.zeros_like(given)
        guesses[real] = self._logits(readouts).argmax(1)
        swapped = torch.rand(given[:, 1:].shape) < self.settings.scheduled_sampling
        return torch.cat([given[:, :1], torch.where(swapped, guesses[:, :-1], given[:, 1:])], 1)


def _recurrent_encoder(settings: Settings) -> torch_nn.Module:
    several = settings.layers > 1
    return nn.RECURRENT[settings.model](
        settings.embedding,
        settings.hidden,
        settings.layers,
        dropout=settings.dropout if several else 0.0,
        bidirectional=settings.bidirectional,
        residual=settings.residual and several,
        **layer_options(settings.model, settings),
    )


def _convolutional_encoder(settings: Settings) -> torch_nn.Module:
    return nn.DilatedConv(
        settings.embedding, settings.filters, settings.kernel_size, settings.layers, dropout=settings.dropout
    )
