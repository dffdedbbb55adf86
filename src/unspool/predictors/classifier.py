"""Many to one: texts to the log-probabilities of the labels, by a network or by the linear baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch

from unspool import files
from unspool.config import IMPORTED, Settings
from unspool.errors import ModelFileError, shorten
from unspool.models import bow
from unspool.models.bow import Bow
from unspool.models.classifier import Classifier
from unspool.models.imported import Imported
from unspool.predictors import folder as folders
from unspool.predictors.base import Predictor
from unspool.predictors.folder import TENSORS
from unspool.text.batching import Ragged
from unspool.text.tokenizers import Tokenizer, load_tokenizer
from unspool.text.vocabulary import UNKNOWN
from unspool.training.classification import predict

LINEAR = "linear.safetensors"
SEEN = "seen.safetensors"
GRAPH = "imported.json"


@dataclass
class ClassifierPredictor(Predictor):
    """A trained classifier with everything that turns texts into its answers.

    Attributes:
        labels: names in the order of the columns.
        settings: what it was trained with.
        network: the module in evaluation mode, or the baseline.
        tokenizer: None for the linear baseline and for networks from elsewhere.
        vectors: the mode of pretrained vectors it was trained with, "rand" without.
        seen: sorted 32-bit hashes of the training texts, to tell whether a test text was trained on.
        card: figures, data fingerprint and versions; plain JSON values.
        linear: the baseline that has the share `settings.blend` in the answers of a network, None for others.
        classes: the labels as they were given, where they were numbers or booleans; else empty.
    """

    task: ClassVar[str] = "classify"
    keys: ClassVar[frozenset[str]] = frozenset(("labels", "tokenizer", "vectors"))
    files: ClassVar[frozenset[str]] = frozenset(
        ("vocabulary.json", "tokenizer.json", "ngrams.json", GRAPH, TENSORS, LINEAR, SEEN),
    )

    labels: list[str]
    settings: Settings
    network: Classifier | Bow | Imported
    tokenizer: Tokenizer | None = None
    vectors: str = "rand"
    seen: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    card: dict[str, Any] = field(default_factory=dict)
    linear: Bow | None = None
    classes: Sequence[float] = ()

    def log_probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """(N, C) natural logarithms of the label probabilities, in the order of `texts`.

        Raises ModelFileError when the weights are so large that an answer is not a number.
        """
        if not texts:
            return np.empty((0, len(self.labels)))
        if not isinstance(self.network, Classifier):
            answers = self.network.log_probabilities(texts)
        else:
            answers = predict(self.network, self.encode(texts))
            if self.linear is not None:
                answers = blended(answers, self.linear.log_probabilities(texts), self.settings.blend)
        if np.isnan(answers).any():
            raise ModelFileError("the model's answers are not numbers: its weights are finite but far too large")
        return answers

    def unread(self, texts: Sequence[str]) -> int:
        if isinstance(self.network, Imported):
            return 0
        linear = self.network if isinstance(self.network, Bow) else self.linear
        rest = texts
        if isinstance(self.network, Classifier):
            ragged = self.encode(texts)
            known = np.concatenate([[0], np.cumsum(ragged.ids > UNKNOWN)])[ragged.offsets]
            rest = [texts[row] for row in np.flatnonzero(np.diff(known) == 0).tolist()]
        return len(rest) - (sum(linear.knows(rest)) if linear else 0)

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids as the network reads them, cut to `settings.max_length`."""
        if self.tokenizer is None:
            raise ValueError("the linear baseline and imported networks have no tokenizer")
        return self.tokenizer.encode_all(texts).truncate(self.settings.max_length, self.settings.keep)

    def parameters(self) -> int:
        """Number of weights."""
        if not isinstance(self.network, Classifier):
            return sum(value.size for value in self.network.tensors().values())
        own = sum(parameter.numel() for parameter in self.network.parameters())
        return own + sum(value.size for value in self.linear.tensors().values()) if self.linear else own

    def to_files(self, folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
        contents: dict[str, bytes] = {}
        if isinstance(self.network, Bow):
            tensors: folders.Tensors = dict(self.network.tensors())
            contents["ngrams.json"] = files.to_json(list(self.network.ngrams))
        elif isinstance(self.network, Imported):
            tensors = dict(self.network.tensors())
            contents[GRAPH] = files.to_json(self.network.to_json())
        else:
            assert self.tokenizer is not None
            tensors = {name: value.numpy() for name, value in self.network.state_dict().items()}
            contents |= self.tokenizer.to_files()
        if self.linear is not None:
            contents["ngrams.json"] = files.to_json(list(self.linear.ngrams))
            folders.check_finite(self.linear.tensors(), folder / LINEAR)
            contents[LINEAR] = safetensors.numpy.save(self.linear.tensors())
        folders.check_finite(tensors, folder / TENSORS)
        contents[TENSORS] = safetensors.numpy.save(tensors)
        contents[SEEN] = safetensors.numpy.save({"seen": self.seen})
        tokenizer = self.tokenizer.settings if self.tokenizer else None
        return {"labels": list(self.classes) or self.labels, "tokenizer": tokenizer, "vectors": self.vectors}, contents

    @classmethod
    def from_files(
        cls, values: Mapping[str, Any], settings: Settings, contents: Mapping[str, bytes], folder: Path
    ) -> Self:
        given, vectors, path = _labels(values["labels"], folder), values["vectors"], folder / "config.json"
        labels, classes = [str(label) for label in given], () if isinstance(given[0], str) else given
        weights, seen = folders.need(contents, TENSORS, folder), folders.need(contents, SEEN, folder)
        if vectors not in ("rand", "static", "nonstatic", "multichannel"):
            raise ModelFileError(f"{path}: unknown vectors mode {shorten(vectors)!r}")
        tokenizer: Tokenizer | None = None
        network: Bow | Classifier | Imported
        if settings.model == "bow":
            if values["tokenizer"] is not None or settings.level not in ("word", "char"):
                raise ModelFileError(f"{path}: a bow model has no tokenizer and reads word or char")
            network = _load_bow(contents, TENSORS, settings, labels, folder)
        elif settings.model == IMPORTED:
            if values["tokenizer"] is not None or vectors != "rand":
                raise ModelFileError(f"{path}: an imported network has no tokenizer and no vectors")
            network = _load_imported(contents, len(labels), folder)
        else:
            tokenizer = load_tokenizer(folders.mapping(values["tokenizer"], "tokenizer", folder), contents)
            if (tokenizer.level, tokenizer.lowercase) != (settings.level, settings.lowercase):
                raise ModelFileError(f"{path}: settings and tokenizer disagree on level or lowercase")
            network = _load_network(weights, settings, tokenizer.size, len(labels), vectors, folder)
        linear = _load_bow(contents, LINEAR, settings, labels, folder) if settings.blend else None
        hashes = folders.load_seen(seen, folder / SEEN)
        return cls(labels, settings, network, tokenizer, vectors, hashes, linear=linear, classes=classes)


def blended(network: npt.NDArray[np.float64], linear: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    """(N, C) log-probabilities of two models as one: their weighted geometric mean, made to sum to 1.

    Logarithmic opinion pool (Genest and Zidek 1986), `share` of it from `linear`.
    """
    both = (1 - share) * network + share * linear
    return np.asarray(both - np.logaddexp.reduce(both, axis=1, keepdims=True))


def _labels(values: Any, folder: Path) -> list[Any]:
    path = folder / "config.json"
    kinds = {type(label) for label in values} if isinstance(values, list) else set()
    if len(kinds) != 1 or not kinds <= {str, int, float, bool}:
        raise ModelFileError(f"{path}: labels must be a list of texts, of numbers or of booleans")
    if len({str(label) for label in values}) != len(values) or len(values) < 2:
        raise ModelFileError(f"{path}: labels must be at least two different ones")
    return list(values)


def _load_bow(contents: Mapping[str, bytes], name: str, settings: Settings, labels: list[str], folder: Path) -> Bow:
    ngrams = files.parse_json(contents.get("ngrams.json", b""), folder / "ngrams.json")
    if not isinstance(ngrams, list) or not all(isinstance(ngram, str) for ngram in ngrams):
        raise ModelFileError(f"{folder / 'ngrams.json'} must be a list of texts")
    if len(set(ngrams)) != len(ngrams) or not ngrams:
        raise ModelFileError(f"{folder / 'ngrams.json'} lists no n-gram, or one of them twice")
    n, rows = len(ngrams), 1 if len(labels) == 2 else len(labels)
    shapes = {"idf": (n,), "coefficients": (rows, n), "intercept": (rows,)}
    tensors = folders.load_tensors(folders.need(contents, name, folder), shapes, folder / name)
    return Bow(ngrams, tensors["idf"], tensors["coefficients"], tensors["intercept"], **bow.reading(settings))


def _load_imported(contents: Mapping[str, bytes], classes: int, folder: Path) -> Imported:
    description = files.parse_json(folders.need(contents, GRAPH, folder), folder / GRAPH)
    try:
        with torch.device("meta"):
            network = Imported.from_json(description)
    except ModelFileError as error:
        raise ModelFileError(f"{folder / GRAPH}: {error}") from error
    if network.classes != classes:
        raise ModelFileError(f"{folder}: there are {classes} labels, but the network answers with {network.classes}")
    folders.fill(network.graph, contents[TENSORS], folder / TENSORS)
    return network


def _load_network(
    content: bytes, settings: Settings, vocabulary_size: int, classes: int, vectors: str, folder: Path
) -> Classifier:
    try:
        with torch.device("meta"):  # shapes without memory
            network = Classifier(settings, vocabulary_size, classes, vectors_mode=vectors)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # settings that no layer takes together
        raise ModelFileError(f"{folder / 'config.json'} describes no network: {shorten(error, 200)}") from error
    folders.fill(network, content, folder / TENSORS)
    return network
