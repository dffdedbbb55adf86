"""The next token from all before it: an embedding, recurrent layers, a softmax over the vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch import nn as torch_nn
from torch.nn import functional

from unspool import nn
from unspool.config import Settings
from unspool.models.recipes import WORDS
from unspool.nn.recurrent import Recurrent
from unspool.ops.cross_entropy import linear_cross_entropy
from unspool.ops.linear import linear
from unspool.ops.stepper import Stepper

State = tuple[Tensor, ...]


class Batch(NamedTuple):
    """A chunk of parallel streams: inputs and targets (B, T) int64, targets one token ahead; `fresh` where the
    streams begin, so that nothing is carried over from the chunk before."""

    inputs: Tensor
    targets: Tensor
    fresh: bool = True


class LanguageModel(torch_nn.Module):
    """p(next token | tokens before), with truncated back-propagation: `loss` carries the state from chunk to chunk.

    Args:
        settings: the resolved settings; `model` is a cell.
        vocabulary_size: ids that can be predicted; id 0 is the end of a document.
        starts: ids beyond them that only begin a document, one a label.
        streams: rows of the batches of `loss`, whose state is kept as buffers and goes into checkpoints; 0 for a
            model that is not trained.

    Dropout is variational (Gal & Ghahramani 2016): of token types (`type_dropout`), of the vectors' features
    (`embedding_dropout`), both the same in all streams, so that equal tokens stay equal and are projected once; of the
    state (`recurrent_dropout`) and of the output (`dropout`, which also acts between layers), the same at all steps of
    a chunk. `tied`: input and output
    share one matrix (Inan et al. 2017, Press & Wolf 2017), over a projection where hidden and embedding differ.
    `adaptive`: softmax in clusters of ever rarer tokens (Grave et al. 2017).
    """

    def __init__(self, settings: Settings, vocabulary_size: int, starts: int = 0, *, streams: int = 0) -> None:
        super().__init__()
        self.settings, self.vocabulary_size = settings, vocabulary_size
        self.embedding = torch_nn.Embedding(vocabulary_size + starts, settings.embedding)
        if settings.tied or settings.level in WORDS:  # N(0, 1) would stay the greater part of a rare word's vector
            torch_nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.layer = _layer(settings)
        if settings.model in ("rnn", "gru", "lstm") and not settings.layer_norm:
            _start_as_torch(self.layer)
        self.dropout = nn.VariationalDropout(settings.dropout)
        self.output = _output(settings, vocabulary_size)
        self.carried: torch_nn.Module | None = None
        if streams:
            self.carried = torch_nn.Module()
            for number, part in enumerate(self.no_state(streams)):
                self.carried.register_buffer(f"part{number}", part)

    def no_state(self, rows: int) -> State:
        """The state before anything was read."""
        layer, like = self.layer, self.embedding.weight
        shapes = [(layer.num_layers, rows, layer.hidden_size)] * len(layer.layout.states)
        if layer.layout.window:
            widths = [layer.input_size, *[layer.hidden_size] * (layer.num_layers - 1)]
            shapes += [(layer.kernel_size - 1, rows, width) for width in widths]
        return tuple(like.new_zeros(shape) for shape in shapes)

    def forward(self, ids: Tensor, state: State, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """ids (B, T), state, lengths (B,) → hidden (B, T, D), which `log_probs` takes, and the state after."""
        given, vectors = state if len(state) > 1 else state[0], self._vectors()
        if self.training:  # what can be is done once for each distinct token
            y, after = self.layer.over_tokens(ids, vectors, given, lengths)
        else:
            y, after = self.layer(vectors(ids), given, lengths=lengths)
        return self.dropout(y), (after,) if isinstance(after, Tensor) else after

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """ids (B,) → hidden (B, D) and the state after: `forward` over one token, by the layer's own quick step."""
        y, after = self.layer.step(self.embedding(ids), state if len(state) > 1 else state[0])
        return y, (after,) if isinstance(after, Tensor) else after

    def log_probs(self, hidden: Tensor) -> Tensor:
        """hidden (N, D) → log-probabilities (N, V) of the next token."""
        if isinstance(self.output, torch_nn.AdaptiveLogSoftmaxWithLoss):
            return self.output.log_prob(hidden)
        return functional.log_softmax(self._logits(hidden), dim=-1)

    def stepper(self) -> Stepper | None:
        """Steps from tokens through the recurrent layers and the products after them with the weights as they are now,
        which its log_softmax turns into what `log_probs` says; None where the compiled core does not take the model."""
        output = self.output
        if isinstance(output, torch_nn.AdaptiveLogSoftmaxWithLoss):
            return None
        linear = cast(torch_nn.Linear, output)
        weight = self.embedding.weight
        products = output.products(weight) if isinstance(output, TiedOutput) else [(linear.weight, linear.bias)]
        return self.layer.stepper(products, vectors=weight)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of the chunk, in nats a token; the state after it is kept for the next one."""
        assert self.carried is not None
        parts = tuple(self.carried.buffers())
        state = self.no_state(len(batch.inputs)) if batch.fresh else tuple(part.clone() for part in parts)
        hidden, after = self(batch.inputs, state)
        for part, value in zip(parts, after, strict=True):
            part.copy_(value.detach())
        hidden, targets = hidden.flatten(0, 1), batch.targets.flatten()
        targets = targets.masked_fill(targets >= self.vocabulary_size, 0)  # whatever begins, one document ends
        if isinstance(self.output, torch_nn.AdaptiveLogSoftmaxWithLoss):
            return cast(Tensor, self.output(hidden, targets).loss)
        vectors = self.output
        if isinstance(vectors, TiedOutput):
            rows = vectors.rows(self.embedding.weight)
            return linear_cross_entropy(vectors.projection(hidden), rows, vectors.bias, targets)
        assert isinstance(vectors, torch_nn.Linear)
        return linear_cross_entropy(hidden, vectors.weight, vectors.bias, targets)

    def _logits(self, hidden: Tensor) -> Tensor:
        more = (self.embedding.weight,) if isinstance(self.output, TiedOutput) else ()
        return cast(Tensor, self.output(hidden, *more))

    def after_step(self) -> None:
        """Nothing has to hold after an update."""

    def weights(self) -> dict[str, Tensor]:
        """The tensors that make the model, without the state that training carries."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("carried.")}

    def _vectors(self) -> Callable[[Tensor], Tensor]:
        """From ids to vectors; in training without those of some token types and without some features, which are the
        same at every call of what is returned."""
        weight, settings = self.embedding.weight, self.settings
        if not self.training:
            return lambda ids: functional.embedding(ids, weight)
        if settings.type_dropout:
            weight = weight * _mask(weight, (len(weight), 1), settings.type_dropout)
        if not settings.embedding_dropout:
            return lambda ids: functional.embedding(ids, weight)
        features = _mask(weight, weight.shape[1:], settings.embedding_dropout)
        return lambda ids: functional.embedding(ids, weight) * features


