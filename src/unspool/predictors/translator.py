"""Sequence to sequence: texts of one language to texts of the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch

from unspool.config import Settings
from unspool.decoding.beam import BeamOptions, Hypothesis, beam_search
from unspool.errors import ModelFileError, shorten
from unspool.models.translator import Translator
from unspool.predictors import folder as folders
from unspool.predictors.base import Predictor
from unspool.predictors.folder import TENSORS
from unspool.text.batching import pad, sorted_batches
from unspool.text.detokenise import detokenise
from unspool.text.duplicates import text_hashes
from unspool.text.ragged import Ragged
from unspool.text.tokenizers import Tokenizer, load_tokenizer
from unspool.text.vocabulary import UNKNOWN
from unspool.text.words import split_words
from unspool.training.translation import EncodedPairs

SEEN = "seen.safetensors"
SOURCE_PREFIX = "source-"
BATCH_ROWS = 256  # sentences times beams searched at once
_CUTS: dict[str, Callable[[str], list[str]]] = {"word": split_words, "token": str.split}  # a text into its words


@dataclass(frozen=True)
class Translation:
    """One answer: its text, log P and score; tokens as read (a word the model does not know as it stands in the text)
    and written, the end of either not among them, and attention (|tokens|, |source|), None without attention."""

    text: str
    log_probability: float
    score: float
    source: tuple[str, ...]
    tokens: tuple[str, ...]
    attention: npt.NDArray[np.float32] | None

    def alignment(self) -> list[tuple[int, int]]:
        """(source position, target position), from 0, of the source token each target token looks at most."""
        if self.attention is None or not self.source:
            return []
        return [(int(row.argmax()), place) for place, row in enumerate(self.attention)]


@dataclass
class TranslatorPredictor(Predictor):
    """A trained translator with everything that turns texts into its answers.

    Attributes:
        settings: what it was trained with.
        network: the module in evaluation mode.
        target_tokenizer, source_tokenizer: the same one when the vocabulary is joint.
        seen: sorted 32-bit hashes of the training sources, to tell whether a test text was trained on.
        card: figures, data fingerprint and versions; plain JSON values.
    """

    task: ClassVar[str] = "translate"
    keys: ClassVar[frozenset[str]] = frozenset(("source_tokenizer", "target_tokenizer"))
    files: ClassVar[frozenset[str]] = frozenset(
        (*(before + name for before in ("", SOURCE_PREFIX) for name in ("vocabulary.json", "tokenizer.json")),
         TENSORS, SEEN),
    )  # fmt: skip

    settings: Settings
    network: Translator
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    seen: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    card: dict[str, Any] = field(default_factory=dict)

    def translate(
        self,
        texts: Sequence[str],
        options: BeamOptions | None = None,
        dictionary: Mapping[str, str] | None = None,
    ) -> list[list[Translation]]:
        """The n best translations of each text, best first; of a blank text the empty one.

        A text is read up to `settings.max_length` tokens. An unknown word, where both sides are words, is replaced by
        the source word most looked at, or by what `dictionary` has for that. Raises ModelFileError when the weights
        are so large that an answer is not a number.
        """
        options = options or BeamOptions()
        sources = encode(self.source_tokenizer, texts, self.settings.max_length)
        answers: list[list[Translation]] = [[] for _ in texts]
        for rows in sorted_batches(sources.lengths, max(1, BATCH_ROWS // options.beams)):
            for row, found in zip(rows.tolist(), self._search(sources, rows, options), strict=True):
                if not texts[row].strip():
                    answers[row] = [Translation("", 0.0, 0.0, (), (), None)]
                    continue
                if not found:
                    raise ModelFileError("the model's answers are not numbers: its weights are far too large")
                answers[row] = [self._spelled(texts[row], sources[row][:-1], one, dictionary or {}) for one in found]
        return answers

    @torch.inference_mode()
    def _search(self, sources: Ragged, rows: npt.NDArray[np.int64], options: BeamOptions) -> list[list[Hypothesis]]:
        ids, lengths = pad(sources, rows)
        step, state = self.network.start(torch.from_numpy(ids), torch.from_numpy(lengths), options.beams)
        limits = [most_tokens(length, self.settings.max_length) for length in lengths.tolist()]
        boundary = self.network.boundary
        return beam_search(step, state, limits, begin=boundary, end=boundary, options=options, widths=lengths.tolist())

    def _spelled(
        self, text: str, ids: npt.NDArray[np.int32], found: Hypothesis, dictionary: Mapping[str, str]
    ) -> Translation:
        looks = None if found.attention is None else found.attention[:-1, : len(ids)]
        tokens = [self.target_tokenizer.token(token) for token in found.tokens]
        source = [self.source_tokenizer.token(int(token)) for token in ids]
        if self.source_tokenizer.level in _CUTS:
            words = _CUTS[self.source_tokenizer.level](text)[: len(ids)]
            source = [word if token == UNKNOWN else own for word, token, own in zip(words, ids, source, strict=True)]
            if looks is not None and self.replaces_unknown:
                tokens = _replaced(tokens, found.tokens, words, looks, dictionary)
        if self.target_tokenizer.level in _CUTS:
            written = detokenise(tokens) if self.target_tokenizer.level == "word" else " ".join(tokens)
        else:
            written = self.target_tokenizer.decode(found.tokens).strip()
        return Translation(written, found.log_probability, found.score, tuple(source), tuple(tokens), looks)

    @property
    def replaces_unknown(self) -> bool:
        """Whether unknown words are replaced: both sides are words, and the model has looked at some of the source."""
        words = self.source_tokenizer.level in _CUTS and self.target_tokenizer.level in _CUTS
        return words and self.settings.attention != "none"

    def encode_pairs(self, sources: Sequence[str], targets: Sequence[str]) -> EncodedPairs:
        """Both sides as the network reads them, cut to `settings.max_length`."""
        most = self.settings.max_length
        return EncodedPairs(encode(self.source_tokenizer, sources, most), encode(self.target_tokenizer, targets, most))

    def count_long(self, sources: Sequence[str]) -> int:
        """How many of the texts have more than `settings.max_length` tokens, of which the rest is not read."""
        return int((encode(self.source_tokenizer, sources).lengths > self.settings.max_length + 1).sum())

    def count_seen(self, sources: Sequence[str]) -> int:
        """How many of the texts were among the training sources."""
        return int(np.isin(text_hashes(sources).astype(np.uint32), self.seen).sum())

    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def to_files(self, folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
        tensors = {name: value.numpy() for name, value in self.network.state_dict().items()}
        folders.check_finite(tensors, folder / TENSORS)
        contents = self.target_tokenizer.to_files()
        if not self.settings.joint:
            contents |= {SOURCE_PREFIX + name: content for name, content in self.source_tokenizer.to_files().items()}
        contents[TENSORS] = safetensors.numpy.save(tensors)
        contents[SEEN] = safetensors.numpy.save({"seen": self.seen})
        values = {
            "source_tokenizer": self.source_tokenizer.settings,
            "target_tokenizer": self.target_tokenizer.settings,
        }
        return values, contents

    @classmethod
    def from_files(
        cls, values: Mapping[str, Any], settings: Settings, contents: Mapping[str, bytes], folder: Path
    ) -> Self:
        own = {
            name.removeprefix(SOURCE_PREFIX): content
            for name, content in contents.items()
            if name.startswith(SOURCE_PREFIX)
        }
        if settings.joint and (own or values["source_tokenizer"] != values["target_tokenizer"]):
            raise ModelFileError(f"{folder / 'config.json'}: a joint vocabulary has one tokenizer, not two")
        levels = (settings.level, settings.target_level or settings.level)
        target = _tokenizer(values["target_tokenizer"], contents, levels[1], settings, folder)
        source = target if settings.joint else _tokenizer(values["source_tokenizer"], own, levels[0], settings, folder)
        weights, seen = folders.need(contents, TENSORS, folder), folders.need(contents, SEEN, folder)
        try:
            with torch.device("meta"):  # shapes without memory
                network = Translator(settings, source.size, target.size)
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # settings that no layer takes together
            raise ModelFileError(f"{folder / 'config.json'} describes no network: {shorten(error, 200)}") from error
        folders.fill(network, weights, folder / TENSORS)
        shape = folders.header(seen, folder / SEEN, "U32").get("seen", ())
        if len(shape) != 1:
            raise ModelFileError(f"{folder / SEEN} does not hold one row of hashes")
        hashes = folders.load_tensors(seen, {"seen": shape}, folder / SEEN, kind="U32")["seen"]
        return cls(settings, network, source, target, hashes)


def encode(tokenizer: Tokenizer, texts: Sequence[str], max_length: int | None = None) -> Ragged:
    """Ids of the texts, each row ended by the boundary id (the tokenizer's size), cut before that if asked.

    A byte-pair model reads a text as if a space stood before it, so that its first word is the word it is elsewhere.
    """
    if tokenizer.level == "bpe":
        texts = [" " + text.strip() for text in texts]
    whole = tokenizer.encode_all(texts)
    whole = whole if max_length is None else whole.truncate(max_length)
    ids = np.insert(whole.ids, whole.offsets[1:], np.int32(tokenizer.size))
    return Ragged(ids.astype(np.int32), whole.offsets + np.arange(len(whole.offsets)))


def _replaced(
    tokens: Sequence[str],
    ids: Sequence[int],
    words: Sequence[str],
    looks: npt.NDArray[np.float32],
    dictionary: Mapping[str, str],
) -> list[str]:
    """Target tokens, each unknown one replaced by the source word most looked at, or what the dictionary has for it."""
    replaced = list(tokens)
    for place, token in enumerate(ids):
        if token == UNKNOWN and words:
            word = words[int(looks[place].argmax())]
            replaced[place] = dictionary.get(word, dictionary.get(word.lower(), word))
    return replaced


def most_tokens(source_length: int, max_length: int) -> int:
    """The most tokens that the translation of a source of some length may have."""
    return min(max_length, 2 * source_length + 10)


def _tokenizer(
    values: Any, contents: Mapping[str, bytes], level: str | None, settings: Settings, folder: Path
) -> Tokenizer:
    tokenizer = load_tokenizer(folders.mapping(values, "tokenizer", folder), contents)
    if (tokenizer.level, tokenizer.lowercase) != (level, settings.lowercase):
        raise ModelFileError(f"{folder / 'config.json'}: settings and tokenizer disagree on level or lowercase")
    return tokenizer
