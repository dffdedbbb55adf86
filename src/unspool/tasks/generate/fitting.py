"""Running text or documents to a trained language model, its figures, and an n-gram model's beside them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from unspool import files
from unspool.config import Settings
from unspool.errors import DataError, ModelFileError, SettingError
from unspool.models.language_model import LanguageModel
from unspool.models.recipes import WORDS, for_level, settle
from unspool.models.transfer import graft, named, prefix
from unspool.predictors import GeneratorPredictor, Predictor
from unspool.tasks import start as starts
from unspool.tasks.base import Notice
from unspool.tasks.fitting import run, told_recipe, weight_bytes
from unspool.tasks.generate.sampler import Sampler, novelty
from unspool.text import ngrams, streams
from unspool.text.levels import is_tokenised
from unspool.text.readers import Documents
from unspool.text.streams import Encoder, Tokens
from unspool.text.tokenizers import DEFAULTS, train_tokenizer
from unspool.training import language
from unspool.training.callbacks import Callback
from unspool.training.language import LanguageData, Spans
from unspool.training.trainer import Trainer, memory_errors

# Passes over the text when nothing is said: docs/experiments.md, "Language models".
TARGET_CHARACTERS, MOST_PASSES = 20_000_000, 60
MOST_VALIDATION = 500_000  # characters held out: a validation must not take long
IN_MEMORY = 2**24  # characters; the ids of more are kept in a file
BASELINE_ORDER, BASELINE_TOKENS = {"word": 3, "token": 3, "bpe": 3, "char": 6, "byte": 6}, 5_000_000
LARGE_VOCABULARY = 40_000


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before the first step."""

    settings: Settings
    documents: Documents
    validation: Documents
    encoder: Encoder
    held: Tokens | None  # the ids of the training part, when they are few
    validation_tokens: Tokens
    validation_bytes: int
    spans: Spans
    start: GeneratorPredictor | None = None


@dataclass(frozen=True)
class Outcome:
    """A trained language model and what is known about it."""

    predictor: GeneratorPredictor
    validation: dict[str, Any]
    baseline: dict[str, Any]
    novelty: dict[str, Any]
    sample: str
    epochs: int
    seconds: float

    @property
    def beats_baseline(self) -> bool:
        return bool(self.validation["nats_per_token"] < self.baseline["nats_per_token"])


def prepare(
    documents: Documents,
    given: Mapping[str, Any],
    *,
    validation: Documents | None = None,
    start: Predictor | None = None,
    notice: Notice = lambda _: None,
) -> Prepared:
    """Hold out, make the vocabulary, encode, and settle every setting; each decision is told in one line.

    start: a language model to go on from.
    """
    given = starts.given_with({**given, "task": "generate"}, start, "generate")
    settings = settle(given)
    if not documents.characters:
        raise DataError("there is no text to learn from: the corpus is empty")
    if not any(map(str.strip, streams.texts_of(documents))):
        raise DataError("there is no text to learn from: the corpus holds nothing but blank lines")
    train, held_out = _parts(documents, validation, settings)
    begun = start if isinstance(start, GeneratorPredictor) else None
    settings, encoder = _encoder(settings, given, train, begun, notice)
    tokenizer = encoder.tokenizer
    if not {"adaptive", "tied"} & given.keys() and tokenizer.size > LARGE_VOCABULARY:
        settings = settings.model_copy(update={"adaptive": True, "tied": False})
        notice("softmax    adaptive: the vocabulary is large (--no-adaptive)")
    validation_tokens = _collect(held_out, encoder)
    first_label = encoder.tokenizer.size
    running = train.running
    count = len(validation_tokens)
    spans = language.running_spans(count) if running else language.document_spans(validation_tokens, first_label)
    if not (spans.stop - spans.scored).sum():
        raise DataError("no text can be spared for validation: give more text, or a file with --validation-data")
    held = _collect(train, encoder) if train.characters <= IN_MEMORY else None
    _refuse_monotony(encoder.stream(train.pieces()) if held is None else _blocks(held))
    settings = _settle_streams(settings, held, notice)
    unknown = float((validation_tokens.block(np.zeros(1, np.int64), count) == 1).mean())
    notice(
        f"tokens     {tokenizer.size:,} kinds; {train.characters:,} characters to train on, {held_out.characters:,} to "
        f"validate ({count:,} tokens, {unknown:.2%} unknown)"
    )
    if settings.epochs is None:
        passes = min(MOST_PASSES, max(1, math.ceil(TARGET_CHARACTERS / max(1, train.characters))))
        passes = MOST_PASSES if settings.minutes else passes  # then the time is the end
        settings = settings.model_copy(update={"epochs": passes})
    notice(
        f"streams    {settings.batch_size} in parallel, chunks of {settings.chunk}, at most {settings.epochs} "
        f"{'pass' if settings.epochs == 1 else 'passes'}"
    )
    size = streams.bytes_of(held_out)
    return Prepared(settings, train, held_out, encoder, held, validation_tokens, size, spans, begun)


