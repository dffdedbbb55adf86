"""Every setting of a run: one flat, closed, checked table.

`Settings` is what a run was made with; it comes in as TOML or flags and goes out as JSON. A user gives a mapping of
some of its names; `resolve` puts it on top of the model's recipe and refuses what has no effect there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from unspool.errors import SettingError, nearest, shorten

Task = Literal["classify", "tag", "generate", "translate"]
Cell = Literal["rnn", "gru", "lstm", "peephole", "prototype", "normalised", "pseudo", "mingru", "qrnn"]
Level = Literal["word", "token", "char", "byte", "bpe"]
Pooling = Literal["last", "max", "mean", "mean+variance", "attention"]
Optimizer = Literal["adamw", "adadelta", "rmsprop", "sgd"]
Attention = Literal["additive", "dot", "general", "none"]
VectorMode = Literal["static", "nonstatic", "multichannel"]
Characters = Literal["none", "cnn", "rnn", "gru", "lstm"]

CELLS: tuple[str, ...] = get_args(Cell)
CNN_CELLS = tuple(f"cnn-{cell}" for cell in CELLS)
CNNS = ("cnn", "stacked-cnn", "dilated-cnn")
NETWORKS = (*CELLS, *CNNS, *CNN_CELLS)
MODELS = (*NETWORKS, "bow")
IMPORTED = "imported"  # a network that came ready-made from elsewhere: it answers, nothing trains it
TASKS: tuple[str, ...] = get_args(Task)
MODELS_OF: dict[str, tuple[str, ...]] = {
    "classify": MODELS,
    "tag": (*CELLS, "dilated-cnn"),
    "generate": CELLS,
    "translate": (*CELLS, "dilated-cnn"),
}
POOLED_INSIDE = ("cnn", "stacked-cnn")  # a convolution that pools by itself leaves no steps to choose from

MOST_SIZES = 16
TOML_LIMIT = 2**16  # bytes of a file of settings

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


def _split_sizes(value: Any) -> Any:
    return tuple(value.split(",", MOST_SIZES)) if isinstance(value, str) else value


Sizes = Annotated[tuple[int, ...], FailFast(), Field(max_length=MOST_SIZES), BeforeValidator(_split_sizes)]


class Settings(BaseModel):
    """The settings of a run and their defaults; `models/recipes.py` changes some per model."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    task: Task = Field("classify", description="What is learned: " + ", ".join(get_args(Task)))
    model: str = Field("lstm", description="Network: " + ", ".join((*CELLS, *CNNS, "cnn-<cell>", "bow")))

    level: Level | None = Field(None, description="Token level; found from the texts when not given")
    target_level: Level | None = Field(None, description="Token level of the target; that of the source if not given")
    lowercase: bool | None = Field(None, description="Fold case; by default at level word only")
    min_count: int | None = Field(None, ge=1, le=10**6, description="A token seen less often in training is unknown")
    max_vocabulary: int | None = Field(None, ge=1, le=10**7, description="Most frequent tokens kept")
    max_length: int = Field(400, ge=1, le=10**8, description="Tokens read of a text")
    keep: Literal["head", "tail", "both"] = Field("both", description="Which end of a longer text is read")

    embedding: int = Field(100, ge=1, le=8192, description="Width of the token vectors")
    vectors_mode: VectorMode = Field("nonstatic", description="Use of --vectors: frozen, fine-tuned, or both")
    characters: Characters = Field("cnn", description="What spells a word: cnn, rnn, gru, lstm, or none")
    character_embedding: int = Field(30, ge=1, le=1024, description="Width of the character vectors")
    character_hidden: int = Field(
        50, ge=1, le=4096, description="Filters of each window of characters, or units per direction"
    )
    hidden: int = Field(128, ge=1, le=16384, description="Units per direction of a recurrent layer")
    layers: int = Field(1, ge=1, le=32, description="Recurrent layers, blocks of dilated-cnn, stages of stacked-cnn")
    bidirectional: bool = Field(True, description="Read each text in both directions")
    pooling: Pooling = Field("max", description="How the steps become one vector")
    reset_after: bool = Field(True, description="gru: reset gate after the product (torch, Keras) or before it")
    kernel_size: int = Field(3, ge=1, le=64, description="Tokens a window covers (dilated-cnn, cnn-<cell>, qrnn)")
    pool_size: int = Field(4, ge=1, le=64, description="Windows pooled into one step (cnn-<cell>)")
    region_sizes: Sizes = Field((3, 4, 5), description="Window sizes of the region CNN, as 3,4,5")
    filters: int = Field(100, ge=1, le=8192, description="Filters of each region size or convolution")

    output: Literal["softmax", "crf"] | None = Field(
        None, description="Each tag for itself, or whole sequences; crf for spans when not given"
    )
    scheme: Literal["bio", "bioes"] | None = Field(
        None, description="Tags that spans are learned in; the answers keep those of the data"
    )
    attention: Attention = Field("general", description="How the decoder looks at the source; none: not at all")
    decoder: Cell | None = Field(None, description="Cell of the decoder; that of the encoder, or gru, if not given")
    decoder_layers: int = Field(
        2, ge=1, le=32, description="Recurrent layers of the decoder; the attention follows the first"
    )
    input_feeding: bool = Field(False, description="The decoder also reads its own last readout, step by step")
    joint: bool | None = Field(None, description="One vocabulary for both sides; if not given: at one level")
    scheduled_sampling: Share = Field(0.0, description="Share of target tokens read that are the model's own")

    dropout: Share = Field(0.5, description="Dropout before the output layer")
    character_dropout: Share = Field(0.0, description="Dropout of character vectors")
    embedding_dropout: Share = Field(
        0.0, description="Dropout of token vectors, one mask a text (language models: one for all)"
    )
    word_dropout: Share = Field(0.0, description="Share of training tokens read as unknown")
    recurrent_dropout: Share = Field(0.0, description="Variational dropout of the recurrent state")
    zoneout: Share = Field(0.0, description="Share of state units that keep their old value")
    type_dropout: Share = Field(0.0, description="Share of token types whose vector is dropped in a step")
    layer_norm: bool = Field(False, description="Layer normalisation inside the recurrent layers")
    residual: bool = Field(False, description="Add each further recurrent layer's input to its output")
    tied: bool = Field(False, description="One matrix for input and output tokens (translate: of the target)")
    adaptive: bool = Field(False, description="Softmax in clusters of rarer tokens, for large vocabularies")
    max_norm: float | None = Field(None, gt=0, le=1e30, description="Largest norm of an output row (Kim 2014: 3)")

    optimizer: Optimizer = Field("adamw", description="adamw, adadelta, rmsprop or sgd")
    learning_rate: float = Field(1e-3, gt=0, le=1e30, description="Peak learning rate")
    weight_decay: float = Field(0.01, ge=0, le=10, description="Decoupled weight decay")
    warmup: Share = Field(0.1, description="Share of the steps in which the rate rises")
    clip: float = Field(1.0, gt=0, le=1e30, description="Largest norm of the gradient")
    average: Share = Field(0.0, description="Share of itself the average of the weights keeps per step; 0: no average")
    gradual_unfreezing: bool = Field(False, description="With --from: first the output learns, one layer more an epoch")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="With --from: rate of a layer as a share of the rate of the layer above it"
    )
    label_smoothing: Share = Field(0.0, description="Share of each target given to all labels")
    blend: Share = Field(0.0, description="Share of the linear baseline in the answer, .5 for the mean of both")
    batch_size: int = Field(32, ge=1, le=2**20, description="Texts (to generate: parallel streams) per step")
    chunk: int = Field(64, ge=1, le=2**16, description="Tokens of truncated back-propagation")
    epochs: int | None = Field(
        None, ge=1, le=10**6, description="Passes over the texts; from their number if not given"
    )
    patience: int = Field(4, ge=1, le=10**6, description="Epochs without a better validation score before the end")
    minutes: float | None = Field(None, gt=0, le=10**6, description="Most wall time; schedule and stopping adapt")
    validation: float = Field(0.1, gt=0, lt=1, description="Share of the texts held out for validation")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of everything random")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind is not bool and bool not in get_args(kind):
            raise ValueError("true and false have no meaning here")
        return value


