"""Default settings per model, found by the experiments in docs/experiments.md on validation data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unspool import config
from unspool.config import Settings

MANY_LABELS = 10
DEFAULT_MODELS = {"classify": "cnn", "tag": "lstm", "generate": "lstm", "translate": "gru"}

_RECURRENT: dict[str, Any] = {"learning_rate": 2e-3, "embedding_dropout": 0.3, "word_dropout": 0.1}
_REGION_CNN: dict[str, Any] = {"learning_rate": 2e-3, "embedding_dropout": 0.3}
_SHORT_CNN: dict[str, Any] = {"embedding": 300, "learning_rate": 1e-3, "embedding_dropout": 0.4, "word_dropout": 0.05}
_LONG_RECURRENT: dict[str, Any] = {"hidden": 64, "batch_size": 64, "learning_rate": 4e-3}
_MANY_LABELS: dict[str, Any] = {
    "hidden": 64, "learning_rate": 1e-2, "dropout": 0.2, "embedding_dropout": 0.2, "word_dropout": 0.0,
}  # fmt: skip
_MANY_LABELS_CNN: dict[str, Any] = {"learning_rate": 5e-3, "dropout": 0.2, "embedding_dropout": 0.2}
_MANY_LABELS_STACKED: dict[str, Any] = {"learning_rate": 5e-3, "dropout": 0.0, "embedding_dropout": 0.0}
_CNN_RECURRENT: dict[str, Any] = _RECURRENT
_BEGUN: dict[str, Any] = {
    "learning_rate": 4e-3,
    "batch_size": 32,
    "pooling": "mean",
    "dropout": 0.2,
    "embedding_dropout": 0.2,
}
_QUICK_WRITER: dict[str, Any] = {
    "hidden": 320,
    "learning_rate": 1e-2,
    "dropout": 0.3,
    "embedding_dropout": 0.0,
    "average": 0.99,
}
_WORD_WRITER: dict[str, Any] = {
    "tied": True,
    "embedding": 256,
    "hidden": 400,
    "learning_rate": 3e-3,
    "dropout": 0.4,
    "embedding_dropout": 0.0,
    "type_dropout": 0.1,
    "weight_decay": 0.01,
    "chunk": 35,
}
WORDS = ("word", "token", "bpe")  # levels of words and their pieces
FEW_MINUTES = 5.0  # less is too little for 512 units

_TRANSLATOR: dict[str, Any] = {
    "level": "bpe",
    "embedding": 256,
    "hidden": 256,
    "max_length": 100,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "dropout": 0.3,
    "embedding_dropout": 0.2,
    "label_smoothing": 0.1,
    "tied": True,
}
_OTHERS: dict[str, dict[str, Any]] = {
    "cnn": _REGION_CNN,
    "stacked-cnn": {**_REGION_CNN, "filters": 128, "kernel_size": 5, "pool_size": 5, "layers": 3},
    "dilated-cnn": {**_REGION_CNN, "filters": 128, "layers": 4},
    "bow": {},
}


def recipe(model: str, task: str = "classify") -> dict[str, Any]:
    """The settings in which `model` differs from the defaults of `Settings` when it learns `task`."""
    return {"task": task, "model": model, **_RECIPES[task](model)}


def settle(given: Mapping[str, Any]) -> Settings:
    """The settings that a user gave on top of the recipe for the task and model; SettingError as `config.resolve`."""
    task = given.get("task", "classify")
    if not isinstance(task, str) or task not in DEFAULT_MODELS:
        return config.parse(given)  # which refuses it
    return config.resolve(recipe(str(given.get("model", DEFAULT_MODELS[task])), task), given)


def for_texts(settings: Settings, given: Mapping[str, Any], *, short: bool, labels: int) -> Settings:
    """The settings of a classifier for texts of a sentence or two, or for longer ones, but for what was given.

    In short texts the region CNN is cheap, so wide vectors can be afforded, and a lower rate with more steps pays; in
    long ones half the units and twice the texts a step cost recurrent networks a third of the time and nothing in
    accuracy. With `MANY_LABELS` or more, each has few texts: a high rate, small batches and little dropout let these
    networks learn at all, and the CNNs in time. See docs/experiments.md, "Short texts", "Recurrent networks on
    long texts" and "20 Newsgroups".
    """
    changes: dict[str, Any] = {}
    if settings.task == "classify" and short and settings.model == "cnn":
        changes = _SHORT_CNN
    elif settings.task == "classify" and settings.model == "cnn" and labels >= MANY_LABELS:
        changes = _MANY_LABELS_CNN
    elif settings.task == "classify" and not short and settings.model == "stacked-cnn" and labels >= MANY_LABELS:
        changes = _MANY_LABELS_STACKED
    elif settings.task == "classify" and not short and settings.model in config.CELLS:
        changes = _MANY_LABELS if labels >= MANY_LABELS else _LONG_RECURRENT
    return _filled(settings, changes, given)


def for_start(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """The settings of a classifier that begins with a language model, but for what was given.

    It is for those who have few labelled texts, so steps are few: small batches give more of them. The mean tells more
    of what a language model makes of a text than the maximum, which is near its bound at some word of any long text.
    See docs/experiments.md, "A classifier from a language model".
    """
    return _filled(settings, _BEGUN, given)


def for_level(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """The settings of a language model for its token level and minutes, but for what was given.

    Words are few and their vocabulary is large, so input and output share a matrix and much is dropped; in a few
    minutes fewer units at a higher rate learn more of the characters: see docs/experiments.md, "Language models".
    """
    changes: dict[str, Any] = {}
    if settings.level in WORDS:
        changes = {**_WORD_WRITER, "tied": not settings.adaptive}
    elif settings.minutes is not None and settings.minutes < FEW_MINUTES:
        changes = _QUICK_WRITER
    return _filled(settings, changes, given)


def _filled(settings: Settings, changes: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    return settings.model_copy(update={name: value for name, value in changes.items() if name not in given})


def _classify(model: str) -> dict[str, Any]:
    return _CNN_RECURRENT if model.startswith("cnn-") else _OTHERS.get(model, _RECURRENT)


def _tag(model: str) -> dict[str, Any]:
    own: dict[str, Any] = {"filters": 256, "layers": 4} if model == "dilated-cnn" else {}
    return {"learning_rate": 3e-3, "embedding_dropout": 0.2, "word_dropout": 0.05, **own}


def _generate(_model: str) -> dict[str, Any]:
    return {
        "embedding": 128, "hidden": 512, "learning_rate": 5e-3, "dropout": 0.5, "embedding_dropout": 0.2,
        "weight_decay": 0.05, "warmup": 0.02, "average": 0.995,
    }  # fmt: skip


def _translate(model: str) -> dict[str, Any]:
    return {**_TRANSLATOR, **({"filters": 256, "layers": 4} if model == "dilated-cnn" else {})}


_RECIPES = {"classify": _classify, "tag": _tag, "generate": _generate, "translate": _translate}
