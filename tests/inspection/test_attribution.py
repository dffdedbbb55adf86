"""Attributions sum to what they explain, token by token, for every kind of classifier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from unspool.inspection.attribution import Attribution, attribute, log_odds
from unspool.inspection.reading import network_of, read
from unspool.predictors import ClassifierPredictor

Trained = Callable[..., ClassifierPredictor]
TEXT = "a fine film , unheard and dull"


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm", "cnn", "stacked-cnn", "dilated-cnn", "cnn-gru", "qrnn", "bow"])
@pytest.mark.parametrize("label", [0, 2])
def test_attributions_are_complete(trained: Trained, model: str, label: int) -> None:
    found = attribute(trained(model), TEXT, label)
    assert found.error <= 0.01
    assert abs(found.added.sum() - (found.after - found.before)) <= 0.01 * max(abs(found.after - found.before), 0.01)


@pytest.mark.parametrize("model", ["gru", "cnn"])
def test_log_odds_at_the_end_of_the_path_are_the_answers(trained: Trained, model: str) -> None:
    predictor = trained(model)
    shares = np.exp(predictor.log_probabilities([TEXT])[0])
    for label, share in enumerate(shares):
        assert attribute(predictor, TEXT, label).after == pytest.approx(np.log(share / (1 - share)), abs=1e-4)


def test_attribution_is_the_integral_of_the_gradient(trained: Trained) -> None:
    """Against a plain sum over 4,000 points."""
    predictor = trained("gru", pooling="mean")
    reading, network = read(predictor, TEXT), network_of(predictor)
    found = attribute(predictor, TEXT, 1)
    total = torch.zeros(reading.vectors.shape[1])
    for k in range(200):
        shares = (torch.arange(20) + 20 * k + 0.5)[:, None, None] / 4000
        x = (shares * reading.vectors).requires_grad_()
        log_odds(network, x, reading.lengths.expand(20), 1).sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        total += (x.grad * reading.vectors).sum((0, 2)) / 4000
    np.testing.assert_allclose(found.added, total.numpy(), atol=2e-3 * np.abs(found.added).max())


def test_linear_baseline_is_exact_and_shares_ngrams_among_their_words(trained: Trained) -> None:
    predictor = trained("bow")
    found = attribute(predictor, "Dull dull film , zzz", 1)
    assert found.tokens == ["dull", "dull", "film", "zzz"] and found.points == 0
    assert found.error < 1e-6
    assert found.added[3] == 0.0


def test_linear_baseline_of_two_labels_turns_its_sign() -> None:
    from unspool import SequenceClassifier

    texts = [f"{word} {n % 3}" for n in range(12) for word in ("up", "down")]
    predictor = SequenceClassifier(model="bow", level="char").fit(texts, ["u", "d"] * 12).predictor_
    one, other = (attribute(predictor, "up  1", label) for label in (0, 1))
    np.testing.assert_allclose(one.added, -other.added)
    assert one.error < 1e-6 and other.error < 1e-6 and one.tokens == list("up 1")
    log = predictor.log_probabilities(["up  1"])[0]
    assert other.after == pytest.approx(log[1] - log[0], abs=1e-5)


def test_unknown_words_are_shown_as_they_stand(trained: Trained) -> None:
    assert attribute(trained("gru"), "Fine Unheard", 0).tokens == ["fine", "<unheard>"]


@pytest.mark.parametrize("model", ["gru", "cnn", "bow"])
def test_empty_text_adds_nothing(trained: Trained, model: str) -> None:
    found = attribute(trained(model), "", 0)
    assert len(found.added) == 0 and found.error == 0.0


def test_error_is_not_divided_by_nothing() -> None:
    assert Attribution(["a"], 0, np.array([0.005]), 1.0, 1.0, 4).error == pytest.approx(0.5)
