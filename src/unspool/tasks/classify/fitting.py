"""Many to one: labelled texts to a trained classifier, its figures and its baseline's.

`prepare` decides everything that can be decided from the texts and says so; `fit` trains, measures and returns.
Neither knows files of runs: `tasks/run.py` does, and the estimator needs none.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unspool import config
from unspool.config import Settings
from unspool.errors import DataError, SettingError, plural, shorten, some
from unspool.models import bow
from unspool.models.classifier import Classifier
from unspool.models.recipes import WORDS, for_start, for_texts, settle
from unspool.models.transfer import graft, named, prefix
from unspool.predictors import ClassifierPredictor, GeneratorPredictor, Predictor
from unspool.predictors.classifier import blended
from unspool.tasks import start as starts
from unspool.tasks.base import Notice
from unspool.tasks.fitting import run, told_recipe, weight_bytes
from unspool.text.batching import padding_share
from unspool.text.duplicates import duplicates, overlap, seen_hashes, text_hashes
from unspool.text.levels import detect_level
from unspool.text.splitting import split
from unspool.text.tokenizers import DEFAULTS, Tokenizer, train_tokenizer
from unspool.text.vectors import vector_table, vector_words
from unspool.text.vocabulary import PADDING
from unspool.text.words import WordTokenizer
from unspool.training import metrics
from unspool.training.callbacks import Callback
from unspool.training.classification import ClassifierData, some_features
from unspool.training.trainer import Trainer, memory_errors

Labels = npt.NDArray[np.int64]

# Small data needs many passes, large data few: see docs/experiments.md, "How many epochs".
SHORT_TEXT = 64  # tokens in the median text
STANDARD_TEXTS = 512  # from which the features of a language model are standardised
TARGET_STEPS, LEAST_EPOCHS, MOST_EPOCHS = 3000, 7, 60


@dataclass(frozen=True)
class Part:
    """Texts with label indices."""

    texts: list[str]
    truth: Labels


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before the first step; `data`, `tokenizer` and `vectors` are None for bow."""

    settings: Settings
    labels: list[str]
    train: Part
    validation: Part
    tokenizer: Tokenizer | None = None
    data: ClassifierData | None = None
    vectors: npt.NDArray[np.float32] | None = None
    start: Predictor | None = None


@dataclass(frozen=True)
class Outcome:
    """A trained predictor and what is known about it; figures as `metrics.report` gives them.

    trained: seconds of training in all sessions, without what goes before and the baseline; of bow, of its fit.
    together: validation accuracy that `--blend 0.5` would have, None for a blend, for bow, and without a baseline.
    """

    predictor: ClassifierPredictor
    validation: dict[str, Any]
    baseline: dict[str, Any]
    epochs: int
    seconds: float
    trained: float
    together: float | None = None

    @property
    def beats_baseline(self) -> bool:
        return bool(self.validation["accuracy"] > self.baseline["accuracy"])


def prepare(
    texts: Sequence[str],
    labels: Sequence[str],
    given: Mapping[str, Any],
    *,
    names: list[str] | None = None,
    validation: tuple[Sequence[str], Sequence[str]] | None = None,
    vectors: Path | None = None,
    start: Predictor | None = None,
    notice: Notice = lambda _: None,
) -> Prepared:
    """Split, tokenise and settle every setting; each decision goes to `notice` in one line.

    texts, labels: the labelled texts, at least two labels. given: the settings the user gave. names: the labels in
    the order wanted, sorted when None. validation: texts and labels to validate on instead of a share of the texts.
    vectors: a GloVe or word2vec text file. start: a classifier or language model to start from.
    """
    given = starts.given_with(given, start, "classify")
    settings = settle(given)
    names = sorted(set(labels)) if names is None else names
    if isinstance(start, ClassifierPredictor):
        names = starts.joined(start.labels, names)
    _tell_labels(texts, labels, names, notice)
    train, held_out = _parts(texts, labels, names, settings, validation, notice)
    _tell_unmeasured(held_out, names, notice)
    settings = _settle_level(settings, given, train.texts, notice)
    if settings.model == "bow":
        return Prepared(settings, names, train, held_out)
    tokenizer, settings = _tokenizer(settings, given, train, held_out, start, notice)
    settings = _for_texts(settings, given, tokenizer, train.texts, len(names), notice)
    if isinstance(start, GeneratorPredictor):
        settings = told_recipe(settings, for_start(settings, given), "a start from a language model", notice)
    if start is not None and vectors is not None:
        raise SettingError("--vectors and --from do not go together: the model to start from has vectors of its own")
    tokenizer, matrix, settings = _vectors(vectors, settings, given, tokenizer, notice)
    settings, data = _encode(settings, tokenizer, train, held_out, notice)
    return Prepared(settings, names, train, held_out, tokenizer, data, matrix, start)


