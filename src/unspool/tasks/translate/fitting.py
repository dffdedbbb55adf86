"""Pairs of sentences to a trained translator and its figures.

`prepare` decides everything that can be decided from the pairs and says so; `fit` trains, measures and returns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unspool.config import Settings, decoder_of
from unspool.errors import DataError, plural
from unspool.models.recipes import settle
from unspool.models.transfer import graft, prefix
from unspool.models.translator import Translator
from unspool.predictors import Predictor
from unspool.predictors.translator import TranslatorPredictor, encode
from unspool.tasks import start as starts
from unspool.tasks.base import Notice
from unspool.tasks.fitting import run, weight_bytes
from unspool.tasks.translate.evaluation import measure
from unspool.text.duplicates import overlap, seen_hashes
from unspool.text.readers import Pairs
from unspool.text.splitting import split
from unspool.text.tokenizers import DEFAULTS, Tokenizer, train_tokenizer
from unspool.training.callbacks import Callback
from unspool.training.trainer import Trainer, memory_errors
from unspool.training.translation import EncodedPairs, TranslatorData

TARGET_STEPS, LEAST_EPOCHS, MOST_EPOCHS = 5000, 5, 60
MOST_VALIDATION = 1000  # pairs held out when no share is asked for: more cost time and tell little
VOCABULARY = {"bpe": 4000}  # ids; the output over the vocabulary is the largest part of a step


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before the first step."""

    settings: Settings
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    train: Pairs
    validation: Pairs
    data: TranslatorData
    start: TranslatorPredictor | None = None


@dataclass(frozen=True)
class Outcome:
    """A trained predictor and its figures on the validation pairs, as `evaluation.measure` gives them."""

    predictor: TranslatorPredictor
    validation: dict[str, Any]
    epochs: int
    seconds: float


def prepare(
    pairs: Pairs, given: Mapping[str, Any], other: Pairs | None, notice: Notice, start: Predictor | None = None
) -> Prepared:
    """Split, tokenise and settle every setting; `other` are pairs to validate on instead of a share, `start` is a
    translator to go on from."""
    given = starts.given_with(given, start, "translate")
    begun = start if isinstance(start, TranslatorPredictor) else None
    if not len(pairs):
        raise DataError("there are no pairs to learn from")
    settings = _settle(given, len(pairs))
    _tell(pairs, notice)
    train, validation = _parts(pairs, other, settings, notice)
    source, target, settings = _tokenizers(settings, given, train, begun, notice)
    train_ids, train = _encode(source, target, train, settings, "training", notice)
    validation_ids, validation = _encode(source, target, validation, settings, "validation", notice)
    kinds = f"{target.size:,} kinds, joint" if settings.joint else f"{source.size:,} and {target.size:,} kinds"
    medians = [np.median(side.lengths) - 1 for side in (train_ids.source, train_ids.target)]
    levels = " to ".join(dict.fromkeys((str(settings.level), str(settings.target_level))))
    notice(f"tokens     {levels}, {kinds}; a sentence has {medians[0]:.0f} and {medians[1]:.0f}")
    steps = math.ceil(len(train_ids) / settings.batch_size)
    epochs = settings.epochs or min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(TARGET_STEPS / steps)))
    settings = settings.model_copy(update={"epochs": epochs})
    notice(f"batches    {steps:,} of {settings.batch_size} pairs, at most {plural(epochs, 'epoch')}")
    data = TranslatorData(train_ids, validation_ids, settings)
    return Prepared(settings, source, target, train, validation, data, begun)


def fit(
    prepared: Prepared,
    *,
    folder: Path | None = None,
    resume: bool = False,
    deadline: float | None = None,
    callbacks: Sequence[Callback] = (),
    notice: Notice = lambda _: None,
) -> Outcome:
    """Train and measure; `folder` is where checkpoints go, `resume` takes up the newest one."""
    started = time.monotonic()
    settings = prepared.settings
    with memory_errors(settings):
        network = make_network(prepared)
        seen = seen_hashes(prepared.train.sources)
        if prepared.start is not None:
            seen = np.union1d(seen, prepared.start.seen)
        predictor = TranslatorPredictor(settings, network, prepared.source_tokenizer, prepared.target_tokenizer, seen)
        notice(f"model      {settings.model}, attention {settings.attention}, {predictor.parameters():,} parameters")
        trainer = Trainer(network, prepared.data, settings, folder=folder, deadline=deadline, callbacks=callbacks)
        progress = run(trainer, resume=resume, notice=notice)
        figures = measure(predictor, prepared.validation.sources, prepared.validation.targets)
    return Outcome(predictor, figures, progress.epoch, time.monotonic() - started)


def make_network(prepared: Prepared) -> Translator:
    """The network with its first weights: a function of the seed, or those of the model to start from."""
    torch.manual_seed(prepared.settings.seed)
    source, target, start = prepared.source_tokenizer.size, prepared.target_tokenizer.size, prepared.start
    network = Translator(prepared.settings, source, target)
    if start is not None:
        # The boundary is the last id on each side, whatever stands before it.
        read, written = (
            (torch.cat([prefix(old.size), torch.tensor([new])]),)
            for old, new in ((start.source_tokenizer, source), (start.target_tokenizer, target))
        )
        places = dict.fromkeys(("target_embedding.weight", "own_output_weight", "output_bias"), written)
        graft(network, start.network.state_dict(), {**places, "own_source_embedding.weight": read})
    return network


