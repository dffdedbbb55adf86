"""Text in, answer out: the one path that command, estimators and evaluation share.

A `Predictor` is what a model folder holds. `save` publishes it, `load` gives it back after every byte, key, shape
and value has been checked; docs/format.md describes the files.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch

from unspool import config, files
from unspool._version import __version__
from unspool.config import Settings
from unspool.errors import ModelFileError, SettingError, shorten
from unspool.models.bow import Bow
from unspool.models.classifier import Classifier
from unspool.text.batching import Ragged
from unspool.text.tokenizers import Tokenizer, load_tokenizer
from unspool.training.classification import predict

FORMAT = 1
TENSORS = "model.safetensors"
SEEN = "seen.safetensors"
NAMES = (
    "config.json", "vocabulary.json", "tokenizer.json", "ngrams.json", TENSORS, SEEN, "card.json", "README.md",
)  # fmt: skip
CONFIG_KEYS = {"format", "unspool", "task", "labels", "settings", "tokenizer", "vectors"}

Tensors = dict[str, npt.NDArray[Any]]
Shape = tuple[int, ...]


@dataclass
class Predictor:
    """A trained classifier with everything that turns texts into its answers.

    Attributes:
        labels: names in the order of the columns.
        settings: what it was trained with.
        tokenizer: None for the linear baseline.
        network: the module in evaluation mode, or the baseline.
        vectors: the mode of pretrained vectors it was trained with, "rand" without.
        seen: sorted 32-bit hashes of the training texts, to tell whether a test text was trained on.
        card: figures, data fingerprint and versions; plain JSON values.
    """

    labels: list[str]
    settings: Settings
    network: Classifier | Bow
    tokenizer: Tokenizer | None = None
    vectors: str = "rand"
    seen: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    card: dict[str, Any] = field(default_factory=dict)

    def log_probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """(N, C) natural logarithms of the label probabilities, in the order of `texts`.

        Raises ModelFileError when the weights are so large that an answer is not a number.
        """
        if not texts:
            return np.empty((0, len(self.labels)))
        if isinstance(self.network, Bow):
            answers = self.network.log_probabilities(texts)
        else:
            answers = predict(self.network, self.encode(texts))
        if np.isnan(answers).any():
            raise ModelFileError("the model's answers are not numbers: its weights are finite but far too large")
        return answers

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids as the network reads them, cut to `settings.max_length`."""
        if self.tokenizer is None:
            raise ValueError("the linear baseline has no tokenizer")
        return self.tokenizer.encode_all(texts).truncate(self.settings.max_length, self.settings.keep)

    def parameters(self) -> int:
        """Number of weights."""
        if isinstance(self.network, Bow):
            return sum(value.size for value in self.network.tensors().values())
        return sum(parameter.numel() for parameter in self.network.parameters())


def save(predictor: Predictor, folder: Path, readme: str) -> None:
    """Publish the model folder. Raises ModelFileError instead of writing a weight that is not finite."""
    tokenizer = predictor.tokenizer
    contents: dict[str, bytes] = {}
    if isinstance(predictor.network, Bow):
        tensors: Tensors = dict(predictor.network.tensors())
        contents["ngrams.json"] = files.to_json(list(predictor.network.ngrams))
    else:
        assert tokenizer is not None
        tensors = {name: value.numpy() for name, value in predictor.network.state_dict().items()}
        contents |= tokenizer.to_files()
    _check_finite(tensors, folder / TENSORS)
    contents["config.json"] = files.to_json(
        {
            "format": FORMAT,
            "unspool": __version__,
            "task": "classify",
            "labels": predictor.labels,
            "settings": predictor.settings.model_dump(mode="json"),
            "tokenizer": tokenizer.settings if tokenizer else None,
            "vectors": predictor.vectors,
        }
    )
    contents[TENSORS] = safetensors.numpy.save(tensors)
    contents[SEEN] = safetensors.numpy.save({"seen": predictor.seen})
    contents["card.json"] = files.to_json(predictor.card)
    contents["README.md"] = readme.encode("utf-8", errors="surrogatepass")
    files.publish_folder(folder, contents)


