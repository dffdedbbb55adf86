"""Text in, answer out: the one path that commands, estimators and evaluation share.

A predictor is what a model folder holds. `save` publishes it, `load` gives it back after every byte, key, shape and
value has been checked; docs/format.md describes the files. One file a task; `KINDS` is the table of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unspool import files
from unspool._version import __version__
from unspool.config import Settings
from unspool.errors import ModelFileError, shorten
from unspool.predictors import folder as folders
from unspool.predictors.base import Predictor
from unspool.predictors.classifier import ClassifierPredictor
from unspool.predictors.generator import GeneratorPredictor
from unspool.predictors.tagger import TaggerPredictor
from unspool.predictors.translator import TranslatorPredictor

__all__ = [
    "KINDS",
    "ClassifierPredictor",
    "GeneratorPredictor",
    "Predictor",
    "TaggerPredictor",
    "TranslatorPredictor",
    "load",
    "save",
]

KINDS: Mapping[str, type[Predictor]] = {
    "classify": ClassifierPredictor,
    "tag": TaggerPredictor,
    "generate": GeneratorPredictor,
    "translate": TranslatorPredictor,
}

_COMMON_FILES = frozenset(("config.json", "card.json", "README.md"))
_COMMON_KEYS = frozenset(("format", "unspool", "task", "settings"))


def save(predictor: Predictor, folder: Path, readme: str) -> None:
    """Publish the model folder. Raises ModelFileError instead of writing a weight that is not finite."""
    values, contents = predictor.to_files(folder)
    common = {
        "format": folders.FORMAT,
        "unspool": __version__,
        "task": predictor.task,
        "settings": predictor.settings.model_dump(mode="json"),
    }
    contents["config.json"] = files.to_json({**common, **values})
    contents["card.json"] = files.to_json(predictor.card)
    contents["README.md"] = readme.encode("utf-8", errors="surrogatepass")
    files.publish_folder(folder, contents)


def load(path: Path) -> Predictor:
    """The predictor in a model folder, or in the `model` folder of a run.

    Raises ModelFileError for anything but an undamaged model of this format: nothing is executed, and no tensor is
    made before its shape has been compared with the settings.
    """
    folder = folders.find(path)
    known = _COMMON_FILES.union(*(kind.files for kind in KINDS.values()))
    contents = files.read_folder(folder, known)
    for name in ("config.json", "card.json"):
        if len(folders.need(contents, name, folder)) > folders.DESCRIPTION_LIMIT:
            raise ModelFileError(f"{folder / name} has more than {folders.DESCRIPTION_LIMIT:,} bytes")
    values = folders.mapping(files.parse_json(contents["config.json"], folder / "config.json"), "config", folder)
    kind, settings = _checked(values, folder)
    for name in contents:
        if name not in _COMMON_FILES | kind.files:
            raise ModelFileError(f"{folder / name} has no place in a model of the task {kind.task!r}")
    predictor = kind.from_files(values, settings, contents, folder)
    predictor.card = folders.mapping(files.parse_json(contents["card.json"], folder / "card.json"), "card", folder)
    return predictor


def _checked(values: dict[str, Any], folder: Path) -> tuple[type[Predictor], Settings]:
    """The kind of predictor and its settings; every key of the config is known."""
    path = folder / "config.json"
    if type(values.get("format")) is int and values["format"] > folders.FORMAT:
        needed = shorten(values.get("unspool"), 20)
        raise ModelFileError(f"{folder} was made by a newer version of unspool: this is {__version__}, need ≥ {needed}")
    task = values.get("task")
    kind = KINDS.get(task) if isinstance(task, str) else None
    if kind is None or values.get("format") != folders.FORMAT or set(values) != _COMMON_KEYS | kind.keys:
        raise ModelFileError(f"{path} is not the config of a model of format {folders.FORMAT}")
    settings = folders.settings(values["settings"], folder)
    if settings.task != kind.task:
        raise ModelFileError(f"{path}: the settings are of the task {settings.task!r}, the model of {kind.task!r}")
    return kind, settings