def fit(
    prepared: Prepared,
    *,
    folder: Path | None = None,
    resume: bool = False,
    deadline: float | None = None,
    callbacks: Sequence[Callback] = (),
    notice: Notice = lambda _: None,
) -> Outcome:
    """Count the n-grams, then train the network; `folder` is where checkpoints go, `resume` takes up the newest."""
    started, settings = time.monotonic(), prepared.settings
    train = _tokens(prepared, folder)
    baseline = _baseline(prepared, train)
    with memory_errors(settings):
        network = _network(prepared, settings)
        notice(f"model      {settings.model}, {sum(p.numel() for p in network.parameters()):,} parameters")
        data = _data(prepared, train, settings)
        laps = settings.model_copy(update={"epochs": (settings.epochs or 1) * data.laps})
        sampler = Sampler(lambda: _predictor(prepared, cast(LanguageModel, trainer.judged)), notice)
        trainer = Trainer(network, data, laps, folder=folder, deadline=deadline, callbacks=(*callbacks, sampler))
        progress = run(trainer, resume=resume, notice=notice)
        predictor = _predictor(prepared, network)
        figures = figures_of(predictor, prepared.validation_tokens, prepared.spans, prepared.validation_bytes)
    sample = sampler.long_sample(predictor)
    copied = novelty(predictor, sample, train)
    return Outcome(predictor, figures, baseline, copied, sample, progress.epoch, time.monotonic() - started)


def figures_of(predictor: GeneratorPredictor, tokens: Tokens, spans: Spans, size: int) -> dict[str, Any]:
    """nats_per_token, bits_per_byte, perplexity, tokens, unknown_rate of a model on a text of `size` bytes."""
    found = language.score(predictor.network, tokens, spans)
    if not math.isfinite(found.nats):
        raise ModelFileError("the model's answers are not numbers: its weights are finite but far too large")
    nats = found.nats / max(1, found.tokens)
    return {
        "nats_per_token": nats,
        "bits_per_byte": language.bits_per_byte(found.nats, size),
        "perplexity": math.exp(min(nats, 700.0)),
        "tokens": found.tokens,
        "unknown_rate": found.unknown / max(1, found.tokens),
    }


def untrained(prepared: Prepared, settings: Settings) -> tuple[LanguageModel, LanguageData, Settings]:
    """The network as `settings` would have it, its data, and the settings that the loop follows."""
    train, network = _tokens(prepared, None), _network(prepared, settings)
    data = _data(prepared, train, settings)
    return network, data, settings.model_copy(update={"epochs": (settings.epochs or 1) * data.laps})


def network_bytes(prepared: Prepared) -> int:
    """Bytes of the weights that `fit` will train. No memory is taken for them."""
    size, labels = prepared.encoder.tokenizer.size, len(prepared.encoder.labels)
    return weight_bytes(lambda: LanguageModel(prepared.settings, size, labels))


def _data(prepared: Prepared, train: Tokens, settings: Settings) -> LanguageData:
    return LanguageData(
        train, prepared.validation_tokens, prepared.spans, settings, validation_bytes=prepared.validation_bytes
    )


def _parts(documents: Documents, validation: Documents | None, settings: Settings) -> tuple[Documents, Documents]:
    if validation is None:
        return streams.held_out(documents, settings.validation, MOST_VALIDATION, settings.seed)
    if not validation.characters:
        raise DataError("the validation file holds no text")
    if unseen := sorted(set(validation.labels) - set(documents.labels)):
        raise DataError(f"the validation file has a label never seen in training: {unseen[0]!r}")
    return documents, validation


def _settle_level(settings: Settings, given: Mapping[str, Any], train: Documents, notice: Notice) -> Settings:
    level: str = settings.level or "char"
    if settings.level is None:
        notice("level      char (--level char|byte|bpe|word|token)")
    if level == "word" and is_tokenised(next(iter(streams.texts_of(train)), "")):
        level = "token"
        notice("level      token: the text is cut into tokens already, nothing is cut further")
    if level == "byte" and (useless := [name for name in ("min_count", "max_vocabulary") if name in given]):
        raise SettingError(f"--{useless[0].replace('_', '-')} has no effect at level byte: leave it out")
    usual = DEFAULTS[level]
    filled: dict[str, Any] = {"min_count": usual.min_count, "max_vocabulary": usual.max_size, "lowercase": False}
    missing = {name: value for name, value in filled.items() if getattr(settings, name) is None}
    return settings.model_copy(update={"level": level, **missing})


def _encoder(
    settings: Settings, given: Mapping[str, Any], train: Documents, start: GeneratorPredictor | None, notice: Notice
) -> tuple[Settings, Encoder]:
    """The vocabulary and labels of the training part, or those of the model to start from with what is new in it."""
    texts = streams.texts_of(train)
    if start is None:
        settings = _settle_level(settings, given, train, notice)
        settings = _for_level(settings, given, notice)
        fixed = settings.level == "byte"
        tokenizer = train_tokenizer(
            settings.level or "char",
            texts,
            min_count=None if fixed else settings.min_count,
            max_size=None if fixed else settings.max_vocabulary,
            lowercase=settings.lowercase,
        )
        return settings, Encoder.of(tokenizer, train.labels)
    settings = _for_level(settings, given, notice)
    tokenizer, settings = starts.grown(start.tokenizer, texts, settings, given, fixed=settings.adaptive)
    added = tokenizer.size - start.tokenizer.size
    kept = ", as many as its adaptive softmax has room for" if settings.adaptive else f", {added:,} new"
    notice(f"start      a language model: {start.tokenizer.size:,} kinds of tokens{kept}")
    return settings, Encoder.of(tokenizer, starts.joined(start.labels, train.labels))