RECURRENT = frozenset((*CELLS, *CNN_CELLS))
_BOW = frozenset(("task", "model", "level", "lowercase", "min_count", "validation", "seed"))
_ONLY: dict[str, frozenset[str]] = {
    "hidden": RECURRENT,
    "layers": RECURRENT | {"dilated-cnn", "stacked-cnn"},
    "bidirectional": RECURRENT,
    "pooling": RECURRENT | {"dilated-cnn", "stacked-cnn", "cnn"},
    "reset_after": frozenset(("gru", "cnn-gru")),
    "kernel_size": frozenset(("qrnn", "dilated-cnn", "stacked-cnn", *CNN_CELLS)),
    "pool_size": frozenset(("stacked-cnn", *CNN_CELLS)),
    "region_sizes": frozenset(("cnn",)),
    "filters": frozenset((*CNNS, *CNN_CELLS)),
    "recurrent_dropout": RECURRENT - {"mingru", "qrnn", "cnn-mingru", "cnn-qrnn"},
    "zoneout": RECURRENT,
    "layer_norm": RECURRENT,
    "residual": RECURRENT,
}
_OF_DECODER = frozenset(
    ("hidden", "reset_after", "kernel_size", "recurrent_dropout", "zoneout", "layer_norm", "residual")
)

