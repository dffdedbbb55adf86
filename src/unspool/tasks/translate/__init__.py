"""Sequence to sequence: pairs of sentences to a trained translator and its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unspool.errors import UsageError, shorten
from unspool.predictors.translator import TranslatorPredictor
from unspool.tasks import start as starts
from unspool.tasks.base import Input, Notice, Request
from unspool.tasks.translate import evaluation, fitting
from unspool.tasks.translate.card import make_card, make_readme
from unspool.tasks.translate.evaluation import evaluation_lines
from unspool.tasks.translate.fitting import Outcome, Prepared, fit, network_bytes, untrained
from unspool.text.readers import Pairs, ReadOptions, looks_paired, read_pairs, table_kind

__all__ = [
    "Outcome", "Prepared", "answer", "answer_line", "evaluate", "evaluation_lines", "facts", "fit",
    "make_card", "make_readme", "network_bytes", "prepare", "read", "recognises", "summary", "summary_lines",
    "untrained",
]  # fmt: skip


def recognises(paths: Sequence[Path], options: ReadOptions) -> str | None:
    """Two files whose names differ in a language alone, a zip of pairs, or a table that names its two sides."""
    if len(paths) == 2 and options.format in (None, "text") and _difference(paths[0].name, paths[1].name):
        return "two files with one sentence a line"
    return "pairs of texts" if len(paths) == 1 and looks_paired(paths[0], options) else None


def read(request: Request) -> Input[Pairs]:
    """Pairs; to validate on two aligned files the source is given, and the target is found beside it. A table is
    enough by itself."""
    if request.vectors is not None:
        raise UsageError("--vectors has no effect on the task 'translate': leave it out")
    pairs = read_pairs(request.paths, request.read)
    if request.validation is None:
        return Input(pairs, None)
    files = [request.validation]
    if len(request.paths) == 2 and table_kind(request.validation, request.read) in (None, "text"):
        files.append(partner(request.validation, *request.paths))
    return Input(pairs, read_pairs(files, request.read))


def prepare(found: Input[Pairs], request: Request, notice: Notice) -> Prepared:
    """See `fitting.prepare`."""
    start = starts.load(request.start, "translate") if request.start else None
    return fitting.prepare(found.data, request.given, found.validation, notice, start)


def facts(_prepared: Prepared) -> dict[str, Any]:
    """Nothing besides data, settings and versions."""
    return {}


def summary(outcome: Outcome) -> dict[str, Any]:
    """The figures on the validation pairs."""
    return {"validation": outcome.validation}


def summary_lines(outcome: Outcome) -> Iterator[str]:
    """The same in one line."""
    figures = outcome.validation
    yield (
        f"validation BLEU {figures['bleu']:.2f}  chrF {figures['chrf']:.2f}  "
        f"token accuracy {figures['token_accuracy']:.4f}  {figures['examples']:,} pairs, {figures['beams']} beams"
    )


def evaluate(
    predictor: TranslatorPredictor, paths: Sequence[Path], options: ReadOptions, notice: Notice
) -> dict[str, Any]:
    """Every figure of a model on pairs."""
    pairs = read_pairs(paths, options)
    for line in pairs.notes:
        notice(f"read       {line}")
    if cut := predictor.count_long(pairs.sources):
        notice(f"cut        {cut:,} of {len(pairs):,} sources are longer than {predictor.settings.max_length} tokens")
    return evaluation.measure(predictor, pairs.sources, pairs.targets)


def answer(predictor: TranslatorPredictor, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """text: the best translation; log_probability: its natural logarithm; score: per token, about."""
    for found in predictor.translate(texts):
        yield {"text": found[0].text, "log_probability": found[0].log_probability, "score": found[0].score}


def answer_line(answer: dict[str, Any]) -> str:
    """The translation; empty for an empty text."""
    return str(answer["text"])


def partner(path: Path, source: Path, target: Path) -> Path:
    """The target file beside `path`, named as `target` is beside `source`: val.en → val.de, each packed or not."""
    difference = _difference(source.name, target.name)
    if difference:
        own, other = difference
        plain = path.name.removesuffix(".gz")
        beside = [path.with_name(plain.removesuffix(own) + other + end) for end in ("", ".gz")]
        if plain.endswith(own) and (found := [one for one in beside if one.exists()]):
            return found[0]
    raise UsageError(
        f"no target file was found beside {shorten(path, 200)}: name the validation files as {shorten(source.name)} "
        f"and {shorten(target.name)} are named, or validate on a share of the pairs"
    )


def _difference(first: str, second: str) -> tuple[str, str] | None:
    """(.en, .de) of train.en.gz and train.de: the suffixes that differ in names otherwise alike; else None."""
    left, right = (name.removesuffix(".gz").split(".") for name in (first, second))
    if len(left) < 2 or left[:-1] != right[:-1] or left[-1] == right[-1]:
        return None
    return f".{left[-1]}", f".{right[-1]}"
