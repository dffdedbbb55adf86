"""Figures of a classifier, from counts and probabilities.

Everything is computed from a confusion matrix or from the probabilities of all examples; tests compare with
scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def confusion(truth: Counts, answers: Counts, classes: int) -> Counts:
    """(classes, classes) counts; rows are the true labels, columns the answers."""
    flat = np.bincount(truth * classes + answers, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def accuracy(matrix: Counts) -> float:
    """Share of the diagonal; 0 without examples."""
    return float(np.trace(matrix) / max(1, matrix.sum()))


def f1_per_class(matrix: Counts) -> Floats:
    """F1 of each class, 2·hits / (true + answered); 0 for a class that neither occurs nor is answered."""
    hits = np.diag(matrix)
    total = matrix.sum(axis=0) + matrix.sum(axis=1)
    return np.where(total > 0, 2.0 * hits / np.maximum(total, 1), 0.0)


def macro_f1(matrix: Counts) -> float:
    """Mean F1 over the classes that occur or are answered."""
    seen = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    return float(f1_per_class(matrix)[seen].mean()) if seen.any() else 0.0


def log_loss(log_probabilities: Floats, truth: Counts) -> float:
    """Mean negative log-probability of the true label, in nats."""
    if not len(truth):
        return 0.0
    return float(-log_probabilities[np.arange(len(truth)), truth].mean())


def calibration_error(log_probabilities: Floats, truth: Counts, bins: int = 15) -> float:
    """Expected calibration error of the top answer over `bins` equal bins of confidence (Guo et al. 2017)."""
    if not len(truth):
        return 0.0
    confidence = np.exp(log_probabilities.max(axis=1))
    right = log_probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.abs(np.bincount(place, right - confidence, minlength=bins))
    return float(gap.sum() / len(truth))


def accuracy_interval(right: npt.NDArray[np.bool_], *, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the accuracy over examples.

    Resampling n right-or-wrong answers is a binomial draw, so no example has to be copied.
    """
    if not len(right):
        return (0.0, 0.0)
    sampled = np.random.default_rng(seed).binomial(len(right), right.mean(), size=draws) / len(right)
    low, high = np.quantile(sampled, (0.025, 0.975))
    return float(low), float(high)


def report(log_probabilities: Floats, truth: Counts, labels: list[str]) -> dict[str, Any]:
    """All figures of one evaluation; `truth` holds indices into `labels`.

    Labels beyond the columns of `log_probabilities` were never seen in training: they count as wrong, and the log
    loss and the calibration error are over the examples whose label is known.
    """
    known = truth < log_probabilities.shape[1]
    answers = log_probabilities.argmax(axis=1).astype(np.int64)
    matrix = confusion(truth, answers, len(labels))
    per_class = f1_per_class(matrix)
    low, high = accuracy_interval(answers == truth)
    return {
        "accuracy": accuracy(matrix),
        "accuracy_interval": [low, high],
        "macro_f1": macro_f1(matrix),
        "log_loss": log_loss(log_probabilities[known], truth[known]),
        "calibration_error": calibration_error(log_probabilities[known], truth[known]),
        "examples": len(truth),
        "per_class": {
            label: {
                "f1": float(per_class[i]),
                "examples": int(matrix[i].sum()),
                "answered": int(matrix[:, i].sum()),
            }
            for i, label in enumerate(labels)
        },
        "confusion": {"labels": labels, "counts": matrix.tolist()},
    }
