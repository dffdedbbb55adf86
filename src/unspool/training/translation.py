"""The translator's data as the loop wants it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unspool.config import Settings
from unspool.models.translator import PairBatch
from unspool.text.batching import Ragged, batches, pad, sorted_batches
from unspool.text.ragged import Int64


@dataclass(frozen=True)
class EncodedPairs:
    """Equally many rows of source and target ids; each row ends with its language's boundary id."""

    source: Ragged
    target: Ragged

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, rows: Int64) -> PairBatch:
        """The padded blocks of some pairs."""
        blocks = (torch.from_numpy(block) for side in (self.source, self.target) for block in pad(side, rows))
        return PairBatch(*blocks)

    @property
    def order_key(self) -> Int64:
        """(pairs,) to sort by: the target's length, then the source's."""
        return self.target.lengths * (int(self.source.lengths.max(initial=0)) + 1) + self.source.lengths


class TranslatorData:
    """Encoded training and validation pairs; implements `trainer.Data`."""

    def __init__(self, train: EncodedPairs, validation: EncodedPairs, settings: Settings) -> None:
        self.train, self.validation, self.settings = train, validation, settings

    def order(self, epoch: int) -> Sequence[Int64]:
        """Batches of row numbers, bucketed by the lengths of both sides."""
        return batches(self.train.order_key, self.settings.batch_size, self.settings.seed, epoch)

    def batch(self, rows: Int64) -> PairBatch:
        """The padded blocks of some training pairs."""
        return self.train.batch(rows)

    @torch.inference_mode()
    def validate(self, model: nn.Module, poll: Callable[[], None]) -> Mapping[str, float]:
        """loss, a token's mean in nats, perplexity, and score, the negative loss, of the validation part."""
        total, tokens = 0.0, 0
        for rows in sorted_batches(self.validation.target.lengths, 64):
            count = int(self.validation.target.lengths[rows].sum())
            total += float(model.loss(self.validation.batch(rows))) * count  # type: ignore[operator]
            tokens += count
            poll()
        loss = total / max(1, tokens)
        return {"loss": loss, "perplexity": float(np.exp(min(loss, 700.0))), "score": -loss}

    def validation_steps(self) -> float:
        """Steps as long as a validation: by its share of the tokens, at half the cost as nothing goes backward."""
        share = float(self.validation.target.lengths.sum()) / max(1.0, float(self.train.target.lengths.sum()))
        return 0.5 * share * len(self.train) / self.settings.batch_size
