"""Many to many: tagged sentences to a trained tagger, its figures and its yardstick's.

`prepare` decides everything that can be decided from the sentences and says so; `fit` trains, measures and returns.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unspool.config import Settings
from unspool.errors import DataError, SettingError, plural, shorten, some
from unspool.models.lookup import Lookup
from unspool.models.recipes import settle
from unspool.models.tagger import Tagger
from unspool.models.transfer import graft, named, prefix
from unspool.predictors import Predictor, TaggerPredictor
from unspool.predictors.tagger import MOST_TAGS, restrict
from unspool.tasks import start as starts
from unspool.tasks.base import Notice
from unspool.tasks.fitting import run, weight_bytes
from unspool.text.batching import padding_share
from unspool.text.duplicates import overlap, seen_hashes
from unspool.text.forms import FormEncoder
from unspool.text.spans import Scheme, convert, detect_scheme, first_break, in_scheme
from unspool.text.splitting import split
from unspool.text.vectors import vector_table, vector_words
from unspool.training import tagging_metrics
from unspool.training.callbacks import Callback
from unspool.training.tagging import Encoded, TaggerData, Tags
from unspool.training.trainer import Trainer, memory_errors

TARGET_STEPS, LEAST_EPOCHS, MOST_EPOCHS = 4000, 10, 40
MIN_COUNT, MAX_VOCABULARY = 2, 50_000


class Sentences(NamedTuple):
    """Tokens and tags, as the data writes them: a list each for every sentence."""

    tokens: Sequence[Sequence[str]]
    tags: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before the first step. labels: the tags in the scheme that is learned; scheme: that of
    the data."""

    settings: Settings
    labels: list[str]
    scheme: Scheme | None
    train: Sentences
    validation: Sentences
    encoder: FormEncoder
    data: TaggerData
    vectors: npt.NDArray[np.float32] | None = None
    start: TaggerPredictor | None = None


@dataclass(frozen=True)
class Outcome:
    """A trained predictor and what is known about it; figures as `tagging_metrics.report` gives them."""

    predictor: TaggerPredictor
    validation: dict[str, Any]
    baseline: dict[str, Any]
    epochs: int
    seconds: float

    @property
    def beats_baseline(self) -> bool:
        return main_figure(self.validation) > main_figure(self.baseline)


def main_figure(figures: Mapping[str, Any]) -> float:
    """What decides: span F1 where there are spans, else the accuracy."""
    return float(figures["accuracy"] if figures["span_f1"] is None else figures["span_f1"])


def prepare(
    sentences: Sentences,
    given: Mapping[str, Any],
    *,
    validation: Sentences | None = None,
    vectors: Path | None = None,
    start: Predictor | None = None,
    notice: Notice = lambda _: None,
) -> Prepared:
    """Split, encode and settle every setting; each decision goes to `notice` in one line.

    given: the settings the user gave. validation: sentences to validate on instead of a share. vectors: a GloVe or
    word2vec text file, whose words join the vocabulary. start: a tagger to go on from.
    """
    given = starts.given_with(given, start, "tag")
    settings = settle(given)
    begun = start if isinstance(start, TaggerPredictor) else None
    kinds = Counter(tag for tags in sentences.tags for tag in tags)
    scheme = detect_scheme(kinds)
    if begun is not None and (begun.scheme is None) != (scheme is None):
        raise DataError("the model to start from and these tags disagree: one has spans (O, B-X, I-X), one has not")
    settings = _settle(settings, given, scheme)
    _tell_tags(sentences, kinds, scheme, settings, notice)
    if validation is not None and scheme is not None:
        validation = Sentences(validation.tokens, in_scheme(validation.tags, scheme)[1])
    train, held_out = _parts(sentences, validation, settings, notice)
    if long := sum(len(tokens) > settings.max_length for tokens in train.tokens):
        notice(
            f"long       {long:,} sentences to learn have more than {settings.max_length} tokens (--max-length): cut"
        )
    learned = _cut(train, settings.max_length, settings.scheme)
    labels = _labels(learned, begun)
    encoder = _train_encoder(learned, settings)
    if begun is not None:
        if vectors is not None:
            raise SettingError("--vectors and --from do not go together: the model to start from has its own vectors")
        encoder, settings = _joined(begun, encoder, settings, given, notice)
    encoder, matrix, settings = _vectors(vectors, settings, given, encoder, notice)
    settings, data = _encode(settings, scheme, encoder, labels, learned, held_out, notice)
    return Prepared(settings, labels, scheme, train, held_out, encoder, data, matrix, begun)