def untrained(prepared: Prepared, settings: Settings) -> tuple[Translator, TranslatorData, Settings]:
    """The network as `settings` would have it, its data, and the settings that the loop follows."""
    return make_network(replace(prepared, settings=settings)), prepared.data, settings


def network_bytes(prepared: Prepared) -> int:
    """Bytes of the weights that `fit` will train. No memory is taken for them."""
    return weight_bytes(lambda: make_network(replace(prepared, start=None)))


def _settle(given: Mapping[str, Any], count: int) -> Settings:
    settings = settle({**given, "task": "translate"})
    level = str(settings.level)
    usual = DEFAULTS[level]
    filled = {
        "target_level": level,
        "joint": settings.target_level in (None, level),
        "min_count": usual.min_count,
        "max_vocabulary": VOCABULARY.get(level, usual.max_size),
        "lowercase": usual.lowercase,
        "decoder": decoder_of(settings.model, None),
    }
    changes: dict[str, Any] = {name: value for name, value in filled.items() if getattr(settings, name) is None}
    if "validation" not in given:
        changes["validation"] = min(settings.validation, MOST_VALIDATION / max(count, 1))
    return settings.model_copy(update=changes)


def _tell(pairs: Pairs, notice: Notice) -> None:
    notice(f"pairs      {len(pairs):,}")
    both = list(zip(pairs.sources, pairs.targets, strict=True))
    if copies := len(both) - len(set(both)):
        notice(f"copies     {copies:,} pairs ({copies / len(both):.1%}) stand more than once")
    if several := len(set(both)) - len(set(pairs.sources)):
        notice(f"several    {several:,} translations stand beside another of the same source")
    if same := sum(source.strip() == target.strip() for source, target in both):
        notice(f"same       {same:,} pairs ({same / len(both):.1%}) have the source as their target")


def _parts(pairs: Pairs, other: Pairs | None, settings: Settings, notice: Notice) -> tuple[Pairs, Pairs]:
    if other is not None:
        if copies := overlap(pairs.sources, other.sources):
            notice(f"overlap    {copies:,} validation sources ({copies / len(other):.1%}) also stand in training")
        notice(f"split      {len(pairs):,} training, {len(other):,} validation from the second file")
        return pairs, other
    chosen, held_out = split(pairs.sources, [""] * len(pairs), settings.validation, settings.seed)
    if not len(held_out):
        raise DataError("no pair can be spared for validation: give more pairs, or a file with --validation-data")
    notice(f"split      {len(chosen):,} training, {len(held_out):,} validation; copies of a source stay together")
    return _take(pairs, chosen.tolist()), _take(pairs, held_out.tolist())


def _take(pairs: Pairs, rows: Sequence[int]) -> Pairs:
    sources, targets = [pairs.sources[row] for row in rows], [pairs.targets[row] for row in rows]
    return Pairs(sources, targets, pairs.notes, pairs.fingerprint)


def _tokenizers(
    settings: Settings, given: Mapping[str, Any], train: Pairs, start: TranslatorPredictor | None, notice: Notice
) -> tuple[Tokenizer, Tokenizer, Settings]:
    """The tokenizers of the training pairs, or those of the model to start from with what is new in them."""
    if start is not None:
        texts = [*train.sources, *train.targets] if settings.joint else train.targets
        target, settings = starts.grown(start.target_tokenizer, texts, settings, given)
        source = target
        if not settings.joint:
            source, settings = starts.grown(start.source_tokenizer, train.sources, settings, given)
        added = target.size - start.target_tokenizer.size
        notice(f"start      a translator: {start.target_tokenizer.size:,} kinds of target tokens, {added:,} new")
        return source, target, settings

    def make(texts: Sequence[str], level: str | None) -> Tokenizer:
        assert level is not None  # `_settle` has filled it in
        return train_tokenizer(
            level,
            [" " + text.strip() for text in texts] if level == "bpe" else texts,
            min_count=settings.min_count if level != "byte" else None,
            max_size=settings.max_vocabulary if level != "byte" else None,
            lowercase=settings.lowercase,
        )

    if settings.joint:
        both = make([*train.sources, *train.targets], settings.level)
        return both, both, settings
    return make(train.sources, settings.level), make(train.targets, settings.target_level), settings


def _encode(
    source: Tokenizer, target: Tokenizer, pairs: Pairs, settings: Settings, part: str, notice: Notice
) -> tuple[EncodedPairs, Pairs]:
    """The ids of the pairs that are short enough on both sides, and these pairs."""
    ids = EncodedPairs(encode(source, pairs.sources), encode(target, pairs.targets))
    longest = np.maximum(ids.source.lengths, ids.target.lengths) - 1
    kept = np.flatnonzero(longest <= settings.max_length)
    if left := len(pairs) - len(kept):
        notice(f"long       {left:,} {part} pairs have more than {settings.max_length} tokens (--max-length): left out")
    if not len(kept):
        raise DataError(f"no {part} pair has at most {settings.max_length} tokens a side: raise --max-length")
    if not left:
        return ids, pairs
    return EncodedPairs(ids.source.take(kept), ids.target.take(kept)), _take(pairs, kept.tolist())
