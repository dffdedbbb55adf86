"""The language model's data as the loop wants it, and the pass that scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unspool.config import Settings
from unspool.models.language_model import Batch, LanguageModel
from unspool.text.ragged import Int64
from unspool.text.shuffling import random_keys
from unspool.text.streams import START, Tokens

LAP = 1000  # steps between two validations of a long text
LANE, LANES, LEAD = 8192, 32, 256
ROWS, STEPS, LOGITS = 64, 512, 2**23


class Spans(NamedTuple):
    """Parts of a row of ids to be scored, (N,) each: what is read from `begin` on counts from `scored` on and ends
    before `stop`; the id at `begin` is never a target."""

    begin: Int64
    scored: Int64
    stop: Int64

    def take(self, rows: Int64) -> Spans:
        """Some of them."""
        return Spans(self.begin[rows], self.scored[rows], self.stop[rows])


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of every target of a text, summed: nats (negative log), tokens, and unknown ones."""

    nats: float
    tokens: int
    unknown: int


def running_spans(count: int) -> Spans:
    """Up to 32 lanes over `count` ids, so that they can be read side by side; each but the first reads 256 ids
    before its own without counting them, so the cut costs next to nothing. A function of the count alone."""
    targets = max(0, count - 1)
    lanes = max(1, min(LANES, targets // LANE))
    bounds = np.linspace(1, targets + 1, lanes + 1).astype(np.int64)
    return Spans(np.maximum(0, bounds[:-1] - 1 - LEAD), bounds[:-1], bounds[1:])


def document_spans(tokens: Tokens, first_label: int) -> Spans:
    """One span a document: from its start to the start after it, which is its last target."""
    starts = tokens.starts(first_label)
    stop = np.minimum(np.append(starts[1:], len(tokens) - 1) + 1, len(tokens))
    spans = Spans(starts, starts + 1, stop)
    return spans.take(np.flatnonzero(spans.stop > spans.scored))


@torch.inference_mode()
def log_likelihoods(
    network: LanguageModel, tokens: Tokens, spans: Spans, poll: Callable[[], None] = lambda: None
) -> Iterator[tuple[Int64, npt.NDArray[np.bool_], Int64, npt.NDArray[np.float64]]]:
    """Blocks of (numbers of the spans (R,), which positions count (R, T), targets, log-probabilities)."""
    order = np.argsort(spans.stop - spans.begin, kind="stable")
    steps = max(16, min(STEPS, LOGITS // (ROWS * network.vocabulary_size)))
    for first in range(0, len(order), ROWS):
        rows = order[first : first + ROWS]
        part, state = spans.take(rows), network.no_state(len(rows))
        for begin in range(0, int((part.stop - part.begin).max()) - 1, steps):
            lengths = np.clip(part.stop - part.begin - 1 - begin, 0, steps)
            block = _padded(tokens, part.begin + begin, lengths)
            targets = np.where(block[:, 1:] >= network.vocabulary_size, START, block[:, 1:])
            hidden, state = network(torch.from_numpy(block[:, :-1]), state, torch.from_numpy(lengths))
            found = network.log_probs(hidden.flatten(0, 1)).view(*targets.shape, -1)
            taken = found.gather(2, torch.from_numpy(targets)[..., None])[..., 0]
            place = np.arange(targets.shape[1])
            counts = (place < lengths[:, None]) & (part.begin[:, None] + begin + 1 + place >= part.scored[:, None])
            yield rows, counts, targets, taken.double().numpy()
            poll()


def score(network: LanguageModel, tokens: Tokens, spans: Spans, poll: Callable[[], None] = lambda: None) -> Scores:
    """The sum over all spans; the network is in evaluation mode."""
    nats, count, unknown = 0.0, 0, 0
    for _, counts, targets, found in log_likelihoods(network, tokens, spans, poll):
        nats -= float(found[counts].sum())
        count += int(counts.sum())
        unknown += int((targets[counts] == 1).sum())
    return Scores(nats, count, unknown)


def bits_per_byte(nats: float, size: int) -> float:
    """What a byte of a text of `size` bytes costs in bits, when all of it costs `nats`."""
    return nats / math.log(2) / max(1, size)


class LanguageData:
    """Parallel streams over a row of ids; implements `trainer.Data`.

    The row is cut into `batch_size` streams of equal length, read side by side in chunks of `chunk` ids, each pass
    from another offset. A pass of many chunks is several laps, the loop's epochs, so that a long text is validated
    in between. What `order` gives is a pair: where the chunk starts in each stream, and whether the streams begin.
    validation_bytes: of the validation text in UTF-8; None when they were not counted.
    """

    def __init__(
        self,
        train: Tokens,
        validation: Tokens,
        spans: Spans,
        settings: Settings,
        *,
        validation_bytes: int | None = None,
    ) -> None:
        self.train, self.validation, self.spans, self.settings = train, validation, spans, settings
        self.validation_bytes = validation_bytes
        self.stream = (len(train) - 1) // settings.batch_size
        self.chunks = max(1, self.stream // settings.chunk - 1)
        self.laps = -(-self.chunks // LAP)

    def order(self, epoch: int) -> Sequence[Int64]:
        """The chunks of a lap, in the order of the text."""
        chunk, (turn, lap) = self.settings.chunk, divmod(epoch, self.laps)
        room = self.stream - self.chunks * chunk
        offset = int(random_keys(1, self.settings.seed, turn)[0] % np.uint64(min(room, chunk) + 1))
        first, last = (self.chunks * k // self.laps for k in (lap, lap + 1))
        return [np.array([offset + k * chunk, k == 0], np.int64) for k in range(first, last)]

    def batch(self, rows: Int64) -> Batch:
        """The chunk in all streams."""
        start, fresh = rows.tolist()
        starts = np.arange(self.settings.batch_size, dtype=np.int64) * self.stream + start
        block = torch.from_numpy(self.train.block(starts, self.settings.chunk + 1))
        inputs, targets = block[:, :-1], block[:, 1:]
        return Batch(inputs.contiguous(), targets, bool(fresh))

    def validate(self, model: torch.nn.Module, poll: Callable[[], None]) -> Mapping[str, float]:
        """loss in nats a token, perplexity, bits_per_byte where bytes were counted, and score, the negative loss."""
        assert isinstance(model, LanguageModel)
        found = score(model, self.validation, self.spans, poll)
        loss = found.nats / found.tokens
        figures = {"loss": loss, "perplexity": float(np.exp(min(loss, 700.0)))}
        if self.validation_bytes is not None:
            figures["bits_per_byte"] = bits_per_byte(found.nats, self.validation_bytes)
        return {**figures, "score": -loss}

    def validation_steps(self) -> float:
        """Steps as long as a validation, at a third of the cost as nothing goes backward."""
        return len(self.validation) / (3.0 * self.settings.batch_size * self.settings.chunk)


def _padded(tokens: Tokens, begin: Int64, lengths: Int64) -> Int64:
    """(R, T + 1): the ids of each row from `begin` on, one more than its length, and 0 after them."""
    block = np.zeros((len(begin), int(lengths.max()) + 1), np.int64)
    for row, start, length in zip(block, begin, lengths, strict=True):
        if length:
            row[: length + 1] = tokens.block(np.array([start]), int(length) + 1)[0]
    return block