def fit(
    prepared: Prepared,
    *,
    folder: Path | None = None,
    resume: bool = False,
    deadline: float | None = None,
    callbacks: Sequence[Callback] = (),
    baseline: Mapping[str, Any] | None = None,
    notice: Notice = lambda _: None,
) -> Outcome:
    """Fit the baseline, then the network; `folder` is where checkpoints go, `resume` takes up the newest one.

    baseline: its figures on the same two parts where they are known already; a network then leaves it out.
    """
    started = time.monotonic()
    truth, labels = prepared.validation.truth, prepared.labels
    linear, linear_answers, fitted = None, None, 0.0
    if baseline is None or prepared.data is None or prepared.settings.blend:
        linear = _fit_bow(prepared)
        fitted = time.monotonic() - started
        linear_answers = linear.log_probabilities(prepared.validation.texts)
        baseline = metrics.report(linear_answers, truth, labels)
    baseline = dict(baseline)
    notice(f"baseline   bow (linear, TF-IDF n-grams): accuracy {baseline['accuracy']:.4f}")
    seen = seen_hashes(prepared.train.texts)
    if isinstance(prepared.start, ClassifierPredictor):
        seen = np.union1d(seen, prepared.start.seen)
    if prepared.data is None or prepared.tokenizer is None:
        assert linear is not None
        predictor = ClassifierPredictor(labels, prepared.settings, linear, seen=seen)
        return Outcome(predictor, baseline, baseline, 0, time.monotonic() - started, fitted)
    with memory_errors(prepared.settings):
        network = _network(prepared, prepared.vectors)
        _begin(network, prepared)
        predictor = ClassifierPredictor(labels, prepared.settings, network, prepared.tokenizer, _mode(prepared), seen)
        notice(f"model      {prepared.settings.model}, {predictor.parameters():,} parameters")
        if prepared.settings.blend:
            predictor.linear = linear
            notice("blend      epochs show the network alone; the baseline joins its answer at the end")
        trainer = Trainer(
            network, prepared.data, prepared.settings, folder=folder, deadline=deadline, callbacks=callbacks
        )
        progress = run(trainer, resume=resume, notice=notice)
        network.fold()
        answers = predictor.log_probabilities(prepared.validation.texts)
    figures, together = metrics.report(answers, truth, labels), None
    if linear_answers is not None and not prepared.settings.blend:
        both = blended(answers, linear_answers, 0.5)
        together = float((both.argmax(axis=1) == truth).mean())
    seconds = time.monotonic() - started
    return Outcome(predictor, figures, baseline, progress.epoch, seconds, progress.seconds, together)


def untrained(prepared: Prepared, settings: Settings) -> tuple[Classifier, ClassifierData, Settings]:
    """The network as `settings` would have it, its data, and the settings that the loop follows; not for bow."""
    assert prepared.data is not None
    network = _network(replace(prepared, settings=settings), prepared.vectors)
    _begin(network, prepared)
    return network, prepared.data, settings


def network_bytes(prepared: Prepared) -> int:
    """Bytes of the weights that `fit` will train; 0 for bow. No memory is taken for them."""
    if prepared.tokenizer is None:
        return 0
    return weight_bytes(lambda: _network(prepared, vectors=None))


def _tell_labels(texts: Sequence[str], labels: Sequence[str], names: list[str], notice: Notice) -> None:
    counts = Counter(labels)
    shown = ", ".join(f"{shorten(name, 30)} {count:,}" for name, count in counts.most_common(8))
    notice(f"labels     {len(names)}: {shown}{', …' if len(names) > 8 else ''}")
    found = duplicates(texts, labels)
    if found.copies:
        notice(f"copies     {found.copies:,} texts ({found.copies / len(texts):.1%}) stand more than once")
    if found.conflicting:
        notice(f"conflicts  {found.conflicting:,} texts stand with different labels")
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.strip().casefold(), []).append(name)
    for group in [group for group in alike.values() if len(group) > 1][:8]:
        notice(f"alike      {some(map(repr, group))} differ in case or blanks only, and count as different labels")


def _parts(
    texts: Sequence[str],
    labels: Sequence[str],
    names: list[str],
    settings: Settings,
    validation: tuple[Sequence[str], Sequence[str]] | None,
    notice: Notice,
) -> tuple[Part, Part]:
    index = {name: i for i, name in enumerate(names)}
    truth = np.array([index[label] for label in labels], dtype=np.int64)
    if validation is not None:
        return Part(list(texts), truth), _second_file(texts, index, validation, notice)
    chosen, held_out = split(texts, labels, settings.validation, settings.seed)
    if not len(held_out):
        raise DataError(_nothing_to_spare(texts, labels))
    notice(f"split      {len(chosen):,} training, {len(held_out):,} validation; copies of a text stay together")
    return _part(texts, truth, chosen), _part(texts, truth, held_out)


