"""Many to one: labelled texts to a trained classifier, its figures and its baseline's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unspool.errors import UsageError, shorten, some
from unspool.predictors import ClassifierPredictor
from unspool.tasks import start as starts
from unspool.tasks.base import Input, Notice, Request
from unspool.tasks.classify import evaluation, fitting
from unspool.tasks.classify.card import make_card, make_readme
from unspool.tasks.classify.fitting import Outcome, Prepared, fit, network_bytes, untrained
from unspool.tasks.classify.show import evaluation_lines, summary, summary_lines
from unspool.text.readers import LabelledTexts, ReadOptions, check_labels, read_labelled
from unspool.text.readers.source import is_folder

__all__ = [
    "Outcome", "Prepared", "answer", "answer_line", "evaluate", "evaluation_lines", "facts", "fit",
    "make_card", "make_readme", "network_bytes", "prepare", "read", "recognises", "summary", "summary_lines",
    "untrained",
]  # fmt: skip


def recognises(paths: Sequence[Path], options: ReadOptions) -> str | None:
    """Any one file may hold labelled texts; its reader says what is wrong with it."""
    if len(paths) != 1 or options.format == "text":
        return None
    return "a folder, each file or sub-folder in it a label" if is_folder(paths[0]) else "one label for each text"


def read(request: Request) -> Input[LabelledTexts]:
    """Labelled texts with at least two labels."""
    data = read_labelled(_one(request.paths), request.read)
    check_labels(data.labels, request.data.name, folder=is_folder(request.data))
    return Input(data, read_labelled(request.validation, request.read) if request.validation else None)


def prepare(found: Input[LabelledTexts], request: Request, notice: Notice) -> Prepared:
    """See `fitting.prepare`."""
    other = found.validation
    return fitting.prepare(
        found.data.texts,
        found.data.labels,
        request.given,
        validation=(other.texts, other.labels) if other else None,
        vectors=request.vectors,
        start=starts.load(request.start, "classify") if request.start else None,
        notice=notice,
    )


def facts(prepared: Prepared) -> dict[str, Any]:
    """The labels."""
    return {"labels": prepared.labels}


def evaluate(
    predictor: ClassifierPredictor, paths: Sequence[Path], options: ReadOptions, notice: Notice
) -> dict[str, Any]:
    """Every figure of a model on labelled texts."""
    texts = read_labelled(_one(paths), options)
    for line in texts.notes:
        notice(f"read       {line}")
    if texts.labels and not set(texts.labels) & set(predictor.labels):
        known = some(map(repr, predictor.labels))
        notice(f"note       no label is one that the model knows ({known}): is it another column? (--label-column)")
    return evaluation.evaluate(predictor, texts.texts, texts.labels)


def answer(predictor: ClassifierPredictor, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """label, its probability, and the probabilities of all labels."""
    for row in np.exp(predictor.log_probabilities(texts)):
        shares = {label: round(float(share), 6) for label, share in zip(predictor.labels, row, strict=True)}
        label = predictor.labels[int(row.argmax())]
        yield {"label": label, "probability": shares[label], "probabilities": shares}


def answer_line(answer: dict[str, Any]) -> str:
    """Label, tab, probability."""
    return f"{answer['label']}\t{answer['probability']:.4f}"


def _one(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        raise UsageError(f"labelled texts come as one file or folder; {shorten(paths[1], 300)} is one too many")
    return paths[0]
