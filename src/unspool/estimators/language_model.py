"""A language model as a Python object: fit, generate, score, save, load."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from unspool.decoding.sampling import Sampling, is_whole
from unspool.errors import DataError, UsageError
from unspool.estimators import inputs
from unspool.estimators.base import Estimator
from unspool.estimators.wording import told_in_python
from unspool.tasks.generate import fitting
from unspool.tasks.generate.samples import side_by_side
from unspool.text.readers import Documents


class LanguageModel(Estimator):
    """Learns texts and goes on where a prompt ends.

    Args:
        start: folder of a trained language model to start from.
        settings: by name, see `unspool.config.Settings`; what is not given the recipe decides. `model`: a cell.

    Attributes:
        predictor_: the trained `unspool.predictors.GeneratorPredictor`.
        validation_, baseline_: figures on the held-out part, of the network and of an n-gram model.

    Example:
        >>> model = LanguageModel(hidden=256, minutes=3).fit(text)  # doctest: +SKIP
        >>> model.generate("It was the best of times", length=200)  # doctest: +SKIP
    """

    task = "generate"
    kind = "language model"

    def __init__(self, *, start: str | Path | None = None, **settings: Any) -> None:
        self.start, self.settings = start, settings

    def __repr__(self) -> str:
        given = {**({} if self.start is None else {"start": self.start}), **self.settings}
        return f"LanguageModel({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def fit(self, texts: str | Iterable[str], labels: Iterable[str] | None = None) -> Self:
        """Learn one running text, a string or a list with one, or documents, which may have labels. DataError when they
        hold too little."""
        given = _texts(texts)
        named = None if labels is None else inputs.texts(labels, "labels")
        documents = Documents.of(given, named, running=len(given) == 1)
        self._train(
            lambda notice: fitting.prepare(documents, self.settings, start=self._start(), notice=notice),
            "texts given to fit",
        )
        return self

    @told_in_python()
    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        label: str | None = None,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        stop: str | None = None,
        seed: int = 0,
    ) -> str:
        """At most `length` tokens that follow the prompt, and none from the text `stop` on; same seed, same text.
        UsageError for a wrong value."""
        if not isinstance(prompt, str):
            raise DataError(f"prompt must be a text, got {type(prompt).__name__}")
        if label is not None and not isinstance(label, str):
            raise DataError(f"label must be a text, got {type(label).__name__}")
        if not is_whole(length) or length < 1:
            raise UsageError(f"length is {length!r}: expected 1 or more tokens")
        if stop is not None and not (isinstance(stop, str) and stop):
            raise UsageError(f"stop is {stop!r}: expected the text before which to end, or None")
        how = Sampling(temperature, top_k, top_p, repetition_penalty, seed)
        ids, _ = self._fitted().prompt_ids(prompt, label)
        (sample,) = side_by_side(self._fitted(), ids, how, length, stop, 1)
        return sample.text

    @told_in_python()
    def score(self, texts: str | Iterable[str], labels: Iterable[str] | None = None) -> float:
        """Mean log-probability of a token of one text or several, in nats, each read from its start: at most 0, and
        higher is better; exp(-score) is the perplexity. All unknown tokens are one and the same."""
        given = _texts(texts)
        named = None if labels is None else inputs.texts(labels, "labels")
        if named is not None and len(named) != len(given):
            raise DataError(f"there are {len(given):,} texts but {len(named):,} labels")
        nats = [value for found in self._fitted().surprises(given, named) for value in found.nats]
        if not nats:
            raise DataError("there is nothing to score: the texts are empty")
        return -float(np.mean(nats))

    @classmethod
    def _arguments(cls, _loaded: Any) -> dict[str, Any]:
        return {}


def _texts(texts: str | Iterable[str]) -> list[str]:
    """One text or several as a list, checked."""
    return inputs.texts([texts] if isinstance(texts, str) else texts, "texts")
