"""Default settings per model, found by the experiments in docs/experiments.md on validation data."""

from __future__ import annotations

from typing import Any

DEFAULT_MODEL = "cnn"

_RECURRENT: dict[str, Any] = {"learning_rate": 2e-3, "embedding_dropout": 0.3, "word_dropout": 0.1}
_REGION_CNN: dict[str, Any] = {"learning_rate": 2e-3, "embedding_dropout": 0.3}
_CNN_RECURRENT: dict[str, Any] = _RECURRENT
_OTHERS: dict[str, dict[str, Any]] = {
    "cnn": _REGION_CNN,
    "stacked-cnn": {**_REGION_CNN, "filters": 128, "kernel_size": 5, "pool_size": 5, "layers": 3},
    "dilated-cnn": {**_REGION_CNN, "filters": 128, "layers": 4},
    "bow": {},
}


def recipe(model: str) -> dict[str, Any]:
    """The settings in which `model` differs from the defaults of `Settings`."""
    base = _CNN_RECURRENT if model.startswith("cnn-") else _OTHERS.get(model, _RECURRENT)
    return {"model": model, **base}
