"""Many to many, aligned, as a scikit-learn estimator on lists of sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator

from unspool import config
from unspool.errors import DataError
from unspool.estimators.base import Estimator
from unspool.estimators.inputs import sentences
from unspool.tasks.tag import fitting
from unspool.training import tagging_metrics


class SequenceTagger(Estimator, BaseEstimator):  # type: ignore[misc]
    """Many to many, aligned: a recurrent or convolutional network that gives each token a tag.

    Args:
        model: "rnn", "gru", "lstm", "peephole", "prototype", "normalised", "pseudo", "mingru", "qrnn" or "dilated-cnn".
            None: the default model.
        vectors: path of pretrained word vectors, GloVe or word2vec text format.
        start: folder of a trained tagger to start from.
        verbose: write what is decided, and every epoch, to stderr.
        every other argument: the setting of that name, see `unspool.config.Settings`; None: the recipe decides.

    Attributes:
        validation_, baseline_: figures on the part held out by `fit`, of the network and of each word's commonest tag.
        predictor_: the trained `unspool.predictors.TaggerPredictor`.

    Example:
        >>> tagger = SequenceTagger().fit([["to", "Boston"], ["hello"]], [["O", "B-city"], ["O"]])  # doctest: +SKIP
        >>> tagger.predict([["from", "Boston"]])  # doctest: +SKIP
    """

    task = "tag"
    kind = "tagger"

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
        start: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        arguments = dict(locals())
        for name in (*config.settings_of("tag"), "vectors", "start", "verbose"):
            setattr(self, name, arguments[name])

    def fit(self, X: Iterable[Sequence[str]], y: Iterable[Sequence[str]]) -> Self:
        """Train on sentences X (lists of tokens) and their tags y, holding out `validation` of them.

        Raises DataError when X or y holds anything but lists of strings, or lengths differ.
        """
        tokens, tags = _pairs(X, y)
        self._train(
            lambda notice: fitting.prepare(
                fitting.Sentences(tokens, tags),
                self._given(),
                vectors=None if self.vectors is None else Path(self.vectors),
                start=self._start(),
                notice=notice,
            ),
            "sentences given to fit",
            verbose=self.verbose,
        )
        return self

    def predict(self, X: Iterable[Sequence[str]]) -> list[list[str]]:
        """The tags of each sentence, in order."""
        return list(self._fitted().tag(sentences(X, "X")))

    def score(self, X: Iterable[Sequence[str]], y: Iterable[Sequence[str]]) -> float:
        """Span F1 where the tags write spans, else the accuracy of the tokens. Raises DataError as `fit` does."""
        spans = self._fitted().scheme is not None
        tokens, tags = _pairs(X, y)
        if not any(tokens):
            raise DataError("there is nothing to score: X holds no token")
        return fitting.main_figure(tagging_metrics.report(tags, self.predict(tokens), spans=spans))

    @classmethod
    def _arguments(cls, loaded: Any) -> dict[str, Any]:
        fixed = () if loaded.scheme else ("scheme",)
        return {name: value for name, value in super()._arguments(loaded).items() if name not in fixed}


def _pairs(X: Iterable[Sequence[str]], y: Iterable[Sequence[str]]) -> tuple[list[list[str]], list[list[str]]]:
    tokens, tags = sentences(X, "X"), sentences(y, "y")
    if [len(sentence) for sentence in tokens] != [len(marks) for marks in tags]:
        raise DataError("y must hold as many lists as X, and each as many tags as its sentence has tokens")
    return tokens, tags
