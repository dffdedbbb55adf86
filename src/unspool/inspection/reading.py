"""A text as the network reads it: token ids, their vectors, and the names people know the tokens by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unspool.errors import UsageError
from unspool.models.classifier import Classifier
from unspool.predictors import ClassifierPredictor
from unspool.text.ragged import Ragged
from unspool.text.vocabulary import UNKNOWN
from unspool.text.words import split_words


@dataclass(frozen=True)
class Reading:
    """One text inside a network.

    Attributes:
        tokens: what people see, one for each step.
        vectors: token vectors (1, T, E), without a gradient.
        lengths: T, as (1,).
    """

    tokens: list[str]
    vectors: Tensor
    lengths: Tensor


def read(predictor: ClassifierPredictor, text: str) -> Reading:
    """The text, cut to what the model reads. An unknown word is shown as it stands, in angle brackets."""
    network, tokenizer = network_of(predictor), predictor.tokenizer
    assert tokenizer is not None
    ids = predictor.encode([text])[0]
    names = [tokenizer.token(int(i)) for i in ids]
    if tokenizer.level == "word" and UNKNOWN in ids:
        words = split_words(text.lower() if tokenizer.lowercase else text)
        places = Ragged.of([list(range(len(words)))]).truncate(predictor.settings.max_length, predictor.settings.keep)[
            0
        ]
        if len(places) == len(ids):
            names = [f"<{words[k]}>" if i == UNKNOWN else name for k, i, name in zip(places, ids, names, strict=True)]
    with torch.no_grad():
        vectors = network.embedding(torch.from_numpy(ids.astype("int64"))[None])
    return Reading(names, vectors, torch.tensor([len(ids)]))


def network_of(predictor: ClassifierPredictor) -> Classifier:
    """The network of a predictor that has one of ours; UsageError for one that came ready-made from elsewhere."""
    if not isinstance(predictor.network, Classifier):
        raise UsageError(
            "an imported network cannot be looked into: of it only the answers are known (unspool predict)"
        )
    return predictor.network
