"""Small classifiers of every kind that inspection looks into."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from unspool import SequenceClassifier
from unspool.predictors import ClassifierPredictor

TEXTS = [f"{word} film number {n % 5} , quite {word}" for n in range(12) for word in ("fine", "dull", "odd")]
LABELS = ["<script>alert(1)</script>", "bad", "x & y"] * 12
SMALL: dict[str, Any] = {"hidden": 6, "embedding": 5, "filters": 7, "region_sizes": (1, 2, 3), "kernel_size": 3}


@pytest.fixture(scope="session")
def trained() -> Callable[..., ClassifierPredictor]:
    """trained(model, **settings): a classifier of three labels, trained for two epochs."""
    from unspool import config

    @cache
    def make(model: str, **given: Any) -> ClassifierPredictor:
        sizes = {name: value for name, value in {**SMALL, "epochs": 2, **given}.items() if config.uses(model, name)}
        classifier = SequenceClassifier(**{"model": model, "level": "word", "min_count": 1, **sizes})
        found = classifier.fit(TEXTS, LABELS).predictor_
        assert isinstance(found, ClassifierPredictor)
        return found

    return make
