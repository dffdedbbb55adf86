"""Figures against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from unspool.training import metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 4, 300)
SHARES = RNG.dirichlet(np.ones(4), 300)
ANSWERS = SHARES.argmax(axis=1)


def test_report_is_scikit_learns() -> None:
    found = metrics.report(np.log(SHARES), TRUTH, list("abcd"))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(TRUTH, ANSWERS))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(TRUTH, ANSWERS, average="macro"))
    assert found["log_loss"] == pytest.approx(reference.log_loss(TRUTH, SHARES))
    assert found["confusion"]["counts"] == reference.confusion_matrix(TRUTH, ANSWERS).tolist()
    by_class = reference.f1_score(TRUTH, ANSWERS, average=None)
    assert [row["f1"] for row in found["per_class"].values()] == pytest.approx(by_class.tolist())


def test_calibration_error_by_hand() -> None:
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    truth = np.array([0, 1, 0])  # bin of .9: one of two right, gap .4, weight 2/3; bin of .6: right, gap .4, weight 1/3
    assert metrics.calibration_error(np.log(shares), truth) == pytest.approx(0.4)


def test_labels_never_trained_count_as_wrong() -> None:
    found = metrics.report(np.log(SHARES), np.full(300, 4), list("abcde"))
    assert found["accuracy"] == 0
    assert found["per_class"]["e"]["examples"] == 300


def test_interval_holds_the_accuracy_and_narrows() -> None:
    for size in (50, 5000):
        right = np.arange(size) % 5 > 0
        low, high = metrics.accuracy_interval(right)
        assert low < 0.8 < high
        assert high - low == pytest.approx(4 * (0.16 / size) ** 0.5, rel=0.15)