# The tasks in which a setting has an effect; all of them when it is not listed.
_CLASSIFY, _TAG = frozenset(("classify",)), frozenset(("tag",))
_GENERATE, _TRANSLATE = frozenset(("generate",)), frozenset(("translate",))
_TASKS_ONLY: dict[str, frozenset[str]] = {
    **dict.fromkeys(("keep", "pooling", "pool_size", "region_sizes", "max_norm", "blend"), _CLASSIFY),
    **dict.fromkeys(("gradual_unfreezing", "layer_decay"), _CLASSIFY),
    "label_smoothing": _CLASSIFY | _TRANSLATE,
    "vectors_mode": _CLASSIFY | _TAG,
    **dict.fromkeys(("max_length", "bidirectional", "filters", "word_dropout"), _CLASSIFY | _TAG | _TRANSLATE),
    **dict.fromkeys(
        ("characters", "character_embedding", "character_hidden", "character_dropout", "output", "scheme"), _TAG
    ),
    "level": _CLASSIFY | _GENERATE | _TRANSLATE,
    **dict.fromkeys(("type_dropout", "adaptive", "chunk"), _GENERATE),
    "tied": _GENERATE | _TRANSLATE,
    **dict.fromkeys(
        ("attention", "decoder", "decoder_layers", "input_feeding", "joint", "scheduled_sampling", "target_level"),
        _TRANSLATE,
    ),
}


def settings_of(task: str) -> tuple[str, ...]:
    """The settings that have an effect in `task`, the name of the task left out."""
    everywhere = frozenset(TASKS)
    return tuple(name for name in Settings.model_fields if name != "task" and task in _TASKS_ONLY.get(name, everywhere))


def decoder_of(model: str, decoder: str | None) -> str:
    """The cell of a translator's decoder: as asked, else that of the encoder, else a gru."""
    return decoder or (model if model in CELLS else "gru")


def uses(model: str, setting: str, task: str = "classify", decoder: str | None = None) -> bool:
    """Whether `setting` has an effect on `model`, or to translate on its `decoder`, when it learns `task`."""
    if setting != "task" and setting not in settings_of(task):
        return False
    if model == IMPORTED:
        return setting in ("task", "model")
    if model == "bow":
        return setting in _BOW
    if task == "translate" and setting in _OF_DECODER and decoder_of(model, decoder) in _ONLY[setting]:
        return True
    return model in _ONLY.get(setting, frozenset(NETWORKS))