def fit(
    prepared: Prepared,
    *,
    folder: Path | None = None,
    resume: bool = False,
    deadline: float | None = None,
    callbacks: Sequence[Callback] = (),
    notice: Notice = lambda _: None,
) -> Outcome:
    """Make the yardstick, then train the network; `folder` is where checkpoints go, `resume` takes up the newest."""
    started = time.monotonic()
    held_out, spans = prepared.validation, prepared.scheme is not None
    answers = Lookup(*prepared.train).tag(held_out.tokens)
    baseline = tagging_metrics.report(held_out.tags, answers, spans=spans)
    notice(f"baseline   lookup (each word its commonest tag): {_shown(baseline)}")
    with memory_errors(prepared.settings):
        network = _network(prepared, prepared.vectors)
        _begin(network, prepared)
        predictor = TaggerPredictor(
            prepared.labels,
            prepared.scheme,
            prepared.settings,
            network,
            prepared.encoder,
            _mode(prepared),
            _seen(prepared),
        )
        notice(f"model      {prepared.settings.model}, {predictor.parameters():,} parameters")
        trainer = Trainer(
            network, prepared.data, prepared.settings, folder=folder, deadline=deadline, callbacks=callbacks
        )
        progress = run(trainer, resume=resume, notice=notice)
        figures = tagging_metrics.report(held_out.tags, predictor.tag(held_out.tokens), spans=spans)
    return Outcome(predictor, figures, baseline, progress.epoch, time.monotonic() - started)


def untrained(prepared: Prepared, settings: Settings) -> tuple[Tagger, TaggerData, Settings]:
    """The network as `settings` would have it, its data, and the settings that the loop follows."""
    network = _network(replace(prepared, settings=settings), prepared.vectors)
    _begin(network, prepared)
    return network, prepared.data, settings


def network_bytes(prepared: Prepared) -> int:
    """Bytes of the weights that `fit` will train. No memory is taken for them."""
    return weight_bytes(lambda: _network(prepared, vectors=None))


def _shown(figures: Mapping[str, Any]) -> str:
    spans = "" if figures["span_f1"] is None else f"span F1 {figures['span_f1']:.4f}, "
    return f"{spans}accuracy {figures['accuracy']:.4f}"


def _settle(settings: Settings, given: Mapping[str, Any], scheme: Scheme | None) -> Settings:
    """What depends on the tags: the output layer, the scheme; and the usual vocabulary."""
    if scheme is None and "scheme" in given:
        raise SettingError("--scheme has no effect: the tags are not of spans (O, B-X, I-X)")
    usual = {
        "output": "softmax" if scheme is None else "crf",
        "scheme": scheme,
        "min_count": MIN_COUNT,
        "max_vocabulary": MAX_VOCABULARY,
        "lowercase": True,
    }
    chosen = {name: value for name, value in usual.items() if getattr(settings, name) is None}
    if scheme is None:
        chosen["scheme"] = None  # a recipe's scheme is for spans
    return settings.model_copy(update=chosen)


def _tell_tags(
    sentences: Sentences, kinds: Counter[str], scheme: Scheme | None, settings: Settings, notice: Notice
) -> None:
    shown = ", ".join(f"{shorten(tag, 30)} {count:,}" for tag, count in kinds.most_common(8))
    notice(f"tags       {len(kinds)}: {shown}{', …' if len(kinds) > 8 else ''}")
    if scheme is None:
        if {tag[:2] for tag in kinds} & {"U-", "L-"} and "O" in kinds:  # BILOU
            notice("spans      U- and L- are tags like others here: written as S- and E- (BIOES) they would make spans")
        return
    learned = "" if settings.scheme == scheme else f", learned as {str(settings.scheme).upper()} (--scheme)"
    notice(f"spans      written in {scheme.upper()}{learned}; output {settings.output} (--output)")
    broken = [row for row, tags in enumerate(sentences.tags) if first_break(tags, scheme) is not None]
    if broken:
        place = first_break(sentences.tags[broken[0]], scheme) or 0
        notice(
            f"broken     {len(broken):,} sentences break the rules of {scheme.upper()} and are mended, the first is "
            f"sentence {broken[0] + 1:,} at its token {place + 1}"
        )


