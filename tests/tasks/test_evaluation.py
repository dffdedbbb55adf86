"""Figures of a model on labelled texts, and what is told beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unspool import SequenceClassifier
from unspool.predictors import ClassifierPredictor
from unspool.tasks.classify.evaluation import evaluate

TRAINED = [f"{word} film {n}" for n in range(20) for word in ("fine", "dull")]
NEW = ["fine fine", "dull dull", "fine dull fine", "a film"]


@pytest.fixture(scope="module", params=["rnn", "bow"])
def predictor(request: pytest.FixtureRequest) -> ClassifierPredictor:
    small: dict[str, Any] = {"hidden": 4, "embedding": 4, "epochs": 2} if request.param == "rnn" else {}
    classifier = SequenceClassifier(model=request.param, level="word", **small).fit(TRAINED, ["pos", "neg"] * 20)
    return classifier.predictor_  # type: ignore[no-any-return]


def test_the_figures_are_of_the_predictors_answers(predictor: ClassifierPredictor) -> None:
    labels = ["pos", "neg", "pos", "neg"]
    answers = [predictor.labels[best] for best in predictor.log_probabilities(NEW).argmax(axis=1)]
    found = evaluate(predictor, NEW, labels)
    assert found["accuracy"] == np.mean([one == other for one, other in zip(answers, labels, strict=True)])
    assert found["examples"] == 4
    assert found["unseen_labels"] == {}
    assert found["seen_in_training"] == 0
    assert (found["unknown_rate"] is None) == (predictor.tokenizer is None)


def test_unseen_labels_are_counted_named_and_wrong(predictor: ClassifierPredictor) -> None:
    found = evaluate(predictor, NEW, ["odd", "strange", "odd", "neg"])
    assert found["unseen_labels"] == {"odd": 2, "strange": 1}
    assert found["accuracy"] <= 0.25
    assert found["per_class"]["odd"] == {"f1": 0.0, "examples": 2, "answered": 0}
    assert found["confusion"]["labels"] == ["neg", "pos", "odd", "strange"]
    assert found["confusion"]["answers"] == ["neg", "pos"]


def test_only_unseen_labels_give_no_loss(predictor: ClassifierPredictor) -> None:
    found = evaluate(predictor, NEW, ["odd"] * 4)
    assert (found["accuracy"], found["log_loss"], found["calibration_error"]) == (0.0, None, None)


def test_training_texts_copies_and_conflicts_are_counted(predictor: ClassifierPredictor) -> None:
    held_out = 4  # of 40, at a share of .1
    found = evaluate(predictor, [*TRAINED, "new", "new"], [*["pos", "neg"] * 20, "pos", "neg"])
    assert found["seen_in_training"] == len(TRAINED) - held_out
    assert (found["copies"], found["conflicting"]) == (1, 2)


def test_many_labels_take_linear_time(predictor: ClassifierPredictor) -> None:
    labels = [str(n) for n in range(20_000)]
    found = evaluate(predictor, ["fine"] * len(labels), labels)
    assert len(found["unseen_labels"]) == len(labels)