def resolve(recipe: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """`given` on top of `recipe` on top of the defaults.

    Raises SettingError for an unknown name, a value out of range, or a setting without effect on the model.
    """
    for name in given:
        if name not in Settings.model_fields:
            raise SettingError(f"there is no setting {shorten(name)!r}{nearest(name, Settings.model_fields)}")
    settings = parse({**recipe, **given})
    if settings.model == IMPORTED:
        raise SettingError("--model imported is what unspool import-keras makes: it cannot be trained")
    if useless := [name for name in given if not uses(settings.model, name, settings.task, settings.decoder)]:
        where = f"the model {settings.model!r}"
        if useless[0] not in settings_of(settings.task):
            where = f"the task {settings.task!r}"
        raise SettingError(f"{flag(useless[0])} has no effect on {where}: leave it out")
    if settings.characters == "none" and (useless := [name for name in given if name.startswith("character_")]):
        raise SettingError(f"{flag(useless[0])} has no effect with --characters none: leave one out")
    if settings.model == "stacked-cnn" and settings.layers == 1 and "pool_size" in given:
        raise SettingError("--pool-size has no effect with one layer: give --layers 2 or more")
    return settings


def parse(values: Mapping[str, Any]) -> Settings:
    """Settings from plain values, checked; the SettingError names the first wrong one and what is allowed."""
    try:
        settings = Settings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        if first["type"] == "extra_forbidden":
            raise SettingError(f"there is no setting {shorten(name)!r}{nearest(name, Settings.model_fields)}") from None
        raise SettingError(f"{flag(name)} is {shorten(first['input'])!r}: {first['msg'].lower()}") from None
    if settings.model == IMPORTED and settings.task == "classify":
        return settings
    if settings.model not in MODELS:
        known = ", ".join((*CELLS, *CNNS, "cnn-<cell>", "bow"))
        raise SettingError(
            f"there is no model {shorten(settings.model)!r}{nearest(settings.model, MODELS)}; known: {known}"
        )
    if settings.model not in MODELS_OF[settings.task]:
        fitting = ", ".join(MODELS_OF[settings.task])
        raise SettingError(f"the model {settings.model!r} does not learn the task {settings.task!r}; use {fitting}")
    if not settings.region_sizes or not all(1 <= size <= 64 for size in settings.region_sizes):
        raise SettingError(f"--region-sizes is {settings.region_sizes}: expected one or more sizes from 1 to 64")
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Refuse what is possible alone but not together, before any file is read or written."""
    model, pooling = settings.model, settings.pooling
    if model in POOLED_INSIDE and pooling in ("last", "attention"):
        raise SettingError(f"--pooling {pooling} does not fit the model {model!r}: use max, mean or mean+variance")
    several = settings.layers > 1 or (settings.task == "translate" and settings.decoder_layers > 1)
    if settings.residual and not several and uses(model, "residual", settings.task):
        raise SettingError("--residual has no effect with one layer: give --layers 2 or more")
    if settings.tied and settings.adaptive:
        raise SettingError("--tied and --adaptive do not go together: clusters have matrices of their own")
    if model == "dilated-cnn" and settings.kernel_size % 2 == 0:
        raise SettingError(
            f"--kernel-size is {settings.kernel_size}: dilated-cnn centres its windows, give an odd size"
        )
    if settings.task == "translate":
        _check_translator(settings)


def _check_translator(settings: Settings) -> None:
    """Refuse what a decoder cannot do, or what would have no effect on it."""
    if settings.joint and settings.target_level not in (None, settings.level or settings.target_level):
        raise SettingError("--joint means one vocabulary for both sides: they cannot have two levels, give --no-joint")
    if settings.input_feeding and settings.recurrent_dropout:
        raise SettingError(
            "--recurrent-dropout needs whole sequences, --input-feeding goes step by step: leave one out"
        )
    if settings.input_feeding and settings.attention == "none":
        raise SettingError("--input-feeding tells the decoder where it has looked: it needs an --attention")


def read_toml(path: Path) -> dict[str, Any]:
    """Overrides from a TOML file of `name = value` lines; names may use - or _."""
    try:
        with path.open("rb") as file:
            content = file.read(TOML_LIMIT + 1)
        if len(content) > TOML_LIMIT:
            raise ValueError(f"it has more than {TOML_LIMIT:,} bytes")
        values = tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(f"the settings file {shorten(path, 300)} cannot be read: {shorten(error, 200)}") from error
    values = {name.replace("-", "_"): value for name, value in values.items()}
    for name in values:
        if name not in Settings.model_fields:
            raise SettingError(
                f"{shorten(path, 300)}: there is no setting {shorten(name)!r}{nearest(name, Settings.model_fields)}"
            )
    return values


def flag(name: str) -> str:
    """How a setting is written on the command line."""
    return "--" + name.replace("_", "-")
