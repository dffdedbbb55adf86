"""What a difference between two models is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES, FLIPS, SEED = 2000, 9999, 0
CHUNK = 2**22


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for the deviation of a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def bootstrap_interval(differences: Floats, share: float = 0.95) -> tuple[float, float]:
    """Interval of the mean difference over texts, by the percentiles of 2,000 resamples (Efron & Tibshirani 1993).

    differences: (N,) for each text, the share of runs in which one model was right less that of the other.
    """
    random, means = np.random.default_rng(SEED), np.empty(RESAMPLES)
    for k in range(RESAMPLES):
        means[k] = differences[random.integers(0, len(differences), len(differences))].mean()
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def sign_flip_p(differences: Floats) -> float:
    """Two-sided p of the paired randomisation test (Noreen 1989): how often a mean as far from 0 comes about when the
    sign of every text's difference is drawn at random. At least 1 / 10,000."""
    changed = differences[differences != 0]
    if not len(changed):
        return 1.0
    random, found, reached = np.random.default_rng(SEED), abs(changed.sum()), 0
    rows = max(1, CHUNK // len(changed))
    for start in range(0, FLIPS, rows):
        signs = random.integers(0, 2, (min(rows, FLIPS - start), len(changed)), dtype=np.int8) * 2 - 1
        reached += int((np.abs(signs @ changed) >= found - 1e-9).sum())
    return (reached + 1) / (FLIPS + 1)


def corrected_t_p(differences: Sequence[float], ratio: float) -> float | None:
    """Two-sided p of the t test over folds whose training parts overlap (Nadeau & Bengio 2003).

    differences: one a fold. ratio: test texts a fold to training texts. None for fewer than two folds; 1 when all
    differences are 0.
    """
    from scipy import stats  # loaded when first needed: it takes a while

    count = len(differences)
    if count < 2:
        return None
    mean, variance = float(np.mean(differences)), float(np.var(differences, ddof=1))
    if variance == 0:
        return 1.0 if mean == 0 else 0.0
    t = mean / math.sqrt(variance * (1 / count + ratio))
    return float(2 * stats.t.sf(abs(t), count - 1))


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number, step by step (Holm 1979), in the order given."""
    corrected, least = [0.0] * len(values), 0.0
    for rank, k in enumerate(sorted(range(len(values)), key=lambda k: values[k])):
        least = corrected[k] = max(least, min(1.0, (len(values) - rank) * values[k]))
    return corrected
