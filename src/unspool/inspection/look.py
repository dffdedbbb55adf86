"""Everything that can be seen of one text, or of a corpus, in a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unspool.inspection import alignment, attribution, gates, ngrams, reading
from unspool.inspection.attribution import Attribution
from unspool.inspection.gates import LayerTrace, Reach
from unspool.inspection.ngrams import Firing, Summary
from unspool.models.bow import Bow
from unspool.predictors import ClassifierPredictor

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """One text. What the model has no part for is empty or None.

    Attributes:
        answer: index of the answered label; `probabilities` (C,) of all.
        attribution: to the answered label.
        steps: names of the recurrent layers' steps (the tokens, or what a convolution made of them).
        traces, reaches: of the recurrent layers. firings: of the region CNN's filters.
        attention: (steps,) weights of attention pooling, None without it.
    """

    text: str
    answer: int
    probabilities: Floats
    attribution: Attribution
    steps: list[str]
    traces: list[LayerTrace]
    reaches: list[Reach]
    firings: list[Firing]
    attention: Floats | None


@dataclass(frozen=True)
class Survey:
    """A corpus.

    Attributes:
        texts: how many were read.
        answered: (C,) how often each label was answered.
        summary: the region CNN's best n-grams, None for another model.
        selectivity: (layer, gate) → (H,) share of all steps at which each unit is near 0 or 1.
        leading: for each label, the n-grams with the greatest weights of the linear baseline; empty for a network.
    """

    texts: int
    answered: list[int]
    summary: Summary | None
    selectivity: dict[tuple[str, str], Floats]
    leading: list[list[tuple[str, float]]]


def look(predictor: ClassifierPredictor, text: str) -> Look:
    """Everything about one text."""
    probabilities = np.exp(predictor.log_probabilities([text])[0])
    answer = int(probabilities.argmax())
    attributed = attribution.attribute(predictor, text, answer)
    if isinstance(predictor.network, Bow):
        return Look(text, answer, probabilities, attributed, [], [], [], [], None)
    read = reading.read(predictor, text)
    entering = gates.entering(predictor, read) if read.tokens else read
    return Look(
        text,
        answer,
        probabilities,
        attributed,
        entering.tokens,
        gates.trace(predictor, entering) if read.tokens else [],
        gates.reaches(predictor, entering),
        ngrams.firings(predictor, read) if ngrams.has_regions(predictor) else [],
        alignment.alignment(predictor, entering) if read.tokens else None,
    )


def survey(predictor: ClassifierPredictor, texts: Sequence[str], poll: Callable[[], None] = lambda: None) -> Survey:
    """The summaries of a corpus; `poll` is called after each text."""
    answers = predictor.log_probabilities(texts).argmax(axis=1)
    answered = np.bincount(answers, minlength=len(predictor.labels)).tolist()
    if isinstance(predictor.network, Bow):
        return Survey(len(texts), answered, None, {}, _leading(predictor.network, len(predictor.labels)))
    summary = None
    if ngrams.has_regions(predictor):
        summary = ngrams.summarise(predictor, (reading.read(predictor, text) for text in texts))
    return Survey(len(texts), answered, summary, _selectivity(predictor, texts, poll), [])


def _selectivity(
    predictor: ClassifierPredictor, texts: Sequence[str], poll: Callable[[], None]
) -> dict[tuple[str, str], Floats]:
    """Over all steps of all texts: long texts count for more."""
    if gates.recurrent_part(predictor) is None:
        return {}
    sums: dict[tuple[str, str], Floats] = {}
    steps = 0
    for text in texts:
        read = reading.read(predictor, text)
        if read.tokens:
            entering = gates.entering(predictor, read)
            steps += len(entering.tokens)
            for traced in gates.trace(predictor, entering):
                for gate in sorted(traced.gates.keys() & set(gates.SHARES)):
                    near = gates.selectivity(traced.gates[gate]) * len(entering.tokens)
                    sums[traced.name, gate] = sums.get((traced.name, gate), np.zeros_like(near)) + near
        poll()
    return {key: total / steps for key, total in sums.items()}


def _leading(network: Bow, labels: int, best: int = 20) -> list[list[tuple[str, float]]]:
    rows = (
        network.coefficients
        if len(network.coefficients) > 1
        else np.stack([-network.coefficients[0], network.coefficients[0]])
    )
    found = []
    for label in range(labels):
        order = np.argsort(-rows[label], kind="stable")[:best]
        found.append([(network.ngrams[k], float(rows[label, k])) for k in order if rows[label, k] > 0])
    return found
