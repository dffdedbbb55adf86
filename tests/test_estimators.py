"""SequenceClassifier as scikit-learn expects it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import unspool
from unspool import SequenceClassifier
from unspool.config import Settings
from unspool.errors import DataError, SettingError

TEXTS = [f"{word} film {n % 3}" for n in range(15) for word in ("fine", "dull")]
TINY: dict[str, Any] = {"model": "rnn", "hidden": 6, "embedding": 6, "level": "word"}


@pytest.mark.parametrize("labels", [["pos", "neg"], [10, 9], [True, False]], ids=str)
def test_labels_come_back_as_they_were(labels: list[Any]) -> None:
    y = np.array(labels * 15)
    classifier = SequenceClassifier(**TINY, learning_rate=0.02, epochs=15).fit(TEXTS, y)
    assert classifier.predict(TEXTS).dtype == y.dtype
    assert classifier.score(TEXTS, y) == 1.0
    shares = classifier.predict_proba(TEXTS)
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.array_equal(classifier.classes_[shares.argmax(axis=1)], y)


def test_clone_pipeline_and_search() -> None:
    classifier = SequenceClassifier(**TINY, epochs=1)
    assert clone(classifier).get_params() == classifier.get_params()
    pipeline = Pipeline([("classify", classifier)])
    search = GridSearchCV(pipeline, {"classify__hidden": [3, 4]}, cv=2).fit(TEXTS, ["pos", "neg"] * 15)
    assert search.best_params_["classify__hidden"] in (3, 4)


def test_the_same_seed_gives_the_same_answers() -> None:
    fitted = [SequenceClassifier(**TINY, epochs=1, dropout=0.3).fit(TEXTS, ["a", "b"] * 15) for _ in range(2)]
    assert np.array_equal(fitted[0].predict_proba(TEXTS), fitted[1].predict_proba(TEXTS))


def test_arguments_are_the_settings() -> None:
    names = set(inspect.signature(SequenceClassifier).parameters)
    assert names == {*Settings.model_fields, "vectors", "verbose"}


@pytest.mark.parametrize(
    ("X", "y", "error", "words"),
    [
        ("a text", ["a"], DataError, "a list of texts, not one text"),
        (["a", 3], ["x", "y"], DataError, "item 1 is of type int"),
        (["a", "b"], ["x"], DataError, "one label for each of the 2 texts"),
        (["a", "b"], ["x", "x"], DataError, "at least two different labels"),
    ],
)
def test_wrong_input_is_named(X: Any, y: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SequenceClassifier(**TINY).fit(X, y)


def test_a_setting_without_effect_is_refused_in_fit() -> None:
    with pytest.raises(SettingError, match="--hidden has no effect on the model 'cnn'"):
        SequenceClassifier(model="cnn", hidden=3).fit(TEXTS, ["a", "b"] * 15)


def test_the_public_names_exist() -> None:
    assert sorted(unspool.__all__) == ["SequenceClassifier", "__version__", "nn"]
    assert all(getattr(unspool, name) is not None for name in unspool.__all__)


@pytest.mark.parametrize(
    "command",
    [
        "import unspool",
        "from unspool.cli import run; run(['--help'])",
        "from unspool.cli import run; run(['train', '--help'])",
    ],
)
def test_help_loads_neither_torch_nor_sklearn(command: str) -> None:
    check = "import sys; assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{command}; {check}"], check=True, capture_output=True)