def _parts(
    sentences: Sentences, validation: Sentences | None, settings: Settings, notice: Notice
) -> tuple[Sentences, Sentences]:
    texts = [" ".join(tokens) for tokens in sentences.tokens]
    if validation is None:
        chosen, held_out = split(texts, [""] * len(texts), settings.validation, settings.seed)
        if not len(held_out):
            raise DataError("no sentence can be spared for validation: give more, or a file with --validation-data")
        notice(f"split      {len(chosen):,} training, {len(held_out):,} validation sentences; copies stay together")
        return _take(sentences, chosen.tolist()), _take(sentences, held_out.tolist())
    known = {tag for tags in sentences.tags for tag in tags}
    unseen = Counter(tag for tags in validation.tags for tag in tags if tag not in known)
    if unseen:
        shown = some(unseen, 8)
        notice(f"validation {unseen.total():,} tokens have tags never seen in training and count as wrong: {shown}")
    other = [" ".join(tokens) for tokens in validation.tokens]
    if copies := overlap(texts, other):
        notice(f"overlap    {copies:,} validation sentences ({copies / len(other):.1%}) also stand in training")
    notice(f"split      {len(texts):,} training, {len(other):,} validation sentences from the second file")
    return sentences, validation


def _take(sentences: Sentences, rows: Sequence[int]) -> Sentences:
    return Sentences([sentences.tokens[row] for row in rows], [sentences.tags[row] for row in rows])


def _cut(sentences: Sentences, most: int, scheme: Scheme | None) -> Sentences:
    """Sentences of at most `most` tokens, tags as they are learned; a span that is cut becomes two."""
    tokens: list[Sequence[str]] = []
    tags: list[Sequence[str]] = []
    for words, marks in zip(*sentences, strict=True):
        for start in range(0, len(words), most):
            tokens.append(words[start : start + most])
            part = marks[start : start + most]
            tags.append(convert(part, scheme) if scheme else part)
    return Sentences(tokens, tags)


def _labels(learned: Sentences, start: TaggerPredictor | None) -> list[str]:
    """The tags to learn, behind those of the model to start from."""
    labels = starts.joined(start.labels if start else (), sorted({tag for tags in learned.tags for tag in tags}))
    if not 2 <= len(labels) <= MOST_TAGS:
        raise DataError(
            f"the training part has {len(labels):,} different tags, expected 2 to {MOST_TAGS:,}: say which column is "
            "the tag with --label-column"
        )
    return labels


def _train_encoder(learned: Sentences, settings: Settings) -> FormEncoder:
    return FormEncoder.train(
        learned.tokens,
        characters=settings.characters != "none",
        min_count=settings.min_count or MIN_COUNT,
        max_size=settings.max_vocabulary,
        lowercase=bool(settings.lowercase),
    )


def _vectors(
    path: Path | None, settings: Settings, given: Mapping[str, Any], encoder: FormEncoder, notice: Notice
) -> tuple[FormEncoder, npt.NDArray[np.float32] | None, Settings]:
    """The encoder with the words of the vectors behind its own, a row for each word, and the settings as wide."""
    if path is None:
        if "vectors_mode" in given:
            raise SettingError("--vectors-mode has no effect without --vectors FILE")
        return encoder, None, settings
    trained, most = encoder.words.size, settings.max_vocabulary
    encoder = encoder.extended(vector_words(path, most or MAX_VOCABULARY), max_size=most)
    width = settings.embedding if "embedding" in given else None
    rows, found = vector_table(path, encoder.words.ids, encoder.words.size, settings.seed, width, trained)
    count = len(encoder.words.tokens)
    notice(f"vectors    {int(found.sum()):,} of {count:,} words have one, {rows.shape[1]} wide")
    return encoder, rows, settings.model_copy(update={"embedding": rows.shape[1]})