def load(path: Path) -> Predictor:
    """The predictor in a model folder, or in the `model` folder of a run.

    Raises ModelFileError for anything but an undamaged model of this format: nothing is executed, and no tensor is
    made before its shape has been compared with the settings.
    """
    folder = _find(path)
    contents = files.read_folder(folder, NAMES)
    for name in ("config.json", TENSORS, SEEN, "card.json"):
        if name not in contents:
            raise ModelFileError(f"{folder} lacks {name}")
    values = _checked_config(files.parse_json(contents["config.json"], folder / "config.json"), folder)
    settings = _settings(values["settings"], folder)
    labels = _labels(values["labels"], folder)
    tokenizer: Tokenizer | None = None
    network: Bow | Classifier
    if settings.model == "bow":
        if values["tokenizer"] is not None or settings.level not in ("word", "char"):
            raise ModelFileError(f"{folder / 'config.json'}: a bow model has no tokenizer and reads word or char")
        network = _load_bow(contents, settings, labels, folder)
    else:
        tokenizer = load_tokenizer(_mapping(values["tokenizer"], "tokenizer", folder), contents)
        if (tokenizer.level, tokenizer.lowercase) != (settings.level, settings.lowercase):
            raise ModelFileError(f"{folder / 'config.json'}: settings and tokenizer disagree on level or lowercase")
        network = _load_network(contents[TENSORS], settings, tokenizer.size, len(labels), values["vectors"], folder)
    card = _mapping(files.parse_json(contents["card.json"], folder / "card.json"), "card", folder)
    return Predictor(labels, settings, network, tokenizer, values["vectors"], _load_seen(contents[SEEN], folder), card)


def _find(path: Path) -> Path:
    """The model folder at `path`, or in the run at `path`."""
    try:
        folder = path / "model" if (path / "model" / files.MANIFEST).exists() else path
        exists, unfinished = folder.exists(), (folder / "run.json").exists()
    except (OSError, ValueError) as error:  # a name too long, with a NUL, or in a folder that may not be read
        raise ModelFileError(f"{shorten(path, 300)} cannot be read: {shorten(error, 200)}") from error
    if not exists:
        raise ModelFileError(f"there is no model at {shorten(path, 300)}")
    if unfinished:
        raise ModelFileError(f"{shorten(path, 300)} has no finished model yet: unspool resume {shorten(path, 300)}")
    return folder


def _checked_config(content: Any, folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    values = _mapping(content, "config", folder)
    if type(values.get("format")) is int and values["format"] > FORMAT:
        needed = shorten(values.get("unspool"), 20)
        raise ModelFileError(f"{folder} was made by a newer version of unspool: this is {__version__}, need ≥ {needed}")
    if set(values) != CONFIG_KEYS or values["format"] != FORMAT or values["task"] != "classify":
        raise ModelFileError(f"{path} is not the config of a classifier of format {FORMAT}")
    if values["vectors"] not in ("rand", "static", "nonstatic", "multichannel"):
        raise ModelFileError(f"{path}: unknown vectors mode {shorten(values['vectors'])!r}")
    return values


def _settings(values: Any, folder: Path) -> Settings:
    try:
        settings = config.parse(_mapping(values, "settings", folder))
    except SettingError as error:
        raise ModelFileError(f"{folder / 'config.json'}: {error}") from error
    return settings


def _labels(values: Any, folder: Path) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(label, str) for label in values):
        raise ModelFileError(f"{folder / 'config.json'}: labels must be a list of texts")
    if len(set(values)) != len(values) or len(values) < 2:
        raise ModelFileError(f"{folder / 'config.json'}: labels must be at least two different texts")
    return values