def _for_level(settings: Settings, given: Mapping[str, Any], notice: Notice) -> Settings:
    kind = "words" if settings.level in WORDS else "a few minutes"
    return told_recipe(settings, for_level(settings, given), kind, notice)


def _network(prepared: Prepared, settings: Settings) -> LanguageModel:
    """The network as training begins: with first weights that follow from the seed, or those of the start."""
    encoder, start = prepared.encoder, prepared.start
    torch.manual_seed(settings.seed)
    network = LanguageModel(settings, encoder.tokenizer.size, len(encoder.labels), streams=settings.batch_size)
    if start is not None:
        old, labels = start.tokenizer.size, named(start.labels, list(encoder.labels))
        places = {"embedding.weight": (torch.cat([prefix(old), encoder.tokenizer.size + labels]),)}
        if not settings.adaptive:
            places |= dict.fromkeys(("output.bias", *(() if settings.tied else ("output.weight",))), (prefix(old),))
        graft(network, start.network.weights(), places)
    return network


def _blocks(tokens: Tokens) -> Iterator[npt.NDArray[np.int64]]:
    """The ids, a mebi at a time."""
    for begin in range(0, len(tokens), 2**20):
        yield tokens.block(np.array([begin]), min(2**20, len(tokens) - begin))


def _refuse_monotony(parts: Iterable[npt.NDArray[np.integer[Any]]]) -> None:
    """DataError when a row of ids holds fewer than two kinds of tokens; read only as far as it takes to know."""
    first = None
    for part in parts:
        tokens = part[part > streams.START]
        if tokens.size and first is None:
            first = tokens.flat[0]
        if (tokens != first).any():
            return
    if first is None:
        raise DataError("the text says nothing: there is no token in it")
    raise DataError("the text has one distinct token only: there is nothing to learn about what follows what")


def _settle_streams(settings: Settings, held: Tokens | None, notice: Notice) -> Settings:
    """Fewer streams where the text is short, so that each has a chunk."""
    if held is None:
        return settings
    most = (len(held) - 1) // settings.chunk
    if most < 1:
        raise DataError(
            f"the training part has {len(held):,} tokens, fewer than one chunk of {settings.chunk}: give more text or "
            "a smaller --chunk"
        )
    if most < settings.batch_size:
        notice(f"streams    {most} instead of {settings.batch_size}: the text is short")
        return settings.model_copy(update={"batch_size": most})
    return settings


def _collect(documents: Documents, encoder: Encoder) -> Tokens:
    """All ids in memory; rows get a last START, so that the end of the last one is a target, too."""
    end = [] if documents.running else [np.zeros(1, np.int32)]
    return Tokens.collect([*encoder.stream(documents.pieces()), *end], encoder.kind)


def _tokens(prepared: Prepared, folder: Path | None) -> Tokens:
    """The ids of the training part: those held, or a file beside the checkpoints, written once."""
    if prepared.held is not None:
        return prepared.held
    if folder is None:
        return _collect(prepared.documents, prepared.encoder)
    path, encoder = folder.parent / "tokens" / "train.bin", prepared.encoder
    files.make_folder(path.parent)
    if path.exists():  # published whole; resume has compared data, settings and versions
        return Tokens(path, encoder.kind)
    return Tokens.write(path, encoder.stream(prepared.documents.pieces()), encoder.kind)


def _predictor(prepared: Prepared, trained: LanguageModel) -> GeneratorPredictor:
    encoder = prepared.encoder
    with torch.device("meta"):
        network = LanguageModel(prepared.settings, encoder.tokenizer.size, len(encoder.labels))
    network.load_state_dict(trained.weights(), assign=True)
    return GeneratorPredictor(
        list(encoder.labels), prepared.settings, network.eval(), encoder.tokenizer, prepared.documents.running
    )


def _baseline(prepared: Prepared, train: Tokens) -> dict[str, Any]:
    tokenizer = prepared.encoder.tokenizer
    order, used = BASELINE_ORDER[tokenizer.level], min(len(train), BASELINE_TOKENS)

    def plain(tokens: Tokens, start: int, count: int) -> Any:
        ids = tokens.block(np.array([start]), count)[0]
        return np.where(ids >= tokenizer.size, streams.START, ids)

    nats = ngrams.ngram_nats(
        plain(train, len(train) - used, used),
        plain(prepared.validation_tokens, 0, len(prepared.validation_tokens)),
        order,
        tokenizer.size,
    )
    return {"model": f"{order}-gram, interpolated", "nats_per_token": nats, "perplexity": math.exp(min(nats, 700.0))}
