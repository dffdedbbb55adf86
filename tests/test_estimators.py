"""SequenceClassifier as scikit-learn expects it."""

from __future__ import annotations

import inspect
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import unspool
from unspool import SequenceClassifier, config, native
from unspool.config import Level
from unspool.errors import DataError, Interrupted, SettingError, UsageError
from unspool.estimators.wording import in_python, told_in_python

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


@pytest.mark.parametrize("model", ["lstm", "cnn", "cnn-gru"])
def test_a_whole_model_answers_alike_without_the_core(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"model": model, "embedding": 6, "level": "word", "learning_rate": 0.02, "epochs": 3}
    classifier = SequenceClassifier(**settings).fit(TEXTS, ["a", "b"] * 15)
    found = classifier.predict_proba(TEXTS)
    monkeypatch.setattr(native, "_native", None)
    monkeypatch.setattr(native, "_missed", True)  # it has been told
    assert np.abs(classifier.predict_proba(TEXTS) - found).max() <= 1e-5


def test_arguments_are_the_settings() -> None:
    names = set(inspect.signature(SequenceClassifier).parameters)
    assert names == {*config.settings_of("classify"), "vectors", "start", "verbose"}


@pytest.mark.parametrize(
    ("X", "y", "error", "words"),
    [
        ("a text", ["a"], DataError, "a list of texts, not one text"),
        (["a", 3], ["x", "y"], DataError, "item 1 is of type int"),
        (["a", "b"], ["x"], DataError, "one label for each of the 2 texts"),
        (["a", "b"], ["x", "x"], DataError, "at least two different labels"),
        (["a", "b", "c"], [1, "1", 2], DataError, "labels of one kind"),
        (["a", "b", "c"], [True, 2, 3], DataError, "labels of one kind"),
        (["a", "b"], [None, "x"], DataError, "none may be missing"),
        (["a", "b"], [[1], [2]], DataError, "its shape is"),
        (None, ["x"], DataError, "X must be a list of texts, got NoneType"),
        (["a", "b"], 3, DataError, "y must be a list of labels, got int"),
    ],
)
def test_wrong_input_is_named(X: Any, y: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SequenceClassifier(**TINY).fit(X, y)


class Table:
    """What a data frame looks like from outside: two-dimensional, iterating gives the names of its columns."""

    ndim = 2

    def __iter__(self) -> Iterator[str]:
        return iter(["text", "label"])


@pytest.mark.parametrize("X", [{"text": "a"}, np.array([["a", "b"]]), Table()], ids=["mapping", "matrix", "frame"])
def test_a_table_is_not_read_as_its_column_names(X: Any) -> None:
    with pytest.raises(DataError, match="a list of texts, not a table: give the column that holds the texts"):
        SequenceClassifier(**TINY).fit(X, ["a", "b"])


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["x", None] * 15, "none may be missing"),
        ([1.0, float("nan")] * 15, "none may be missing"),
        ([["x"], ["y"]] * 15, "one label for each of the 30 texts"),
        ([["x"], ["y", "z"]] * 15, "one label a text, not lists"),
    ],
    ids=str,
)
def test_wrong_labels_are_named(y: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        SequenceClassifier(**TINY).fit(TEXTS, y)


def test_series_and_generators_are_lists_of_texts() -> None:
    fitted = SequenceClassifier(**TINY, epochs=1).fit(np.array(TEXTS), (label for label in ["a", "b"] * 15))
    assert np.array_equal(fitted.predict(np.array(TEXTS)), fitted.predict(iter(TEXTS)))


@pytest.mark.parametrize("model", ["rnn", "bow"])
def test_what_is_not_fitted_says_so(model: str, tmp_path: Path) -> None:
    classifier = SequenceClassifier(model=model)
    for use in (classifier.predict, classifier.predict_proba, classifier.save):
        with pytest.raises(NotFittedError):
            use([str(tmp_path / "m")])


def test_a_fit_that_fails_leaves_what_was_fitted() -> None:
    fitted = SequenceClassifier(model="bow").fit(TEXTS, ["pos", "neg"] * 15)
    with pytest.raises(DataError, match="no text can be spared for validation"):
        fitted.fit(["a", "b"], ["x", "y"])
    assert fitted.predict(["fine film 0", "dull film 0"]).tolist() == ["pos", "neg"]


def test_a_label_whose_only_texts_are_copies_does_not_stop_the_fit() -> None:
    texts = ["a b", "a b", "a b", *(f"word{n} film" for n in range(8))]
    labels = ["a", "x", "x", *["x", "y"] * 4]
    for seed in range(5):
        fitted = SequenceClassifier(**TINY, epochs=1, validation=0.4, seed=seed).fit(texts, labels)
        assert fitted.predict_proba(["a b"]).shape == (1, 3)


LOADABLE: list[dict[str, Any]] = [
    {"model": "bow"},
    *({"model": "gru", "hidden": 4, "embedding": 4, "epochs": 1, "level": level} for level in get_args(Level)),
    {"model": "cnn", "filters": 3, "region_sizes": (2, 3), "embedding": 4, "epochs": 1},
    {"model": "cnn-lstm", "filters": 3, "hidden": 4, "embedding": 4, "epochs": 1},
]


@pytest.mark.parametrize("given", LOADABLE, ids=lambda given: "-".join(map(str, (given["model"], given.get("level")))))
def test_a_loaded_estimator_can_be_cloned_and_fitted_to_the_same(given: dict[str, Any], tmp_path: Path) -> None:
    fitted = SequenceClassifier(**given).fit(TEXTS, ["pos", "neg"] * 15)
    fitted.save(tmp_path / "m")
    loaded = SequenceClassifier.load(tmp_path / "m")
    assert np.array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert loaded.classes_.tolist() == ["neg", "pos"]
    assert loaded.validation_ == fitted.validation_
    assert loaded.baseline_ == fitted.baseline_
    again = clone(loaded).fit(TEXTS, ["pos", "neg"] * 15)
    assert np.array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


@pytest.mark.parametrize("kinds", [(0, 1), (10, 9), (True, False), (1.0, 2.0), ("1", "0")], ids=str)
def test_labels_of_a_loaded_model_are_of_the_kind_that_fit_was_given(kinds: tuple[Any, Any], tmp_path: Path) -> None:
    y = np.array(kinds * 15)
    fitted = SequenceClassifier(model="bow").fit(TEXTS, y)
    fitted.save(tmp_path / "m")
    loaded = SequenceClassifier.load(tmp_path / "m")
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    assert loaded.predict(TEXTS).dtype == y.dtype
    assert loaded.score(TEXTS, y) == fitted.score(TEXTS, y) > 0.9
    loaded.save(tmp_path / "again")
    assert SequenceClassifier.load(tmp_path / "again").classes_.tolist() == fitted.classes_.tolist()
    assert loaded.predictor_.labels == [str(label) for label in fitted.classes_.tolist()]


def test_save_keeps_what_is_there(tmp_path: Path) -> None:
    fitted = SequenceClassifier(model="bow").fit(TEXTS, ["pos", "neg"] * 15)
    (tmp_path / "m").mkdir()
    with pytest.raises(UsageError, match=r"exists and .* save to another path, or remove it first with shutil\.rmtree"):
        fitted.save(tmp_path / "m")
    assert not list((tmp_path / "m").iterdir())


def test_verbose_tells_on_stderr_and_quiet_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    SequenceClassifier(**TINY, epochs=1).fit(TEXTS, ["pos", "neg"] * 15)
    assert capfd.readouterr() == ("", "")
    SequenceClassifier(**TINY, epochs=1, verbose=True).fit(TEXTS, ["pos", "neg"] * 15)
    out, err = capfd.readouterr()
    assert out == ""
    for word in ("labels", "split", "tokens", "baseline", "model"):
        assert any(line.startswith(word) for line in err.splitlines()), word


def test_vectors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("fine 1 0 0\ndull 0 1 0\nfilm 0 0 1\n")
    settings = {name: value for name, value in TINY.items() if name != "embedding"}
    fitted = SequenceClassifier(**settings, epochs=1, vectors=path, vectors_mode="static").fit(TEXTS, ["a", "b"] * 15)
    assert fitted.predictor_.settings.embedding == 3
    assert fitted.predictor_.vectors == "static"
    with pytest.raises(SettingError, match=r"^vectors_mode has no effect without vectors$"):
        SequenceClassifier(**TINY, vectors_mode="static").fit(TEXTS, ["a", "b"] * 15)


def test_parameters_are_kept_untouched() -> None:
    sizes = [2, 3]
    classifier = SequenceClassifier(region_sizes=sizes, hidden=-1)  # settled in fit, not before
    assert classifier.get_params()["region_sizes"] is sizes
    assert classifier.set_params(hidden=5, model="lstm").get_params()["hidden"] == 5
    with pytest.raises(ValueError, match="Invalid parameter 'hiden'"):
        classifier.set_params(hiden=5)


def test_the_example_tells_praise_from_blame(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(Path(__file__).parents[1] / "examples" / "classify.py"), run_name="__main__")
    praised, blamed = capsys.readouterr().out.splitlines()
    assert praised.startswith("'a warm joy' is praise")
    assert blamed.startswith("'flat, grim, a bore' is blame")


def test_a_setting_without_effect_is_refused_in_fit() -> None:
    with pytest.raises(SettingError, match=r"^hidden has no effect on the model 'cnn'"):
        SequenceClassifier(model="cnn", hidden=3).fit(TEXTS, ["a", "b"] * 15)


def test_the_public_names_exist() -> None:
    classes = ["LanguageModel", "SequenceClassifier", "SequenceTagger", "Translator"]
    assert sorted(unspool.__all__) == [*classes, "__version__", "nn"]
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


def test_the_kinds_of_a_numpy_search_are_settings() -> None:
    found = SequenceClassifier(**{**TINY, "hidden": np.int64(3), "dropout": np.float64(0.1)}, epochs=1)
    assert found.fit(TEXTS, ["a", "b"] * 15).predictor_.settings.hidden == 3


@pytest.mark.parametrize(
    ("command", "library"),
    [
        ("--top-k is -1: expected 1", "top_k is -1: expected 1"),
        ("no effect with one layer: give --layers 2 or more", "no effect with one layer: give layers=2 or more"),
        ("they cannot have two levels, give --no-joint", "they cannot have two levels, give joint=False"),
        ("--layer-decay has no effect without --from MODEL", "layer_decay has no effect without start"),
        ("--vectors and --from do not go together", "vectors and start do not go together"),
        ("spared: give more texts, or a file with --validation-data", "spared: give more texts"),
        ("a - b -- c --- d, x--y", "a - b -- c --- d, x--y"),
        ("labels     2: --verbose 9, --no-colour 2", "labels     2: --verbose 9, --no-colour 2"),
    ],
)
def test_messages_of_the_library_name_arguments(command: str, library: str) -> None:
    assert in_python(command) == library
    with pytest.raises(Interrupted, match=f"^{re.escape(library)}$") as error, told_in_python():
        raise Interrupted(command, 15)
    assert error.value.signal_number == 15