def _encode(
    settings: Settings,
    scheme: Scheme | None,
    encoder: FormEncoder,
    labels: list[str],
    learned: Sentences,
    held_out: Sentences,
    notice: Notice,
) -> tuple[Settings, TaggerData]:
    train = _encoded(encoder, learned, labels)
    validation = _encoded(encoder, _cut(held_out, settings.max_length, settings.scheme), labels)
    unknown = encoder.unknown_rate(validation.rows, validation.forms)
    letters = f", {encoder.characters.size:,} characters" if encoder.characters else ""
    notice(f"words      {encoder.words.size:,}{letters}; {unknown:.2%} of validation words unknown")
    steps = math.ceil(len(train.rows) / settings.batch_size)
    epochs = settings.epochs or min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(TARGET_STEPS / steps)))
    settings = settings.model_copy(update={"epochs": epochs})
    data = TaggerData(train, validation, settings, _scorer(validation, held_out, labels, scheme))
    share = padding_share(train.rows.lengths, data.order(0))
    notice(
        f"batches    {steps:,} of {settings.batch_size} sentences, {share:.1%} padding, at most "
        f"{plural(epochs, 'epoch')}"
    )
    return settings, data


def _encoded(encoder: FormEncoder, sentences: Sentences, labels: list[str]) -> Encoded:
    rows, forms = encoder.encode(sentences.tokens)
    index = {tag: number for number, tag in enumerate(labels)}
    flat = (index.get(tag, -1) for tags in sentences.tags for tag in tags)
    return Encoded(rows, forms, np.fromiter(flat, np.int64, rows.ids.size))


def _scorer(
    validation: Encoded, held_out: Sentences, labels: list[str], scheme: Scheme | None
) -> Callable[[Tags], Mapping[str, float]]:
    """The figures of flat answers, as `predictor.tag` would be measured: mended, whole sentences, the data's tags."""
    ends = np.cumsum([len(tags) for tags in held_out.tags]).tolist()

    def score(answers: Tags) -> Mapping[str, float]:
        if scheme is None:
            accuracy = float((answers == validation.tags).mean())
            return {"accuracy": accuracy, "score": accuracy}
        names = [labels[answer] for answer in answers.tolist()]
        found = [convert(names[start:end], scheme) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        f1, accuracy = tagging_metrics.span_f1(held_out.tags, found), tagging_metrics.accuracy(held_out.tags, found)
        return {"span_f1": f1, "accuracy": accuracy, "score": f1 + 1e-3 * accuracy}

    return score


def _network(prepared: Prepared, vectors: npt.NDArray[np.float32] | None) -> Tagger:
    torch.manual_seed(prepared.settings.seed)
    encoder = prepared.encoder
    network = Tagger(
        prepared.settings,
        encoder.words.size,
        encoder.characters.size if encoder.characters else 0,
        len(prepared.labels),
        vectors=vectors,
        vectors_mode=_mode(prepared),
    )
    restrict(network, prepared.labels, prepared.settings)
    return network


def _joined(
    start: TaggerPredictor, found: FormEncoder, settings: Settings, given: Mapping[str, Any], notice: Notice
) -> tuple[FormEncoder, Settings]:
    """The encoder of the model to start from with what is new among the words and characters found."""
    own = start.encoder.words.size
    most = (settings.max_vocabulary or MAX_VOCABULARY) + (0 if "max_vocabulary" in given else own)
    if most < own:
        raise SettingError(f"--max-vocabulary is {most}: the model to start from has {own:,} words already")
    encoder = start.encoder.joined(found, max_size=most)
    notice(f"start      a tagger of {own:,} words, {encoder.words.size - own:,} new; {len(start.labels)} tags")
    return encoder, settings.model_copy(update={"max_vocabulary": most})


def _begin(network: Tagger, prepared: Prepared) -> None:
    """Give a new network the weights of the tagger to start from, where there is one."""
    start = prepared.start
    if start is None:
        return
    words, tags = (prefix(start.encoder.words.size),), named(start.labels, prepared.labels)
    places: dict[str, tuple[torch.Tensor, ...]] = {"embedding.weight": words, "embedding.frozen_weight": words}
    places |= dict.fromkeys(("output.weight", "output.bias", "crf.start", "crf.end"), (tags,))
    places["crf.transitions"] = (tags, tags)
    if start.encoder.characters is not None:
        places["speller.embedding.weight"] = (prefix(start.encoder.characters.size),)
    graft(network, start.network.state_dict(), places)


def _seen(prepared: Prepared) -> npt.NDArray[np.uint32]:
    """Hashes of the training sentences, those of the start among them."""
    own = seen_hashes([" ".join(tokens) for tokens in prepared.train.tokens])
    return own if prepared.start is None else np.union1d(own, prepared.start.seen)


def _mode(prepared: Prepared) -> str:
    if prepared.start is not None:
        return prepared.start.vectors
    return "rand" if prepared.vectors is None else prepared.settings.vectors_mode
