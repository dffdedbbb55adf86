"""The next token, again and again: a language model with its tokenizer, its labels and its kind of documents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import safetensors.numpy
import torch

from unspool.config import Settings
from unspool.decoding.sampling import Floats, Int64, Sampling, Step, sample
from unspool.errors import ModelFileError, UsageError, shorten
from unspool.models.language_model import LanguageModel, State
from unspool.predictors import folder as folders
from unspool.predictors.base import Predictor
from unspool.predictors.folder import TENSORS
from unspool.text.shuffling import random_keys
from unspool.text.spelling import Speller
from unspool.text.streams import START, Encoder, Tokens
from unspool.text.tokenizers import Tokenizer, load_tokenizer
from unspool.text.vocabulary import PADDING, RESERVED, UNKNOWN
from unspool.training import language

PROMPT_STEPS = 512
WORD_TOKENS, LONGEST_WORD = 100, 20  # tokens among which a word is looked for, and its letters at most


class Token(NamedTuple):
    """One generated token: its id, its text, and the model's own log-probability of it."""

    id: int
    text: str
    log_probability: float


@dataclass(frozen=True, slots=True)
class Made:
    """One more token of each sample. Iterating gives a Token for each, or None where there is none.

    Columns, because a program that keeps what many samples side by side have made would otherwise hand Python's
    garbage collector one object a token, a tenth of the whole time.
    """

    ids: list[int]
    texts: list[str]
    log_probabilities: list[float]
    over: list[bool] | None = None

    def __iter__(self) -> Iterator[Token | None]:
        tokens = map(Token, self.ids, self.texts, self.log_probabilities)
        if self.over is None:
            return tokens
        return (None if over else token for over, token in zip(self.over, tokens, strict=True))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Surprise:
    """What a text costs the model: its tokens, and the negative log-probability of each in nats."""

    tokens: list[str]
    nats: list[float]


