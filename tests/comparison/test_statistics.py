"""Tests and intervals against brute force and textbook values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from unspool.comparison import statistics


def test_sign_flips_are_those_of_all_signs() -> None:
    differences = np.array([0.5, 0.0, -0.25, 1.0, 0.75, 0.5, 0.25, -0.5, 1.0, 0.0, 0.5])
    changed = differences[differences != 0]
    sums = [abs(np.dot(signs, changed)) for signs in itertools.product((-1, 1), repeat=len(changed))]
    exact = np.mean([total >= changed.sum() - 1e-12 for total in sums])
    assert statistics.sign_flip_p(differences) == pytest.approx(exact, abs=0.015)
    assert statistics.sign_flip_p(differences) == statistics.sign_flip_p(-differences)


def test_sign_flips_at_the_ends() -> None:
    assert statistics.sign_flip_p(np.zeros(5)) == 1.0
    assert statistics.sign_flip_p(np.ones(200)) == pytest.approx(1 / 10_000)


def test_bootstrap_interval_is_that_of_the_normal_for_many_texts() -> None:
    values = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 4000, p=[0.1, 0.7, 0.2])
    low, high = statistics.bootstrap_interval(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_corrected_t_is_the_usual_one_without_overlap() -> None:
    gaps = [0.02, 0.01, 0.03, -0.01, 0.02]
    assert statistics.corrected_t_p(gaps, 0.0) == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)
    corrected = statistics.corrected_t_p(gaps, 1 / 9)
    t = np.mean(gaps) / math.sqrt(np.var(gaps, ddof=1) * (1 / 5 + 1 / 9))
    assert corrected == pytest.approx(2 * stats.t.sf(t, 4))
    assert statistics.corrected_t_p([0.1], 0.1) is None
    assert statistics.corrected_t_p([0.0, 0.0], 0.1) == 1.0 and statistics.corrected_t_p([0.1, 0.1], 0.1) == 0.0


def test_holm_by_hand() -> None:
    assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert statistics.holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert statistics.holm([]) == []


def test_mean_and_deviation() -> None:
    assert statistics.mean_and_sd([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
    assert statistics.mean_and_sd([1.0]) == (1.0, None)
