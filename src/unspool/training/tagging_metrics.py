"""Figures of a tagger: tokens by accuracy, spans by exact match as in the CoNLL shared tasks (`conlleval`).

They are computed from lists of tags, one a sentence; there is no padding in them that could be counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from unspool.text.spans import find_spans
from unspool.training.metrics import accuracy_interval

Tagged = Sequence[Sequence[str]]


def accuracy(truth: Tagged, answers: Tagged) -> float:
    """Share of the tokens whose tag is right; 0 without tokens."""
    right = _right(truth, answers)
    return float(right.mean()) if right.size else 0.0


def span_counts(truth: Tagged, answers: Tagged) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Spans of each type: hits (same tokens, same type), true ones, answered ones."""
    hits, true, answered = Counter[str](), Counter[str](), Counter[str]()
    for wanted, found in zip(truth, answers, strict=True):
        real, given = find_spans(wanted), find_spans(found)
        true.update(span.kind for span in real)
        answered.update(span.kind for span in given)
        hits.update(span.kind for span in set(real) & set(given))
    return hits, true, answered


def span_f1(truth: Tagged, answers: Tagged) -> float:
    """2·hits / (true + answered) over all spans; 0 when there are none."""
    hits, true, answered = span_counts(truth, answers)
    return float(_row(hits.total(), true.total(), answered.total())["f1"])


def report(truth: Tagged, answers: Tagged, *, spans: bool) -> dict[str, Any]:
    """All figures of one evaluation.

    per_type is over the types of the spans, or over the tags where they are no spans; the span figures are None then.
    """
    right = _right(truth, answers)
    low, high = accuracy_interval(right)
    whole = [list(wanted) == list(found) for wanted, found in zip(truth, answers, strict=True)]
    hits, true, answered = span_counts(truth, answers) if spans else _tag_counts(truth, answers)
    total = _row(hits.total(), true.total(), answered.total())
    return {
        "accuracy": float(right.mean()) if right.size else 0.0,
        "accuracy_interval": [low, high],
        "span_f1": total["f1"] if spans else None,
        "span_precision": total["precision"] if spans else None,
        "span_recall": total["recall"] if spans else None,
        "sentence_accuracy": float(np.mean(whole)) if whole else 0.0,
        "tokens": int(right.size),
        "sentences": len(whole),
        "per_type": {kind: _row(hits[kind], true[kind], answered[kind]) for kind in sorted({*true, *answered})},
    }


def _right(truth: Tagged, answers: Tagged) -> Any:
    pairs = (pair for rows in zip(truth, answers, strict=True) for pair in zip(*rows, strict=True))
    return np.fromiter((wanted == found for wanted, found in pairs), np.bool_)


def _tag_counts(truth: Tagged, answers: Tagged) -> tuple[Counter[str], Counter[str], Counter[str]]:
    hits, true, answered = Counter[str](), Counter[str](), Counter[str]()
    for wanted, found in zip(truth, answers, strict=True):
        true.update(wanted)
        answered.update(found)
        hits.update(tag for tag, other in zip(wanted, found, strict=True) if tag == other)
    return hits, true, answered


def _row(hits: int, true: int, answered: int) -> dict[str, Any]:
    return {
        "precision": hits / max(1, answered),
        "recall": hits / max(1, true),
        "f1": 2 * hits / max(1, true + answered),
        "examples": true,
        "answered": answered,
    }