def _mask(like: Tensor, shape: Sequence[int], rate: float) -> Tensor:
    """0 with probability `rate`, else 1 / (1 - rate)."""
    return like.new_empty(shape).bernoulli_(1 - rate) / (1 - rate)


class TiedOutput(torch_nn.Module):
    """Logits (N, V) from hidden (N, D) and the embedding's weight (…, E): its first V rows are the output vectors, over
    a projection when D and E differ. The weight comes with the call: kept here it would stay behind when the embedding
    is given another one, as loading does."""

    def __init__(self, features: int, width: int, vocabulary_size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(features, width, bias=False) if features != width else torch_nn.Identity()
        self.bias = torch_nn.Parameter(torch.zeros(vocabulary_size))

    def rows(self, weight: Tensor) -> Tensor:
        """(V, E) of the embedding's weight."""
        return weight[: len(self.bias)]

    def forward(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return linear(self.projection(hidden), self.rows(weight), self.bias)

    def products(self, weight: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """The same as (weight, bias) of each product."""
        first = [(self.projection.weight, None)] if isinstance(self.projection, torch_nn.Linear) else []
        return [*first, (self.rows(weight), self.bias)]


def _start_as_torch(layer: Recurrent) -> None:
    """torch's own start, which was better here than ours: docs/experiments.md, "Language models"."""
    for parameter in layer.parameters():
        torch_nn.init.uniform_(parameter, -(layer.hidden_size**-0.5), layer.hidden_size**-0.5)


def _layer(settings: Settings) -> Recurrent:
    cell, several = settings.model, settings.layers > 1
    options: dict[str, Any] = {"reset_after": settings.reset_after} if cell == "gru" else {}
    options |= {"kernel_size": settings.kernel_size} if cell == "qrnn" else {}
    if cell not in ("mingru", "qrnn"):
        options |= {"recurrent_dropout": settings.recurrent_dropout}
    return nn.RECURRENT[cell](
        settings.embedding,
        settings.hidden,
        settings.layers,
        batch_first=True,
        dropout=settings.dropout if several else 0.0,
        variational=several and settings.dropout > 0,
        zoneout=settings.zoneout,
        layer_norm=settings.layer_norm,
        residual=settings.residual,
        **options,
    )


def _output(settings: Settings, size: int) -> torch_nn.Module:
    if settings.adaptive:
        cutoffs = sorted({min(cut, size - 1) for cut in (size // 20 + 1, size // 4 + 1)})
        return torch_nn.AdaptiveLogSoftmaxWithLoss(
            settings.hidden, size, cutoffs, div_value=min(4.0, settings.hidden**0.5)
        )
    if settings.tied:
        return TiedOutput(settings.hidden, settings.embedding, size)
    return nn.Linear(settings.hidden, size)
