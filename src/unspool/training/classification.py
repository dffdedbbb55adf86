"""The classifier's data as the loop wants it, and the pass that predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from unspool.config import Settings
from unspool.models.classifier import Batch, Classifier
from unspool.text.batching import Ragged, batches, pad, sorted_batches
from unspool.training import metrics

Labels = npt.NDArray[np.int64]


class ClassifierData:
    """Encoded training and validation texts with label indices; implements `trainer.Data`."""

    def __init__(
        self, train: Ragged, train_labels: Labels, validation: Ragged, validation_labels: Labels, settings: Settings
    ) -> None:
        self.train, self.train_labels = train, train_labels
        self.validation, self.validation_labels = validation, validation_labels
        self.settings = settings

    def order(self, epoch: int) -> Sequence[Labels]:
        """Length-bucketed batches of row numbers."""
        return batches(self.train.lengths, self.settings.batch_size, self.settings.seed, epoch)

    def batch(self, rows: Labels) -> Batch:
        """The padded block of some training rows."""
        ids, lengths = pad(self.train, rows)
        return Batch(torch.from_numpy(ids), torch.from_numpy(lengths), torch.from_numpy(self.train_labels[rows]))

    def validate(self, model: nn.Module, poll: Callable[[], None]) -> Mapping[str, float]:
        """loss, accuracy and probability of the validation part; score is this probability, the right labels' mean.

        Which epoch is kept hangs on a few hundred texts, and the share of right answers among them jumps by chance
        from one to the next; the probabilities move with the network: docs/experiments.md, "Which epoch is kept".
        """
        log_probabilities, truth = predict(model, self.validation, poll=poll), self.validation_labels
        matrix = metrics.confusion(truth, log_probabilities.argmax(axis=1).astype(np.int64), log_probabilities.shape[1])
        probability = metrics.mean_probability(log_probabilities, truth)
        return {
            "loss": metrics.log_loss(log_probabilities, truth),
            "accuracy": metrics.accuracy(matrix),
            "probability": probability,
            "score": probability,
        }

    def validation_steps(self) -> float:
        """Steps as long as a validation: by its share of the tokens, at half the cost as nothing goes backward."""
        share = float(self.validation.lengths.sum()) / max(1.0, float(self.train.lengths.sum()))
        return 0.5 * share * len(self.train_labels) / self.settings.batch_size


@torch.no_grad()
def some_features(model: Classifier, texts: Ragged, count: int) -> torch.Tensor:
    """What the encoder makes of at most `count` of the texts, evenly spread, (N, D); leaves the model in evaluation."""
    model.eval()
    chosen, found = np.unique(np.linspace(0, len(texts) - 1, count).astype(np.int64)), []
    for part in sorted_batches(texts.lengths[chosen], 64):
        ids, lengths = pad(texts, chosen[part])
        found.append(model.features(torch.from_numpy(ids), torch.from_numpy(lengths)))
    return torch.cat(found)


@torch.inference_mode()
def predict(
    model: nn.Module, texts: Ragged, *, batch_size: int = 64, poll: Callable[[], None] = lambda: None
) -> npt.NDArray[np.float64]:
    """Log-probabilities (N, C) of a classifier in evaluation mode, in the order of `texts`."""
    result: npt.NDArray[np.float64] | None = None
    for rows in sorted_batches(texts.lengths, batch_size):
        ids, lengths = pad(texts, rows)
        logits = model(torch.from_numpy(ids), torch.from_numpy(lengths))
        answers = torch.log_softmax(logits.double(), dim=1).numpy()
        if result is None:
            result = np.empty((len(texts), answers.shape[1]))
        result[rows] = answers
        poll()
    return np.empty((0, 0)) if result is None else result