def _load_bow(contents: Mapping[str, bytes], settings: Settings, labels: list[str], folder: Path) -> Bow:
    ngrams = files.parse_json(contents.get("ngrams.json", b""), folder / "ngrams.json")
    if not isinstance(ngrams, list) or not all(isinstance(ngram, str) for ngram in ngrams):
        raise ModelFileError(f"{folder / 'ngrams.json'} must be a list of texts")
    if len(set(ngrams)) != len(ngrams) or not ngrams:
        raise ModelFileError(f"{folder / 'ngrams.json'} lists no n-gram, or one of them twice")
    n, rows = len(ngrams), 1 if len(labels) == 2 else len(labels)
    shapes = {"idf": (n,), "coefficients": (rows, n), "intercept": (rows,)}
    tensors = _load_tensors(contents[TENSORS], shapes, folder / TENSORS)
    return Bow(ngrams, **tensors, level=settings.level or "word", lowercase=bool(settings.lowercase))


def _load_network(
    content: bytes, settings: Settings, vocabulary_size: int, classes: int, vectors: str, folder: Path
) -> Classifier:
    try:
        with torch.device("meta"):  # shapes without memory
            network = Classifier(settings, vocabulary_size, classes, vectors_mode=vectors)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # settings that no layer takes together
        raise ModelFileError(f"{folder / 'config.json'} describes no network: {shorten(error, 200)}") from error
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    tensors = _load_tensors(content, shapes, folder / TENSORS)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()}, assign=True)
    return network.eval()


def _load_seen(content: bytes, folder: Path) -> npt.NDArray[np.uint32]:
    shape = _header(content, folder / SEEN, "U32").get("seen", ())
    if len(shape) != 1:
        raise ModelFileError(f"{folder / SEEN} does not hold one row of hashes")
    return _load_tensors(content, {"seen": shape}, folder / SEEN, kind="U32")["seen"]


def _load_tensors(content: bytes, shapes: Mapping[str, Shape], path: Path, kind: str = "F32") -> Tensors:
    """The tensors of a safetensors file whose header lists exactly `shapes`, all of `kind` and finite."""
    if _header(content, path, kind) != shapes:
        raise ModelFileError(f"{path} does not hold the tensors that its config.json describes")
    try:
        tensors: Tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is not a safetensors file: {shorten(error, 200)}") from error
    _check_finite(tensors, path)
    return tensors


def _header(content: bytes, path: Path, kind: str) -> dict[str, Shape]:
    """The shapes in a safetensors header: 8 bytes of length, then JSON (safetensors README, "Format").

    Shapes, type and positions are compared with the file's size here, before any tensor is made.
    """
    damaged = ModelFileError(f"{path} is not a safetensors file")
    if len(content) < 8:
        raise damaged
    (size,) = struct.unpack("<Q", content[:8])
    if size > len(content) - 8:
        raise damaged
    header = files.parse_json(content[8 : 8 + size].rstrip(b" "), path)
    if not isinstance(header, dict):
        raise damaged
    header.pop("__metadata__", None)
    shapes: dict[str, Shape] = {}
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise damaged
        if entry["dtype"] != kind:
            raise ModelFileError(f"{path}: {shorten(name)} is of type {shorten(entry['dtype'], 40)}, expected {kind}")
        shape, span = entry["shape"], entry["data_offsets"]
        if not _naturals(shape) or not _naturals(span) or len(span) != 2:
            raise damaged
        if span[1] - span[0] != 4 * math.prod(shape) or span[1] > len(content) - 8 - size:
            raise damaged
        shapes[name] = tuple(shape)
    return shapes


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 8 and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _check_finite(tensors: Tensors, path: Path) -> None:
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise ModelFileError(f"{path}: {shorten(name)} holds a value that is not finite")


def _mapping(value: Any, what: str, folder: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelFileError(f"{folder}: the {what} must be a JSON object, not {shorten(json.dumps(value), 40)}")
    return value
