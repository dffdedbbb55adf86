"""Many to many, aligned: sentences of tokens to a tag for each token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch

from unspool.config import Settings
from unspool.errors import ModelFileError, shorten
from unspool.models.tagger import Tagger
from unspool.predictors import folder as folders
from unspool.predictors.base import Predictor
from unspool.predictors.folder import TENSORS
from unspool.text.forms import CHARACTERS_FILE, WORDS_FILE, FormEncoder
from unspool.text.spans import SCHEMES, Scheme, convert, detect_scheme, follow_tables
from unspool.training.tagging import predict

SEEN = "seen.safetensors"
MOST_TAGS = 2000


@dataclass
class TaggerPredictor(Predictor):
    """A trained tagger with everything that turns tokens into tags.

    Attributes:
        labels: the tags as the network learned them, in the order of its columns.
        scheme: how the data writes spans, "bio" or "bioes"; None for tags of single tokens.
        settings: what it was trained with; `settings.scheme` is what `labels` are written in.
        network: the module in evaluation mode. encoder: from tokens to what it reads.
        vectors: the mode of pretrained vectors it was trained with, "rand" without.
        seen: sorted 32-bit hashes of the training sentences, to tell whether a test sentence was trained on.
        card: figures, data fingerprint and versions; plain JSON values.
    """

    task: ClassVar[str] = "tag"
    keys: ClassVar[frozenset[str]] = frozenset(("labels", "scheme", "words", "characters", "vectors"))
    files: ClassVar[frozenset[str]] = frozenset((WORDS_FILE, CHARACTERS_FILE, TENSORS, SEEN))

    labels: list[str]
    scheme: Scheme | None
    settings: Settings
    network: Tagger
    encoder: FormEncoder
    vectors: str = "rand"
    seen: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    card: dict[str, Any] = field(default_factory=dict)

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The tags of each sentence, in order, written as in the training data.

        A sentence longer than `settings.max_length` is read in pieces of that length.
        """
        return [tags for tags, _ in self._tagged(sentences, confidence=False)]

    def tag_with_confidence(self, sentences: Sequence[Sequence[str]]) -> Iterator[tuple[list[str], list[float]]]:
        """The tags of each sentence and the probability of each; ModelFileError when one is not a number."""
        return self._tagged(sentences, confidence=True)

    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    def written(self, tags: Sequence[str]) -> list[str]:
        """Learned tags as the data writes them."""
        return list(tags) if self.scheme is None else convert(tags, self.scheme)

    def _tagged(
        self, sentences: Sequence[Sequence[str]], *, confidence: bool
    ) -> Iterator[tuple[list[str], list[float]]]:
        rows, forms = self.encoder.encode(sentences)
        pieces = rows.pieces(self.settings.max_length)
        answers, certain = predict(self.network, pieces, forms, confidence=confidence)
        if certain is not None and np.isnan(certain).any():
            raise ModelFileError("the model's answers are not numbers: its weights are finite but far too large")
        names = [self.labels[answer] for answer in answers.tolist()]
        shares = [] if certain is None else certain.tolist()
        bounds = rows.offsets.tolist()
        for start, end in pairwise(bounds):
            yield self.written(names[start:end]), shares[start:end]

    def to_files(self, folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
        tensors = {name: value.numpy() for name, value in self.network.state_dict().items()}
        folders.check_finite(tensors, folder / TENSORS)
        contents = self.encoder.to_files()
        contents[TENSORS] = safetensors.numpy.save(tensors)
        contents[SEEN] = safetensors.numpy.save({"seen": self.seen})
        characters = self.encoder.characters
        values = {
            "labels": self.labels,
            "scheme": self.scheme,
            "words": self.encoder.words.size,
            "characters": characters.size if characters else None,
            "vectors": self.vectors,
        }
        return values, contents

    @classmethod
    def from_files(
        cls, values: Mapping[str, Any], settings: Settings, contents: Mapping[str, bytes], folder: Path
    ) -> Self:
        path, vectors = folder / "config.json", values["vectors"]
        weights, seen = folders.need(contents, TENSORS, folder), folders.need(contents, SEEN, folder)
        labels, scheme = _labels(values["labels"], path), _scheme(values, settings, path)
        if vectors not in ("rand", "static", "nonstatic", "multichannel"):
            raise ModelFileError(f"{path}: unknown vectors mode {shorten(vectors)!r}")
        if (values["characters"] is None) != (settings.characters == "none") or settings.output is None:
            raise ModelFileError(f"{path}: characters, output and settings disagree")
        for name in ("words", "characters"):
            if values[name] is not None and type(values[name]) is not int:
                raise ModelFileError(f"{path}: {name} must be a whole number")
        encoder = FormEncoder.from_files(
            contents, words=values["words"], characters=values["characters"], lowercase=bool(settings.lowercase)
        )
        network = _load_network(weights, settings, encoder, labels, vectors, folder)
        return cls(labels, scheme, settings, network, encoder, vectors, folders.load_seen(seen, folder / SEEN))


def restrict(network: Tagger, labels: Sequence[str], settings: Settings) -> None:
    """Let the CRF answer only sequences that the scheme allows."""
    if network.crf is not None and settings.scheme is not None:
        network.crf.restrict(*(torch.from_numpy(table) for table in follow_tables(labels, settings.scheme)))


def _labels(values: Any, path: Path) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(label, str) and label for label in values):
        raise ModelFileError(f"{path}: labels must be a list of texts")
    if len(set(values)) != len(values) or not 2 <= len(values) <= MOST_TAGS:
        raise ModelFileError(f"{path}: labels must be different texts, 2 to {MOST_TAGS} of them")
    return values


def _scheme(values: Mapping[str, Any], settings: Settings, path: Path) -> Scheme | None:
    scheme = values["scheme"]
    if scheme not in (None, *SCHEMES) or (scheme is None) != (settings.scheme is None):
        raise ModelFileError(f"{path}: the scheme must be null, bio or bioes, and fit that of the settings")
    if scheme is not None and detect_scheme(values["labels"]) is None:
        raise ModelFileError(f"{path}: the labels are no tags of spans")
    return cast("Scheme | None", scheme)


def _load_network(
    content: bytes, settings: Settings, encoder: FormEncoder, labels: list[str], vectors: str, folder: Path
) -> Tagger:
    characters = encoder.characters.size if encoder.characters else 0
    try:
        with torch.device("meta"):  # shapes without memory
            network = Tagger(settings, encoder.words.size, characters, len(labels), vectors_mode=vectors)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # settings that no layer takes together
        raise ModelFileError(f"{folder / 'config.json'} describes no network: {shorten(error, 200)}") from error
    folders.fill(network, content, folder / TENSORS)
    restrict(network, labels, settings)
    return network
