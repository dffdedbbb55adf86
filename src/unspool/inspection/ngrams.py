"""Which n-grams the filters of a region CNN fire on, in one text and over a corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.nn import functional

from unspool.inspection.reading import Reading, network_of
from unspool.models.encoders import RegionEncoder
from unspool.ops.convolution import ACTIVATIONS
from unspool.predictors import ClassifierPredictor

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Firing:
    """Where a filter fires most in a text.

    Attributes:
        filter: its number, over all region sizes.
        size: its region size.
        ngram: the tokens of the window; those before and after the text are left out.
        value: the filter's answer there.
        pushes: (C,) what that value adds to each label's logit, less the mean over the labels.
    """

    filter: int
    size: int
    ngram: tuple[str, ...]
    value: float
    pushes: Floats


@dataclass(frozen=True)
class Summary:
    """A corpus seen by the filters.

    Attributes:
        filters: for each filter the distinct n-grams with the greatest answers, (n-gram, value), best first.
        speaks_for: (filters,) the label that each filter's weights favour.
        labels: for each label the n-grams that added most to it in all: (n-gram, sum of pushes, times).
    """

    filters: list[list[tuple[tuple[str, ...], float]]]
    speaks_for: list[int]
    labels: list[list[tuple[tuple[str, ...], float, int]]]


def has_regions(predictor: ClassifierPredictor) -> bool:
    """Whether the model is a region CNN with maximum pooling, whose filters fire on one window each."""
    encoder = network_of(predictor).encoder
    return isinstance(encoder, RegionEncoder) and encoder.convolution.pooling == "max"


def firings(predictor: ClassifierPredictor, reading: Reading) -> list[Firing]:
    """One firing a filter, in the order of the filters; none for an empty text."""
    encoder = network_of(predictor).encoder
    assert isinstance(encoder, RegionEncoder)
    tokens, weights = reading.tokens, output_weights(predictor)
    if not tokens:
        return []
    x = functional.pad(reading.vectors, (0, 0, encoder.margin, encoder.margin)).transpose(1, 2)
    found: list[Firing] = []
    for i, size in enumerate(encoder.convolution.region_sizes):
        weight = encoder.convolution.get_parameter(f"weight_r{i}").detach()
        bias = encoder.convolution.get_parameter(f"bias_r{i}").detach()
        answers = functional.conv1d(x, weight.transpose(1, 2), bias)[0]  # (F, windows)
        values, windows = ACTIVATIONS[encoder.convolution.activation](answers).max(1)
        for value, window in zip(values.tolist(), windows.tolist(), strict=True):
            first = window - encoder.margin
            ngram = tuple(tokens[max(0, first) : max(0, first + size)])
            found.append(Firing(len(found), size, ngram, value, value * weights[:, len(found)]))
    return found


def output_weights(predictor: ClassifierPredictor) -> Floats:
    """(C, features) weights of the output, less their mean over the labels: what moves one label against the others."""
    weights = network_of(predictor).output.weight.detach().double()
    centred: Floats = (weights - weights.mean(0)).numpy()
    return centred


def summarise(predictor: ClassifierPredictor, readings: Iterable[Reading], best: int = 5) -> Summary:
    """The best n-grams of a corpus for each filter and each label."""
    strongest: list[dict[tuple[str, ...], float]] = []
    pushes: dict[tuple[str, ...], tuple[Floats, int]] = {}
    for reading in readings:
        for firing in firings(predictor, reading):
            if firing.filter == len(strongest):
                strongest.append({})
            if not firing.ngram or firing.value <= 0:
                continue
            known = strongest[firing.filter]
            known[firing.ngram] = max(known.get(firing.ngram, 0.0), firing.value)
            total, times = pushes.get(firing.ngram, (np.zeros(len(firing.pushes)), 0))
            pushes[firing.ngram] = total + firing.pushes, times + 1
    weights = output_weights(predictor)
    return Summary(
        [sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))[:best] for known in strongest],
        weights.argmax(axis=0).tolist(),
        [_best_of_label(pushes, label, 2 * best) for label in range(len(weights))],
    )


def _best_of_label(
    pushes: dict[tuple[str, ...], tuple[Floats, int]], label: int, count: int
) -> list[tuple[tuple[str, ...], float, int]]:
    order = sorted(pushes.items(), key=lambda pair: (-pair[1][0][label], pair[0]))
    return [(ngram, float(total[label]), times) for ngram, (total, times) in order[:count] if total[label] > 0]
