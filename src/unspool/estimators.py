"""scikit-learn estimators on lists of strings, and of lists of strings.

They store their arguments untouched and settle everything in `fit`; learned names end in `_`. `None` means what the
command means by a flag that is not given: the recipe decides.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rich.console import Console
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from unspool import config, predictors
from unspool.errors import DataError, ModelFileError, UsageError, shorten
from unspool.tasks import TASKS
from unspool.tasks.classify import fitting
from unspool.tasks.classify.card import make_card, make_readme
from unspool.tasks.tag import fitting as tagging
from unspool.training import tagging_metrics
from unspool.training.callbacks import ProgressBar

_NUMBERS = str.maketrans("uf", "ii")  # numpy's kinds of numbers, as one


class SequenceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Many to one: a recurrent or convolutional network that labels texts.

    Args:
        model: "rnn", "gru", "lstm", "peephole", "prototype", "normalised", "pseudo", "mingru", "qrnn", "cnn",
            "stacked-cnn", "dilated-cnn", "cnn-<cell>" or "bow". None: the default model.
        vectors: path of pretrained word vectors, GloVe or word2vec text format.
        verbose: write what is decided, and every epoch, to stderr.
        every other argument: the setting of that name, see `unspool.config.Settings`; None: the recipe decides.

    Attributes:
        classes_: labels in the order of the columns of `predict_proba`.
        validation_, baseline_: figures on the part held out by `fit`, of the network and of the linear baseline.
        predictor_: the trained `unspool.predictors.ClassifierPredictor`.

    Example:
        >>> classifier = SequenceClassifier(model="gru").fit(texts, labels)  # doctest: +SKIP
        >>> classifier.predict(["a film to remember"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        level: str | None = None,
        lowercase: bool | None = None,
        min_count: int | None = None,
        max_vocabulary: int | None = None,
        max_length: int | None = None,
        keep: str | None = None,
        embedding: int | None = None,
        vectors_mode: str | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        bidirectional: bool | None = None,
        pooling: str | None = None,
        reset_after: bool | None = None,
        kernel_size: int | None = None,
        pool_size: int | None = None,
        region_sizes: Sequence[int] | None = None,
        filters: int | None = None,
        dropout: float | None = None,
        embedding_dropout: float | None = None,
        word_dropout: float | None = None,
        recurrent_dropout: float | None = None,
        zoneout: float | None = None,
        layer_norm: bool | None = None,
        residual: bool | None = None,
        max_norm: float | None = None,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        warmup: float | None = None,
        clip: float | None = None,
        average: float | None = None,
        label_smoothing: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        minutes: float | None = None,
        validation: float | None = None,
        seed: int | None = None,
        vectors: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        arguments = dict(locals())
        for name in (*config.settings_of("classify"), "vectors", "verbose"):
            setattr(self, name, arguments[name])

    def fit(self, X: Iterable[str], y: Iterable[Any]) -> Self:
        """Train on texts X and labels y (strings, numbers or booleans), holding out `validation` of them.

        Raises DataError when X holds anything but strings, lengths differ, or there is one label only.
        """
        texts = _texts(X)
        classes, truth = np.unique(_labels(y, len(texts)), return_inverse=True)
        if len(classes) < 2:
            raise DataError("y must hold at least two different labels")
        names = [str(label) for label in classes.tolist()]
        started, notice = time.monotonic(), _note if self.verbose else _quiet
        prepared = fitting.prepare(
            texts,
            [names[index] for index in truth],
            self._given(),
            names=names,
            vectors=None if self.vectors is None else Path(self.vectors),
            notice=notice,
        )
        minutes = prepared.settings.minutes
        outcome = fitting.fit(
            prepared,
            deadline=None if minutes is None else started + 60 * minutes,
            callbacks=(ProgressBar(Console(stderr=True)),) if self.verbose else (),
            notice=notice,
        )
        self.classes_, self.predictor_ = classes, outcome.predictor
        self.validation_, self.baseline_ = outcome.validation, outcome.baseline
        self.predictor_.card = make_card("texts given to fit", None, prepared, outcome)
        return self

    def predict_proba(self, X: Iterable[str]) -> npt.NDArray[np.float64]:
        """(N, C) probabilities; columns as in `classes_`."""
        check_is_fitted(self, "predictor_")
        return np.asarray(np.exp(self.predictor_.log_probabilities(_texts(X))))

    def predict(self, X: Iterable[str]) -> npt.NDArray[Any]:
        """(N,) labels, of the kind that `fit` was given."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def save(self, path: str | Path) -> None:
        """Publish a model folder that `unspool predict` and `load` read. UsageError when the folder exists."""
        check_is_fitted(self, "predictor_")
        folder = Path(path)
        if folder.exists():
            raise UsageError(f"{shorten(folder, 300)} exists: choose another folder")
        predictors.save(self.predictor_, folder, make_readme(folder.name, self.predictor_.card))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A fitted estimator from a model folder; its labels are strings. ModelFileError as `predictors.load`."""
        loaded = predictors.load(Path(path))
        if not isinstance(loaded, predictors.ClassifierPredictor):
            raise ModelFileError(f"{shorten(path, 300)} is a model of the task {loaded.task!r}, not a classifier")
        estimator = cls(**_arguments(loaded))
        estimator.predictor_ = loaded
        estimator.classes_ = np.array(loaded.labels)
        estimator.validation_, estimator.baseline_ = loaded.card.get("validation", {}), loaded.card.get("baseline", {})
        return estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False, True
        return tags

    def _given(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in config.settings_of("classify")}
        return {name: value for name, value in values.items() if value is not None}


class SequenceTagger(BaseEstimator):  # type: ignore[misc]
    """Many to many, aligned: a recurrent or convolutional network that gives each token a tag.

    Args:
        model: "rnn", "gru", "lstm", "peephole", "prototype", "normalised", "pseudo", "mingru", "qrnn" or "dilated-cnn".
            None: the default model.
        vectors: path of pretrained word vectors, GloVe or word2vec text format.
        verbose: write what is decided, and every epoch, to stderr.
        every other argument: the setting of that name, see `unspool.config.Settings`; None: the recipe decides.

    Attributes:
        validation_, baseline_: figures on the part held out by `fit`, of the network and of each word's commonest tag.
        predictor_: the trained `unspool.predictors.TaggerPredictor`.

    Example:
        >>> tagger = SequenceTagger().fit([["to", "Boston"], ["hello"]], [["O", "B-city"], ["O"]])  # doctest: +SKIP
        >>> tagger.predict([["from", "Boston"]])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        lowercase: bool | None = None,
        min_count: int | None = None,
        max_vocabulary: int | None = None,
        max_length: int | None = None,
        embedding: int | None = None,
        vectors_mode: str | None = None,
        characters: str | None = None,
        character_embedding: int | None = None,
        character_hidden: int | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        bidirectional: bool | None = None,
        reset_after: bool | None = None,
        kernel_size: int | None = None,
        filters: int | None = None,
        output: str | None = None,
        scheme: str | None = None,
        dropout: float | None = None,
        character_dropout: float | None = None,
        embedding_dropout: float | None = None,
        word_dropout: float | None = None,
        recurrent_dropout: float | None = None,
        zoneout: float | None = None,
        layer_norm: bool | None = None,
        residual: bool | None = None,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        warmup: float | None = None,
        clip: float | None = None,
        average: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        minutes: float | None = None,
        validation: float | None = None,
        seed: int | None = None,
        vectors: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        arguments = dict(locals())
        for name in (*config.settings_of("tag"), "vectors", "verbose"):
            setattr(self, name, arguments[name])

    def fit(self, X: Iterable[Sequence[str]], y: Iterable[Sequence[str]]) -> Self:
        """Train on sentences X (lists of tokens) and their tags y, holding out `validation` of them.

        Raises DataError when X or y holds anything but lists of strings, or lengths differ.
        """
        tokens, tags = _sentences(X, "X"), _sentences(y, "y")
        if [len(sentence) for sentence in tokens] != [len(marks) for marks in tags]:
            raise DataError("y must hold as many lists as X, and each as many tags as its sentence has tokens")
        started, notice = time.monotonic(), _note if self.verbose else _quiet
        given = {name: getattr(self, name) for name in config.settings_of("tag")}
        prepared = tagging.prepare(
            tagging.Sentences(tokens, tags),
            {"task": "tag", **{name: value for name, value in given.items() if value is not None}},
            vectors=None if self.vectors is None else Path(self.vectors),
            notice=notice,
        )
        minutes = prepared.settings.minutes
        outcome = tagging.fit(
            prepared,
            deadline=None if minutes is None else started + 60 * minutes,
            callbacks=(ProgressBar(Console(stderr=True)),) if self.verbose else (),
            notice=notice,
        )
        self.predictor_ = outcome.predictor
        self.validation_, self.baseline_ = outcome.validation, outcome.baseline
        self.predictor_.card = TASKS["tag"].make_card("sentences given to fit", None, prepared, outcome)
        return self

    def predict(self, X: Iterable[Sequence[str]]) -> list[list[str]]:
        """The tags of each sentence, in order."""
        check_is_fitted(self, "predictor_")
        return self.predictor_.tag(_sentences(X, "X"))

    def score(self, X: Iterable[Sequence[str]], y: Iterable[Sequence[str]]) -> float:
        """Span F1 where the tags write spans, else the accuracy of the tokens."""
        check_is_fitted(self, "predictor_")
        spans = self.predictor_.scheme is not None
        return tagging.main_figure(tagging_metrics.report(_sentences(y, "y"), self.predict(X), spans=spans))

    def save(self, path: str | Path) -> None:
        """Publish a model folder that `unspool tag` and `load` read. UsageError when the folder exists."""
        check_is_fitted(self, "predictor_")
        folder = Path(path)
        if folder.exists():
            raise UsageError(f"{shorten(folder, 300)} exists: choose another folder")
        predictors.save(self.predictor_, folder, TASKS["tag"].make_readme(folder.name, self.predictor_.card))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A fitted estimator from a model folder. ModelFileError as `predictors.load`."""
        loaded = predictors.load(Path(path))
        if not isinstance(loaded, predictors.TaggerPredictor):
            raise ModelFileError(f"{shorten(path, 300)} is a model of the task {loaded.task!r}, not a tagger")
        left_out = {"task", "vectors_mode", *(() if loaded.scheme else ("scheme",))}
        settings = loaded.settings
        estimator = cls(
            **{
                name: value
                for name, value in settings.model_dump().items()
                if value is not None and name not in left_out and config.uses(settings.model, name, "tag")
            }
        )
        estimator.predictor_ = loaded
        estimator.validation_, estimator.baseline_ = loaded.card.get("validation", {}), loaded.card.get("baseline", {})
        return estimator


def _arguments(loaded: predictors.ClassifierPredictor) -> dict[str, Any]:
    """The arguments with which `fit` would settle on the loaded model's settings again.

    Left out is what has no effect there, and how vectors were used, as their file is not part of the model.
    """
    settings = loaded.settings
    left_out = {"vectors_mode", *(("min_count", "max_vocabulary") if settings.level == "byte" else ())}
    return {
        name: value
        for name, value in settings.model_dump().items()
        if value is not None and name not in ("task", *left_out) and config.uses(settings.model, name)
    }


def _labels(y: Iterable[Any], count: int) -> npt.NDArray[Any]:
    given = list(y)
    try:
        labels = np.asarray(given)
    except ValueError as error:  # lists of different lengths
        raise DataError("y must hold one label a text, not lists") from error
    if labels.ndim != 1 or len(labels) != count:
        raise DataError(f"y must hold one label for each of the {count} texts, its shape is {labels.shape}")
    if labels.dtype.kind not in "USbiuf" or (labels.dtype.kind == "f" and np.isnan(labels).any()):
        raise DataError("y must hold texts, numbers or booleans, and none may be missing")
    if len({np.asarray(label).dtype.kind.translate(_NUMBERS) for label in given}) > 1:  # 1 and "1" would become one
        raise DataError("y must hold labels of one kind: all texts, all numbers, or all booleans")
    return labels


def _texts(X: Iterable[str]) -> list[str]:
    if isinstance(X, str):
        raise DataError("X must be a list of texts, not one text")
    if isinstance(X, Mapping) or getattr(X, "ndim", 1) != 1:
        raise DataError("X must be a list of texts, not a table: give the column that holds the texts")
    texts = list(X)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"X must hold strings; item {row} is of type {type(text).__name__}")
    return [str(text) for text in texts]


def _sentences(rows: Iterable[Sequence[str]], name: str) -> list[list[str]]:
    """Lists of strings that are not empty, checked."""
    if isinstance(rows, str | Mapping):
        raise DataError(f"{name} must be a list of sentences, each a list of strings")
    found = []
    for row, sentence in enumerate(rows):
        if isinstance(sentence, str) or not all(isinstance(part, str) and part for part in sentence):
            raise DataError(f"{name} must hold lists of strings, none of them empty; item {row} is something else")
        found.append([str(part) for part in sentence])
    return found


def _quiet(_line: str) -> None:
    """What `notice` does without `verbose`."""


def _note(line: str) -> None:
    """One line to stderr."""
    sys.stderr.write(line + "\n")
