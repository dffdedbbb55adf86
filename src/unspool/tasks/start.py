"""`--from MODEL`: a training that begins with the weights of a trained model.

The model decides what its network looks like and how texts are cut into tokens; new words and labels of the data join
its own. A classifier may also start from a language model, whose embedding and recurrent layers it takes over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unspool import config, files, predictors
from unspool.config import IMPORTED, Settings
from unspool.errors import SettingError, UsageError, shorten
from unspool.predictors import GeneratorPredictor, Predictor
from unspool.predictors import folder as folders
from unspool.text.tokenizers import DEFAULTS, Tokenizer, extend_tokenizer

FINE_TUNING = ("gradual_unfreezing", "layer_decay")
"""Settings that mean something only where there are trained weights."""

_LAYERS = ("embedding", "hidden", "layers", "reset_after", "kernel_size", "layer_norm", "residual")
_READING = ("model", "level", "lowercase")
_NETWORK = (
    *("bidirectional", "pooling", "pool_size", "region_sizes", "filters", "tied", "adaptive", "target_level", "joint"),
    *("characters", "character_embedding", "character_hidden", "output", "scheme"),
    *("attention", "decoder", "decoder_layers", "input_feeding"),
)


def load(path: Path, task: str) -> Predictor:
    """The model to start from. UsageError when nothing of it fits the task, ModelFileError as `predictors.load`."""
    start = predictors.load(path)
    if start.task != task and not (task == "classify" and isinstance(start, GeneratorPredictor)):
        also = " or a language model" if task == "classify" else ""
        raise UsageError(
            f"{shorten(path, 300)} is a model of the task {start.task!r}: the task {task!r} starts from a model of its "
            f"own{also}"
        )
    if start.settings.model in ("bow", IMPORTED):
        raise UsageError(f"a model of the kind {start.settings.model!r} has nothing to start from: give a network")
    return start


def digest(path: Path) -> str:
    """SHA-256 of the model's manifest, which lists the SHA-256 of every other file."""
    return files.sha256_of(folders.find(path) / files.MANIFEST)


def given_with(given: Mapping[str, Any], start: Predictor | None, task: str) -> dict[str, Any]:
    """The settings given for a task, and those that the model to start from decides.

    Raises SettingError when a setting contradicts the model, or means nothing without one.
    """
    if start is None:
        if useless := [name for name in FINE_TUNING if name in given]:
            raise SettingError(f"{config.flag(useless[0])} has no effect without --from MODEL: leave it out")
        return dict(given)
    own = _decided(start, task)
    for name, value in own.items():
        if name in given and _plain(given[name]) != _plain(value):
            raise SettingError(
                f"{config.flag(name)} {shorten(given[name], 40)} does not fit the model to start from, which has "
                f"{shorten(value, 40)}: leave it out"
            )
    return {**own, **given}


def grown(
    tokenizer: Tokenizer, texts: Iterable[str], settings: Settings, given: Mapping[str, Any], *, fixed: bool = False
) -> tuple[Tokenizer, Settings]:
    """The tokenizer of the model to start from with the new tokens of `texts` behind its own, and the settings with
    its sizes filled in.

    fixed: the model cannot learn new tokens. Raises SettingError for sizes that have no effect or leave no room.
    """
    if fixed or tokenizer.level in ("byte", "bpe"):
        if useless := [name for name in ("min_count", "max_vocabulary") if name in given]:
            raise SettingError(f"{config.flag(useless[0])} has no effect here: the tokens are those of --from MODEL")
        return tokenizer, settings
    usual = DEFAULTS[tokenizer.level]
    most = settings.max_vocabulary if "max_vocabulary" in given else None
    if most is not None and most < tokenizer.size:
        raise SettingError(
            f"--max-vocabulary is {most}: the model to start from has {tokenizer.size:,} kinds of tokens already"
        )
    if most is None and usual.max_size is not None:
        most = tokenizer.size + usual.max_size
    least = settings.min_count if "min_count" in given and settings.min_count is not None else usual.min_count
    settings = settings.model_copy(update={"min_count": least, "max_vocabulary": most})
    return extend_tokenizer(tokenizer, texts, min_count=least, max_size=most), settings


def joined(own: Sequence[str], names: Iterable[str]) -> list[str]:
    """The labels of the model to start from, then the new ones in the order given."""
    return list(dict.fromkeys([*own, *names]))


def _decided(start: Predictor, task: str) -> dict[str, Any]:
    """The settings of the network that are the model's, as far as they mean something for the task."""
    settings = start.settings
    names = (*_READING, *_LAYERS) if start.task != task else (*_READING, *_LAYERS, *_NETWORK)
    own = {name: getattr(settings, name) for name in names if config.uses(settings.model, name, task, settings.decoder)}
    if start.task != task:
        own["bidirectional"] = False  # a language model has never read backwards
    return {name: value for name, value in own.items() if value is not None}


def _plain(value: Any) -> Any:
    """A setting as the command line, Python or JSON give it, in one form."""
    if isinstance(value, str) and "," in value:
        return [int(part) for part in value.split(",") if part.strip().isdecimal()]
    return list(value) if isinstance(value, tuple) else value