def _second_file(
    texts: Sequence[str], index: Mapping[str, int], validation: tuple[Sequence[str], Sequence[str]], notice: Notice
) -> Part:
    """What can be measured of a file of its own."""
    known = [row for row, label in enumerate(validation[1]) if label in index]
    if not known:
        raise DataError("no label of the validation file stands in the training file")
    if unseen := sorted(set(validation[1]) - set(index)):
        left_out = len(validation[1]) - len(known)
        notice(f"validation {left_out:,} texts have labels never seen in training and are left out: {some(unseen, 8)}")
    if copies := overlap(list(texts), validation[0]):
        notice(f"overlap    {copies:,} validation texts ({copies / len(validation[0]):.1%}) also stand in training")
    other = [validation[0][row] for row in known]
    notice(f"split      {len(texts):,} training, {len(other):,} validation from the second file")
    return Part(other, np.array([index[validation[1][row]] for row in known], dtype=np.int64))


def _tell_unmeasured(held_out: Part, names: list[str], notice: Notice) -> None:
    measured = set(held_out.truth.tolist())
    if absent := [name for index, name in enumerate(names) if index not in measured]:
        notice(f"unmeasured {plural(len(absent), 'label')} without a validation text: {some(absent)}")


def _nothing_to_spare(texts: Sequence[str], labels: Sequence[str]) -> str:
    if len(set(labels)) == len(texts):
        return (
            "no text can be spared for validation, as every text has a label of its own: is that the label? "
            "(--label-column)"
        )
    return "no text can be spared for validation: give more texts, or a file with --validation-data"


def _part(texts: Sequence[str], truth: Labels, rows: Labels) -> Part:
    return Part([texts[row] for row in rows], truth[rows])


def _settle_level(settings: Settings, given: Mapping[str, Any], texts: list[str], notice: Notice) -> Settings:
    level: str | None = settings.level
    if level is None:
        level, reason = detect_level(texts)
        notice(f"level      {level}: {reason} (--level word|token|char|byte|bpe)")
    if settings.model == "bow" and level not in ("word", "char"):
        raise SettingError(f"--level {level} has no effect on the model 'bow': it knows word and char")
    if level == "byte" and (useless := [name for name in ("min_count", "max_vocabulary") if name in given]):
        raise SettingError(f"{config.flag(useless[0])} has no effect at level byte: leave it out")
    usual = DEFAULTS[level]
    filled = {"min_count": usual.min_count, "max_vocabulary": usual.max_size, "lowercase": usual.lowercase}
    missing = {name: value for name, value in filled.items() if getattr(settings, name) is None}
    return settings.model_copy(update={"level": level, **missing})