@dataclass
class GeneratorPredictor(Predictor):
    """A trained language model.

    Attributes:
        labels: those its documents may begin with, [] when it was trained without.
        settings: what it was trained with.
        network: in evaluation mode.
        tokenizer: text to ids and back.
        running: whether it learned running text; if not, documents that end.
        card: figures, data fingerprint and versions; plain JSON values.
    """

    task: ClassVar[str] = "generate"
    keys: ClassVar[frozenset[str]] = frozenset(("labels", "tokenizer", "running"))
    files: ClassVar[frozenset[str]] = frozenset(("vocabulary.json", "tokenizer.json", TENSORS))

    labels: list[str]
    settings: Settings
    network: LanguageModel
    tokenizer: Tokenizer
    running: bool = True
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def encoder(self) -> Encoder:
        """Texts and labels to ids."""
        return Encoder.of(self.tokenizer, self.labels)

    @property
    def ends(self) -> bool:
        """Whether a generated document comes to an end of its own (START is then its last id)."""
        return not self.running

    @torch.inference_mode()
    def step(self, tokens: Int64, state: State) -> tuple[Floats, State]:
        """tokens (S,), the state → log-probabilities (S, V) of what may follow, and the state after."""
        hidden, state = self.network.step(torch.from_numpy(tokens), state)
        return self._shown(hidden), state

    def quick_step(self) -> Step:
        """`step` with the weights as they are now, packed once: for a run of many steps. Its state is made of numpy's
        arrays and may begin as `read` left it."""
        stepper = self.network.stepper()
        if stepper is None:
            return self.step
        silent = self._silent()

        def step(tokens: Int64, state: Any) -> tuple[Floats, Any]:
            parts = [part.numpy() if isinstance(part, torch.Tensor) else part for part in state]
            found, state = stepper(tokens, parts, log_softmax=True)
            return _allowed(found, silent), state

        return step

    @torch.inference_mode()
    def read(self, ids: Int64, state: State) -> tuple[Floats, State]:
        """ids (S, T), the state → log-probabilities (S, V) after the last of them, and the state there."""
        for begin in range(0, ids.shape[1], PROMPT_STEPS):
            hidden, state = self.network(torch.from_numpy(ids[:, begin : begin + PROMPT_STEPS]), state)
        return self._shown(hidden[:, -1]), state

    def prompt_ids(self, prompt: str, label: str | None = None) -> tuple[Int64, list[str]]:
        """The start and the prompt as ids, and the tokens of the prompt that the model does not know, each once."""
        encoder = self.encoder
        ids = encoder.encode(prompt)
        unknown = self._unknown(prompt, ids)
        if prompt and unknown and (ids[ids != START] == UNKNOWN).all():
            raise UsageError(f"the model knows nothing of the prompt {shorten(prompt)!r}: give other words")
        begin = encoder.start(label)
        return np.insert(ids, 0, self._opening() if begin == START else begin).astype(np.int64), unknown

    def _opening(self) -> int:
        """The id after which a text without a label begins. START stands hardly anywhere in running text, and the model
        knows little of what follows it, a rare character least: a line break then, where that is a token of its own."""
        line = self.encoder.encode("\n").tolist() if self.running and self.tokenizer.reversible else []
        return line[0] if len(line) == 1 and line[0] not in (PADDING, UNKNOWN) else START

    def generate(
        self,
        ids: Int64,
        how: Sampling,
        length: int,
        samples: int = 1,
        *,
        first_sample: int = 0,
    ) -> Iterator[Made]:
        """At most `length` tokens after `ids`, one for each sample at a time; None where a document has ended."""
        first, state = self.read(ids[None], self.network.no_state(1))
        state = tuple(part.repeat_interleave(samples, dim=1).contiguous() for part in state)
        texts: dict[int, str] = {}
        spellers = [self.speller(ids, texts) for _ in range(samples)]
        ended = np.zeros(samples, bool)
        chosen = sample(self.quick_step(), np.repeat(first, samples, axis=0), state, how, first_sample=first_sample)
        for _, (tokens, log_probs) in zip(range(length), chosen, strict=False):
            ids_made = tokens.tolist()
            if self.ends:
                ended |= tokens == START
            over = ended.tolist() if self.ends else None
            yield Made(ids_made, _spell(spellers, ids_made), log_probs.tolist(), over)
            if ended.all():
                return

    def speller(self, ids: Int64, texts: dict[int, str] | None = None) -> Speller:
        """What spells the tokens after `ids`, a start and a prompt."""
        speller = Speller(self.tokenizer, texts)
        for token_id in ids[1:].tolist():
            speller.add(token_id)
        return speller

    def random_word(self, seed: int, label: str | None = None) -> str:
        """A word to begin with, drawn with the seed: one of the vocabulary where tokens are words, else one that the
        model makes up at the start of a text, of the label's if one is given. Where the model writes no letters, a
        token of its vocabulary."""
        word = "" if self.tokenizer.level in ("word", "token") else self._made_up(seed, label)
        if word:
            return word
        words = [self.tokenizer.token(k) for k in range(RESERVED, self.tokenizer.size)]
        words = [word for word in words if word.isalpha()] or words
        return words[int(random_keys(1, seed, 4)[0] % np.uint64(len(words)))]

    def _made_up(self, seed: int, label: str | None) -> str:
        """The first whole word of what the model writes without a prompt, "" when it writes no letters."""
        steps = list(self.generate(self.prompt_ids("", label)[0], Sampling(0.8, seed=seed), WORD_TOKENS))
        text = "".join(token.text for (token,) in steps if token)
        over = steps[-1].over is not None and steps[-1].over[0]
        # In running text not the first: lines begin alike, and what follows START may be the middle of a word.
        return _first_word(text, begins=self.ends, ends=over)

    def surprises(self, texts: Sequence[str], labels: Sequence[str] | None = None) -> Iterator[Surprise]:
        """The surprise of each token of each text, read from its start."""
        encoder = self.encoder
        for number, text in enumerate(texts):
            ids = np.insert(encoder.encode(text), 0, encoder.start(labels[number] if labels else None))
            tokens = Tokens.collect([ids], np.uint32)
            spans = language.Spans(np.array([0]), np.array([1]), np.array([len(ids)]))
            found = [values[counts] for _, counts, _, values in language.log_likelihoods(self.network, tokens, spans)]
            nats = (-np.concatenate(found)).tolist() if found else []
            names = ["\n" if token == START else self.tokenizer.token(token) for token in ids[1:].tolist()]
            yield Surprise(names, nats)

    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def to_files(self, folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
        tensors: folders.Tensors = {name: value.numpy() for name, value in self.network.weights().items()}
        folders.check_finite(tensors, folder / TENSORS)
        contents = self.tokenizer.to_files() | {TENSORS: safetensors.numpy.save(tensors)}
        return {"labels": self.labels, "tokenizer": self.tokenizer.settings, "running": self.running}, contents

    @classmethod
    def from_files(
        cls, values: Mapping[str, Any], settings: Settings, contents: Mapping[str, bytes], folder: Path
    ) -> Self:
        path, labels = folder / "config.json", values["labels"]
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ModelFileError(f"{path}: labels must be a list of texts")
        if len(set(labels)) != len(labels) or type(values["running"]) is not bool:
            raise ModelFileError(f"{path}: labels must differ, and running must be true or false")
        tokenizer = load_tokenizer(folders.mapping(values["tokenizer"], "tokenizer", folder), contents)
        if (tokenizer.level, tokenizer.lowercase) != (settings.level, settings.lowercase):
            raise ModelFileError(f"{path}: settings and tokenizer disagree on level or lowercase")
        try:
            with torch.device("meta"):  # shapes without memory
                network = LanguageModel(settings, tokenizer.size, len(labels))
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # settings that no layer takes together
            raise ModelFileError(f"{path} describes no network: {shorten(error, 200)}") from error
        folders.fill(network, folders.need(contents, TENSORS, folder), folder / TENSORS)
        return cls(labels, settings, network, tokenizer, values["running"])

    def _shown(self, hidden: torch.Tensor) -> Floats:
        """Log-probabilities (S, V) of what may be said next, from hidden (S, D)."""
        return _allowed(self.network.log_probs(hidden).numpy(), self._silent())

    def _silent(self) -> list[int]:
        """Ids that are never said: what is unknown, and in running text the end of the whole corpus."""
        return [UNKNOWN, PADDING] if self.running and self.tokenizer.reversible else [UNKNOWN]

    def _unknown(self, prompt: str, ids: Any) -> list[str]:
        if not (ids == UNKNOWN).any():
            return []
        pieces = list(prompt) if self.tokenizer.level == "char" else prompt.split()
        found = dict.fromkeys(piece for piece in pieces if (self.tokenizer.encode(piece) == UNKNOWN).any())
        return list(found)


def _first_word(text: str, *, begins: bool, ends: bool) -> str:
    """The first run of two letters or more that is whole, at most LONGEST_WORD of them; of a text without one, such as
    DNA, its first letters. begins, ends: whether a word that reaches to that end of the text is whole."""
    runs = [(letters, "".join(run)) for letters, run in groupby(text, _is_letter)]
    first, last = (0 if begins else 1), len(runs) - (0 if ends else 1)
    whole = [run for letters, run in runs[first:last] if letters and len(run) > 1]
    return next(iter(whole or [run for letters, run in runs if letters]), "")[:LONGEST_WORD]


def _is_letter(character: str) -> bool:
    """A letter, or a mark that belongs to one, such as a vowel sign of Hindi."""
    return character.isalpha() or unicodedata.category(character).startswith("M")


def _spell(spellers: Sequence[Speller], ids: Sequence[int]) -> list[str]:
    """The text that each sample's token adds."""
    if spellers[0].by_itself:
        return spellers[0].each(ids)
    return [speller.add(token) for speller, token in zip(spellers, ids, strict=True)]


def _allowed(log_probs: Floats, silent: list[int]) -> Floats:
    """log_probs (S, V), changed in place. Raises ModelFileError when they are not numbers."""
    for token in silent:
        log_probs[:, token] = -np.inf
    if np.isnan(log_probs.max()):
        raise ModelFileError("the model's answers are not numbers: its weights are finite but far too large")
    return log_probs
