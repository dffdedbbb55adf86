"""Figures against scikit-learn and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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


PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=40)


@given(pairs=PAIRS)
def test_unseen_labels_and_absent_ones_are_as_in_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, answers = np.array(pairs).T
    found = metrics.report(np.log(np.eye(3)[answers] * 0.7 + 0.1), truth, list("abcde"))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, answers))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(truth, answers, average="macro", zero_division=0))
    square = reference.confusion_matrix(truth, answers, labels=range(5))
    assert found["confusion"]["counts"] == square[:, :3].tolist()
    by_class = reference.f1_score(truth, answers, labels=range(5), average=None, zero_division=0)
    assert [row["f1"] for row in found["per_class"].values()] == pytest.approx(by_class.tolist())
    assert [row["examples"] for row in found["per_class"].values()] == square.sum(axis=1).tolist()
    assert [row["answered"] for row in found["per_class"].values()] == square.sum(axis=0).tolist()
    json.dumps(found, allow_nan=False)


def test_calibration_error_by_hand() -> None:
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    truth = np.array([0, 1, 0])  # bin of .9: one of two right, gap .4, weight 2/3; bin of .6: right, gap .4, weight 1/3
    assert metrics.calibration_error(np.log(shares), truth) == pytest.approx(0.4)


def test_calibration_error_is_zero_where_confidence_is_right() -> None:
    truth = np.array([0, 0, 0, 1] * 10)
    assert metrics.calibration_error(np.log(np.tile([0.75, 0.25], (40, 1))), truth) == pytest.approx(0)
    certain = np.log(np.tile([1.0 - 1e-15, 1e-15], (4, 1)))
    assert metrics.calibration_error(certain, np.zeros(4, np.int64)) == pytest.approx(0)


def test_labels_never_trained_count_as_wrong_and_leave_no_flattering_loss() -> None:
    found = metrics.report(np.log(SHARES), np.full(300, 4), list("abcde"))
    assert found["accuracy"] == 0
    assert found["per_class"]["e"]["examples"] == 300
    assert found["log_loss"] is None
    assert found["calibration_error"] is None
    mixed = metrics.report(np.log(SHARES), np.where(np.arange(300) < 100, 4, TRUTH), list("abcde"))
    assert mixed["log_loss"] == pytest.approx(reference.log_loss(TRUTH[100:], SHARES[100:]))


def test_many_unseen_labels_need_no_square_of_them() -> None:
    size = 100_000  # squared: 80 GB
    shares = np.full((size, 2), np.log(0.5))
    found = metrics.report(shares, np.arange(2, size + 2), [str(label) for label in range(size + 2)])
    assert found["accuracy"] == 0


def test_interval_holds_the_accuracy_and_narrows() -> None:
    for size in (50, 5000):
        right = np.arange(size) % 5 > 0
        low, high = metrics.accuracy_interval(right)
        assert low < 0.8 < high
        assert high - low == pytest.approx(4 * (0.16 / size) ** 0.5, rel=0.15)


def test_interval_covers_the_true_accuracy_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(1).random((2000, 40)) < 0.9
    intervals = np.array([metrics.accuracy_interval(right) for right in drawn])
    covered = ((intervals[:, 0] <= 0.9) & (intervals[:, 1] >= 0.9)).mean()
    assert 0.93 <= covered <= 0.98


def test_interval_of_few_or_no_answers_claims_little() -> None:
    assert metrics.accuracy_interval(np.ones(5, bool)) == pytest.approx((0.5655, 1.0), abs=1e-4)
    assert metrics.accuracy_interval(np.zeros(5, bool)) == pytest.approx((0.0, 0.4345), abs=1e-4)
    assert metrics.accuracy_interval(np.ones(0, bool)) == (0.0, 1.0)


def test_mean_probability_by_hand() -> None:
    answers = np.log([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    assert metrics.mean_probability(answers, np.array([0, 0, 1])) == pytest.approx((0.9 + 0.4 + 0.8) / 3)
    assert metrics.mean_probability(answers[:0], np.array([], dtype=np.int64)) == 0