def _for_texts(
    settings: Settings,
    given: Mapping[str, Any],
    tokenizer: Tokenizer,
    texts: list[str],
    labels: int,
    notice: Notice,
) -> Settings:
    sample = tokenizer.encode_all(texts[:: max(1, len(texts) // 1000)]).lengths
    if settings.level not in WORDS:
        return settings
    short = bool(np.median(sample) <= SHORT_TEXT)
    kind = "short texts" if short else "long texts"
    return told_recipe(settings, for_texts(settings, given, short=short, labels=labels), kind, notice)


def _tokenizer(
    settings: Settings, given: Mapping[str, Any], train: Part, held_out: Part, start: Predictor | None, notice: Notice
) -> tuple[Tokenizer, Settings]:
    """The tokenizer of the training texts, or that of the model to start from with what is new in them."""
    if not isinstance(start, ClassifierPredictor | GeneratorPredictor) or start.tokenizer is None:
        fixed = settings.level == "byte"
        tokenizer = train_tokenizer(
            settings.level or "word",
            train.texts,
            min_count=None if fixed else settings.min_count,
            max_size=None if fixed else settings.max_vocabulary,
            lowercase=settings.lowercase,
        )
        return tokenizer, settings
    tokenizer, settings = starts.grown(start.tokenizer, train.texts, settings, given)
    added = tokenizer.size - start.tokenizer.size
    notice(f"start      a model of the task {start.task}: {start.tokenizer.size:,} kinds of tokens, {added:,} new")
    if isinstance(start, ClassifierPredictor):
        known = int(np.isin(text_hashes(held_out.texts).astype(np.uint32), start.seen).sum())
        if known:
            notice(f"overlap    {known:,} validation texts were trained on by the model to start from: figures flatter")
    return tokenizer, settings


def _vectors(
    path: Path | None, settings: Settings, given: Mapping[str, Any], tokenizer: Tokenizer, notice: Notice
) -> tuple[Tokenizer, npt.NDArray[np.float32] | None, Settings]:
    """The table of vectors, and the tokenizer with their words: a text may later use one that no training text did."""
    if path is None:
        if "vectors_mode" in given:
            raise SettingError("--vectors-mode has no effect without --vectors FILE")
        return tokenizer, None, settings
    if not isinstance(tokenizer, WordTokenizer) or tokenizer.level != "word" or settings.max_vocabulary is None:
        raise SettingError(f"--vectors needs --level word, the texts are read by {tokenizer.level}")
    words, most = tokenizer.vocabulary, settings.max_vocabulary
    tokenizer = WordTokenizer(words.extended(vector_words(path, most), max_size=most), lowercase=tokenizer.lowercase)
    width = settings.embedding if "embedding" in given else None
    rows, found = vector_table(path, tokenizer.vocabulary.ids, tokenizer.size, settings.seed, width, words.size)
    own, added = int(found[: words.size].sum()), tokenizer.size - words.size
    notice(
        f"vectors    {own:,} of {len(words.tokens):,} training words found, {added:,} more of the file added; "
        f"{rows.shape[1]} wide"
    )
    return tokenizer, rows, settings.model_copy(update={"embedding": rows.shape[1]})


def _encode(
    settings: Settings, tokenizer: Tokenizer, train: Part, held_out: Part, notice: Notice
) -> tuple[Settings, ClassifierData]:
    whole = tokenizer.encode_all(train.texts)
    encoded = whole.truncate(settings.max_length, settings.keep)
    validation = tokenizer.encode_all(held_out.texts)
    longer = float((whole.lengths > settings.max_length).mean())
    cut = f"; {longer:.1%} are longer than {settings.max_length} and are cut (--max-length)" if longer else ""
    notice(
        f"tokens     {tokenizer.size:,} kinds; {tokenizer.unknown_rate(validation):.2%} of validation tokens unknown; "
        f"{int(np.median(whole.lengths))} a text{cut}"
    )
    steps = math.ceil(len(encoded) / settings.batch_size)
    epochs = settings.epochs or min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(TARGET_STEPS / steps)))
    settings = settings.model_copy(update={"epochs": epochs})
    validation = validation.truncate(settings.max_length, settings.keep)
    data = ClassifierData(encoded, train.truth, validation, held_out.truth, settings)
    share = padding_share(encoded.lengths, data.order(0))
    notice(
        f"batches    {steps:,} of {settings.batch_size} texts, {share:.1%} padding, at most {plural(epochs, 'epoch')}"
    )
    return settings, data


def _fit_bow(prepared: Prepared) -> bow.Bow:
    settings = prepared.settings
    own = settings.model == "bow"  # as a model it keeps to the minimum count; as a yardstick it may use everything
    return bow.fit(
        prepared.train.texts,
        prepared.train.truth,
        len(prepared.labels),
        min_count=(settings.min_count or 1) if own else 2,
        **bow.reading(settings),
    )


def _network(prepared: Prepared, vectors: npt.NDArray[np.float32] | None) -> Classifier:
    assert prepared.tokenizer is not None
    torch.manual_seed(prepared.settings.seed)
    return Classifier(
        prepared.settings,
        prepared.tokenizer.size,
        len(prepared.labels),
        vectors=vectors,
        vectors_mode=_mode(prepared),
    )


def _begin(network: Classifier, prepared: Prepared) -> None:
    """Give a new network the weights of the model to start from, where there is one."""
    start = prepared.start
    if isinstance(start, GeneratorPredictor):
        kept = prefix(start.tokenizer.size)
        layer = {f"encoder.{name}": value for name, value in start.network.weights().items() if name[:6] == "layer."}
        weights = {"embedding.weight": start.network.embedding.weight.detach()[kept], **layer}
        graft(network, weights, {"embedding.weight": (kept,)})
        with torch.no_grad():
            network.embedding.weight[PADDING] = 0  # where a language model has the start of a document
        assert prepared.data is not None
        network.standardise(some_features(network, prepared.data.train, STANDARD_TEXTS))
    elif isinstance(start, ClassifierPredictor) and isinstance(start.network, Classifier) and start.tokenizer:
        words, labels = prefix(start.tokenizer.size), named(start.labels, prepared.labels)
        places = dict.fromkeys(("embedding.weight", "embedding.frozen_weight"), (words,))
        places |= dict.fromkeys(("output.weight", "output.bias"), (labels,))
        graft(network, start.network.state_dict(), places)


def _mode(prepared: Prepared) -> str:
    if isinstance(prepared.start, ClassifierPredictor):
        return prepared.start.vectors
    return "rand" if prepared.vectors is None else prepared.settings.vectors_mode
