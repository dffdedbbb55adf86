"""Figures of a classifier, from counts and probabilities.

Everything is computed from a confusion matrix or from the probabilities of all examples; tests compare with
scikit-learn.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def confusion(truth: Counts, answers: Counts, classes: int, *, unseen: int = 0) -> Counts:
    """(classes + unseen, classes) counts; rows are the true labels, columns the answers.

    The last `unseen` rows are labels that are never answered.
    """
    rows = classes + unseen
    flat = np.bincount(truth * classes + answers, minlength=rows * classes)
    return flat.reshape(rows, classes).astype(np.int64)


def accuracy(matrix: Counts) -> float:
    """Share of the diagonal; 0 without examples."""
    return float(np.trace(matrix) / max(1, matrix.sum()))


def f1_per_class(matrix: Counts) -> Floats:
    """F1 of each row's class, 2·hits / (true + answered); 0 for a class that neither occurs nor is answered."""
    hits, total = _padded(np.diagonal(matrix), len(matrix)), _true_and_answered(matrix)
    return 2.0 * hits / np.maximum(total, 1)


def macro_f1(matrix: Counts) -> float:
    """Mean F1 over the classes that occur or are answered."""
    seen = _true_and_answered(matrix) > 0
    return float(f1_per_class(matrix)[seen].mean()) if seen.any() else 0.0


def _true_and_answered(matrix: Counts) -> Counts:
    return np.asarray(matrix.sum(axis=1) + _padded(matrix.sum(axis=0), len(matrix)))


def _padded(values: Counts, size: int) -> Counts:
    """`values` with zeros behind for the labels that are never answered."""
    return np.pad(values, (0, size - len(values)))


def log_loss(log_probabilities: Floats, truth: Counts) -> float:
    """Mean negative log-probability of the true label, in nats."""
    if not len(truth):
        return 0.0
    return float(-log_probabilities[np.arange(len(truth)), truth].mean())


def mean_probability(log_probabilities: Floats, truth: Counts) -> float:
    """Mean probability of the true label: the accuracy to expect of answers drawn by their probabilities."""
    if not len(truth):
        return 0.0
    return float(np.exp(log_probabilities[np.arange(len(truth)), truth]).mean())


def calibration_error(log_probabilities: Floats, truth: Counts, bins: int = 15) -> float:
    """Expected calibration error of the top answer over `bins` equal bins of confidence (Guo et al. 2017)."""
    if not len(truth):
        return 0.0
    confidence = np.exp(log_probabilities.max(axis=1))
    right = log_probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.abs(np.bincount(place, right - confidence, minlength=bins))
    return float(gap.sum() / len(truth))


def accuracy_interval(right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """95 % interval of the accuracy over examples (Wilson 1927); (0, 1) without examples.

    Unlike a bootstrap it has a width where all of a few answers are right.
    """
    n = len(right)
    if not n:
        return (0.0, 1.0)
    z, share = 1.959964, float(right.mean())
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def report(log_probabilities: Floats, truth: Counts, labels: list[str]) -> dict[str, Any]:
    """All figures of one evaluation; `truth` holds indices into `labels`.

    Labels beyond the columns of `log_probabilities` were never seen in training: they count as wrong, and the log
    loss and the calibration error are over the examples whose label is known, None where there is none.
    """
    classes = log_probabilities.shape[1]
    known = truth < classes
    answers = log_probabilities.argmax(axis=1).astype(np.int64)
    matrix = confusion(truth, answers, classes, unseen=len(labels) - classes)
    answered = _padded(matrix.sum(axis=0), len(labels))
    per_class = f1_per_class(matrix)
    low, high = accuracy_interval(answers == truth)
    return {
        "accuracy": accuracy(matrix),
        "accuracy_interval": [low, high],
        "macro_f1": macro_f1(matrix),
        "log_loss": log_loss(log_probabilities[known], truth[known]) if known.any() else None,
        "calibration_error": calibration_error(log_probabilities[known], truth[known]) if known.any() else None,
        "examples": len(truth),
        "per_class": {
            label: {
                "f1": float(per_class[i]),
                "examples": int(matrix[i].sum()),
                "answered": int(answered[i]),
            }
            for i, label in enumerate(labels)
        },
        "confusion": {"labels": labels, "answers": labels[:classes], "counts": matrix.tolist()},
    }
