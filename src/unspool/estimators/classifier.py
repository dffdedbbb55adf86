"""Many to one as a scikit-learn estimator on lists of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from unspool import config
from unspool.errors import DataError
from unspool.estimators.base import Estimator
from unspool.estimators.inputs import labels, texts
from unspool.predictors import ClassifierPredictor, Predictor
from unspool.tasks.classify import fitting


class SequenceClassifier(Estimator, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Many to one: a recurrent or convolutional network that labels texts.

    Args:
        model: "rnn", "gru", "lstm", "peephole", "prototype", "normalised", "pseudo", "mingru", "qrnn", "cnn",
            "stacked-cnn", "dilated-cnn", "cnn-<cell>" or "bow". None: the default model.
        vectors: path of pretrained word vectors, GloVe or word2vec text format.
        start: folder of a trained model to start from, a classifier or a language model.
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

    task = "classify"
    kind = "classifier"

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
        gradual_unfreezing: bool | None = None,
        layer_decay: float | None = None,
        label_smoothing: float | None = None,
        blend: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        minutes: float | None = None,
        validation: float | None = None,
        seed: int | None = None,
        vectors: str | Path | None = None,
        start: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        arguments = dict(locals())
        for name in (*config.settings_of("classify"), "vectors", "start", "verbose"):
            setattr(self, name, arguments[name])

    def fit(self, X: Iterable[str], y: Iterable[Any]) -> Self:
        """Train on texts X and labels y (strings, numbers or booleans), holding out `validation` of them.

        Raises DataError when X holds anything but strings, lengths differ, there is one label only, or y is of another
        kind than the labels of the model to start from.
        """
        given = texts(X)
        classes, truth = np.unique(labels(y, len(given)), return_inverse=True)
        if len(classes) < 2:
            raise DataError("y must hold at least two different labels")
        names, start = [str(label) for label in classes.tolist()], self._start()
        values = _values(start, dict(zip(names, classes.tolist(), strict=True)))
        self._train(
            lambda notice: fitting.prepare(
                given,
                [names[index] for index in truth],
                self._given(),
                names=names,
                vectors=None if self.vectors is None else Path(self.vectors),
                start=start,
                notice=notice,
            ),
            "texts given to fit",
            verbose=self.verbose,
        )
        self.predictor_.classes = [values[label] for label in self.predictor_.labels] if values else ()
        self.classes_ = np.array(self.predictor_.classes or self.predictor_.labels)
        return self

    def predict_proba(self, X: Iterable[str]) -> npt.NDArray[np.float64]:
        """(N, C) probabilities; columns as in `classes_`."""
        return np.asarray(np.exp(self._fitted().log_probabilities(texts(X))))

    def predict(self, X: Iterable[str]) -> npt.NDArray[Any]:
        """(N,) labels, of the kind that `fit` was given."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False, True
        return tags

    def _take(self, predictor: Any, validation: dict[str, Any], baseline: dict[str, Any]) -> None:
        super()._take(predictor, validation, baseline)
        self.classes_ = np.array(predictor.classes or predictor.labels)

    @classmethod
    def _arguments(cls, loaded: Any) -> dict[str, Any]:
        fixed = ("min_count", "max_vocabulary") if loaded.settings.level == "byte" else ()
        return {name: value for name, value in super()._arguments(loaded).items() if name not in fixed}


def _values(start: Predictor | None, given: dict[str, Any]) -> dict[str, Any]:
    """The numbers or booleans that labels stand for, those of the model to start from among them; {} for texts."""
    kind = type(next(iter(given.values())))
    if isinstance(start, ClassifierPredictor):
        own = type(start.classes[0]) if start.classes else str
        if own is not kind:
            raise DataError(f"y holds labels of type {kind.__name__}, the model to start from has {own.__name__}")
        given = dict(zip(start.labels, start.classes, strict=False)) | given
    return {} if kind is str else given
