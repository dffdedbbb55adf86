"""Sequence to sequence, as a scikit-learn estimator on lists of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from sklearn.base import BaseEstimator

from unspool import config
from unspool.decoding.beam import BeamOptions
from unspool.errors import DataError
from unspool.estimators.base import Estimator
from unspool.estimators.inputs import texts
from unspool.tasks.translate import evaluation, fitting
from unspool.text.readers import Pairs


class Translator(Estimator, BaseEstimator):  # type: ignore[misc]
    """Sequence to sequence: an encoder and a decoder with attention that turn texts into texts.

    Args:
        model: the encoder: "rnn", "gru", "lstm", "peephole", "prototype", "normalised", "pseudo", "mingru", "qrnn" or
            "dilated-cnn". None: the default model.
        start: folder of a trained translator to start from.
        verbose: write what is decided, and every epoch, to stderr.
        every other argument: the setting of that name, see `unspool.config.Settings`; None: the recipe decides.

    Attributes:
        validation_: figures on the part held out by `fit`: `bleu`, `chrf`, `token_accuracy` and more.
        baseline_: empty; there is no yardstick for translations.
        predictor_: the trained `unspool.predictors.TranslatorPredictor`.

    Example:
        >>> translator = Translator(minutes=10).fit(english, german)  # doctest: +SKIP
        >>> translator.translate(["a dog runs"], beams=5)  # doctest: +SKIP
    """

    task = "translate"
    kind = "translator"

    def __init__(
        self,
        model: str | None = None,
        *,
        level: str | None = None,
        target_level: str | None = None,
        lowercase: bool | None = None,
        min_count: int | None = None,
        max_vocabulary: int | None = None,
        max_length: int | None = None,
        embedding: int | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        bidirectional: bool | None = None,
        reset_after: bool | None = None,
        kernel_size: int | None = None,
        filters: int | None = None,
        attention: str | None = None,
        decoder: str | None = None,
        decoder_layers: int | None = None,
        input_feeding: bool | None = None,
        joint: bool | None = None,
        scheduled_sampling: float | None = None,
        dropout: float | None = None,
        embedding_dropout: float | None = None,
        word_dropout: float | None = None,
        recurrent_dropout: float | None = None,
        zoneout: float | None = None,
        layer_norm: bool | None = None,
        residual: bool | None = None,
        tied: bool | None = None,
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
        start: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        arguments = dict(locals())
        for name in (*config.settings_of("translate"), "start", "verbose"):
            setattr(self, name, arguments[name])

    def fit(self, X: Iterable[str], y: Iterable[str]) -> Self:
        """Train on source texts X and target texts y, holding out `validation` of them.

        Raises DataError when X or y holds anything but strings, a side of a pair is blank, or lengths differ.
        """
        pairs = _pairs(X, y)
        self._train(
            lambda notice: fitting.prepare(pairs, self._given(), None, notice, self._start()),
            "pairs given to fit",
            verbose=self.verbose,
        )
        return self

    def translate(
        self,
        X: Iterable[str],
        *,
        beams: int = 5,
        length_penalty: float = 1.0,
        coverage_penalty: float = 0.0,
        no_repeat: int = 0,
        dictionary: Mapping[str, str] | None = None,
    ) -> list[str]:
        """The best translation of each text, in order; a blank text gives an empty one.

        beams: prefixes kept during the search, 1 is greedy; the others: see `unspool.decoding.beam.BeamOptions`.
        dictionary: target words for source words, where both sides are words and the model writes an unknown one.
        """
        options = BeamOptions(beams, 1, length_penalty, coverage_penalty, no_repeat)
        return [found[0].text for found in self._fitted().translate(texts(X), options, dictionary)]

    def predict(self, X: Iterable[str]) -> list[str]:
        """`translate` with its defaults."""
        return self.translate(X)

    def score(self, X: Iterable[str], y: Iterable[str]) -> float:
        """BLEU from 0 to 100 of the translations of X against y, by sacrebleu, with five beams."""
        predictor, pairs = self._fitted(), _pairs(X, y)
        if not len(pairs):
            raise DataError("there is nothing to score: X is empty")
        return float(evaluation.measure(predictor, pairs.sources, pairs.targets)["bleu"])


def _pairs(X: Iterable[str], y: Iterable[str]) -> Pairs:
    sources, targets = texts(X), texts(y, "y")
    if len(sources) != len(targets):
        raise DataError(f"X and y must hold equally many texts, got {len(sources):,} and {len(targets):,}")
    for row, pair in enumerate(zip(sources, targets, strict=True)):
        if not all(side.strip() for side in pair):
            raise DataError(f"the pair {row} has an empty side: leave it out")
    return Pairs(sources, targets, (), "")
