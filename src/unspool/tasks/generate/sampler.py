"""Samples while a language model trains, and how much of one is copied from the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unspool.decoding.sampling import Sampling
from unspool.predictors import GeneratorPredictor
from unspool.tasks.base import Notice
from unspool.text import ngrams
from unspool.text.ragged import Int64
from unspool.text.streams import Tokens
from unspool.training.callbacks import Callback, Figures
from unspool.training.checkpoint import Progress

LADDER = (0.5, 0.8, 1.1)
SHOWN, LONG = 70, 1000  # tokens
GRAM = 8


class Sampler(Callback):
    """Tells a short sample at each temperature of the ladder after every validation.

    predictor: gives the model as it stands.
    """

    def __init__(self, predictor: Callable[[], GeneratorPredictor], notice: Notice) -> None:
        self.predictor, self.notice = predictor, notice

    def on_start(self, standing: Progress) -> None:  # noqa: ARG002
        self.notice(f"samples    at temperatures {', '.join(map(str, LADDER))}, after every validation")

    def on_validation(self, standing: Progress, figures: Figures, *, best: bool) -> None:  # noqa: ARG002
        predictor = self.predictor()
        for temperature in LADDER:
            text = draw(predictor, Sampling(temperature, seed=standing.epoch), SHOWN)
            self.notice(f"  {temperature}  {' '.join(text.split()) or '(blanks only)'}")

    @staticmethod
    def long_sample(predictor: GeneratorPredictor) -> str:
        """What the novelty is measured on: documents, or running text, of about a thousand tokens."""
        return draw(predictor, Sampling(0.8), LONG)


def draw(predictor: GeneratorPredictor, how: Sampling, length: int) -> str:
    """About `length` tokens of text without a prompt; several documents where they end early."""
    label = predictor.labels[0] if predictor.labels else None
    ids, _ = predictor.prompt_ids("", label)
    parts, made, sample = [], 0, 0
    while made < length and sample < length:
        for (token,) in predictor.generate(ids, how, length - made, first_sample=sample):
            parts.append(token.text if token else "\n")
            made += 1
        sample += 1
    return "".join(parts)


def novelty(predictor: GeneratorPredictor, sample: str, train: Tokens) -> dict[str, Any]:
    """How much of a sample stands in the training text word for word: the share of its 8-grams of tokens that do,
    and its longest run of tokens that does."""

    ids = predictor.encoder.encode(sample).astype("int64")

    def pieces() -> Iterator[Int64]:
        for begin in range(0, len(train), ngrams.PIECE):
            stop = min(len(train), begin + ngrams.PIECE + len(ids))  # so that a whole sample fits behind any place
            yield train.block(np.array([begin]), stop - begin)[0]

    length, place = ngrams.longest_run(ids, pieces)
    return {
        "tokens": len(ids),
        "seen_8grams": ngrams.seen_share(ids, pieces, GRAM),
        "longest_run": length,
        "longest_text": predictor.tokenizer.decode(ids[place : place + length]),
    }
