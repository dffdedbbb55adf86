"""A text in a tagger, a language model or a translator: what it answers, gates and states, and the alignment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unspool.decoding.beam import BeamOptions
from unspool.errors import UsageError
from unspool.inspection import gates
from unspool.inspection.gates import LayerTrace, Reach
from unspool.inspection.reading import Reading
from unspool.nn.recurrent import Recurrent
from unspool.predictors import GeneratorPredictor, Predictor, TaggerPredictor
from unspool.predictors.translator import TranslatorPredictor

BEAM = 5
START, END = "▷", "◁"  # what stands before a text, and after it


@dataclass(frozen=True)
class Alignment:
    """weights (target, source): where the decoder looked when it wrote each target token; rows sum to 1 with what
    it gave to the end of the source."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Passage:
    """One text. What the model has no part for is empty or None.

    Attributes:
        answer: the answer in one line.
        tokens: (token, what the model says of it, how dark it is shown, 0 to 1).
        meaning: what dark means.
        steps: names of the steps that the recurrent layers read.
    """

    text: str
    answer: str
    tokens: list[tuple[str, str, float]]
    meaning: str
    steps: list[str]
    traces: list[LayerTrace]
    reaches: list[Reach]
    alignment: Alignment | None = None


def passage(predictor: Predictor, text: str) -> Passage:
    """Everything about one text; UsageError for a text that has nothing to read."""
    if not text.strip():
        raise UsageError("there is nothing to look at in an empty text")
    if isinstance(predictor, TaggerPredictor):
        return _tagged(predictor, text)
    if isinstance(predictor, GeneratorPredictor):
        return _surprising(predictor, text)
    assert isinstance(predictor, TranslatorPredictor)
    return _translated(predictor, text)


def _tagged(predictor: TaggerPredictor, text: str) -> Passage:
    words = text.split()[: predictor.settings.max_length]
    with _listening(predictor.network.encoder) as heard:
        ((tags, shares),) = predictor.tag_with_confidence([words])
    tokens = [(word, f"{tag} {share:.3f}", 1 - share) for word, tag, share in zip(words, tags, shares, strict=True)]
    answer = " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
    seen = Passage(text, answer, tokens, "less sure", [], [], [])
    return _with_layers(predictor.network.encoder, heard, words, seen)


def _surprising(predictor: GeneratorPredictor, text: str) -> Passage:
    with _listening(predictor.network.layer) as heard:
        (found,) = predictor.surprises([text])
    greatest = max(found.nats, default=1.0) or 1.0
    tokens = [
        (token, f"{nats:.3f} nats", nats / greatest) for token, nats in zip(found.tokens, found.nats, strict=True)
    ]
    answer = f"{np.mean(found.nats):.4f} nats a token" if found.nats else ""
    seen = Passage(text, answer, tokens, "more surprising", [], [], [])
    return _with_layers(predictor.network.layer, heard, [START, *found.tokens[:-1]], seen)


def _translated(predictor: TranslatorPredictor, text: str) -> Passage:
    with _listening(predictor.network.encoder) as heard:
        ((found,),) = predictor.translate([text], BeamOptions(BEAM))
    looks = found.attention
    aligned = None if looks is None or not looks.size else Alignment(found.source, found.tokens, looks)
    seen = Passage(text, found.text, [], "", [], [], [], aligned)
    return _with_layers(predictor.network.encoder, heard, [*found.source, END], seen)


@contextmanager
def _listening(layer: torch.nn.Module) -> Iterator[list[Tensor]]:
    """The vectors that enter `layer` while the block runs."""
    heard: list[Tensor] = []

    def hear(_layer: torch.nn.Module, entered: tuple[Tensor, ...]) -> None:
        heard.append(entered[0])

    handle = layer.register_forward_pre_hook(hear)
    try:
        yield heard
    finally:
        handle.remove()


def _with_layers(layer: Any, heard: list[Tensor], steps: list[str], found: Passage) -> Passage:
    """`found` with what recurrent layers did; as it is when there are none."""
    if not isinstance(layer, Recurrent) or not heard:
        return found
    vectors = torch.cat([part[:1] for part in heard], 1).clone()[:, : len(steps)]
    reading = Reading(steps, vectors, torch.tensor([len(steps)]))
    traces, reaches = gates.traces_of(layer, reading), gates.reaches_of(layer, reading)
    return replace(found, steps=steps, traces=traces, reaches=reaches)
