"""A tagger's figures, for `--json`, for people, and for its model folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unspool.errors import plural, shorten
from unspool.tasks.card import card
from unspool.tasks.tag.fitting import Outcome, Prepared


def make_card(name: str, fingerprint: str | None, prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Data, figures and versions as plain JSON values; file names without their folders."""
    parts = {"training": prepared.train, "validation": prepared.validation}
    counts = {
        "tags": prepared.labels,
        "scheme": prepared.scheme,
        **{part: len(sentences.tokens) for part, sentences in parts.items()},
        "tokens": sum(len(tokens) for sentences in parts.values() for tokens in sentences.tokens),
    }
    return card(name, fingerprint, counts, outcome) | {"baseline": outcome.baseline}


def make_readme(name: str, told: dict[str, Any]) -> str:
    """The model card for people, in Markdown."""
    data, figures = told["data"], told["validation"]
    return f"""# {shorten(name, 60)}

A tagger trained with unspool {told["versions"]["unspool"]}: one tag for each token.

- data: `{shorten(data["name"], 60)}`, {data["tokens"]:,} tokens, {len(data["tags"])} tags
- validation: {_short(figures)}, on {figures["sentences"]:,} sentences held out from training
- each word's commonest tag on the same sentences: {_short(told["baseline"])}
- {told["parameters"]:,} parameters, {plural(told["epochs"], "epoch")}, {told["seconds"]} s

The validation sentences chose the epoch whose weights are kept, so the figure is a little optimistic; measure on
sentences of your own with `unspool evaluate`.
"""


def summary(outcome: Outcome) -> dict[str, Any]:
    """The network's figures, the yardstick's, and whether the network is better."""
    return {
        "validation": outcome.validation,
        "baseline": outcome.baseline,
        "better_than_baseline": outcome.beats_baseline,
    }


def summary_lines(outcome: Outcome) -> Iterator[str]:
    """The same in one line each."""
    for name, figures in (("validation", outcome.validation), ("baseline", outcome.baseline)):
        yield f"{name:10} {_short(figures)}  {figures['tokens']:,} tokens in {figures['sentences']:,} sentences"
    if not outcome.beats_baseline:
        yield "note       the network is not better than each word's commonest tag here"


def evaluation_lines(figures: dict[str, Any], most: int = 50) -> Iterator[str]:
    """All of `evaluate`'s figures: in all, what could make them misleading, and for each type."""
    low, high = figures["accuracy_interval"]
    if figures["span_f1"] is not None:
        yield f"span F1            {figures['span_f1']:.4f}  (exact spans, as conlleval counts)"
        yield f"precision, recall  {figures['span_precision']:.4f}, {figures['span_recall']:.4f}"
    yield f"accuracy           {figures['accuracy']:.4f}  (95 % interval {low:.4f}–{high:.4f}, tokens)"
    yield f"whole sentences    {figures['sentence_accuracy']:.4f}"
    yield f"tokens             {figures['tokens']:,} in {figures['sentences']:,} sentences"
    yield from _warnings(figures)
    yield "type                     F1  precision  recall   examples   answered"
    for kind, row in list(figures["per_type"].items())[:most]:
        yield (
            f"{shorten(kind, 20):20} {row['f1']:6.4f}  {row['precision']:9.4f}  {row['recall']:6.4f} "
            f"{row['examples']:10,} {row['answered']:10,}"
        )
    if len(figures["per_type"]) > most:
        yield f"{len(figures['per_type']) - most:,} more types: see --json"


def _warnings(figures: dict[str, Any], most: int = 10) -> Iterator[str]:
    """What could make the figures misleading."""
    if figures["seen_in_training"]:
        share = figures["seen_in_training"] / figures["sentences"]
        yield f"seen in training   {figures['seen_in_training']:,} sentences ({share:.1%}): the figures flatter"
    if figures["broken"]:
        yield f"broken             {figures['broken']:,} sentences break the rules of their tags"
    if figures["unknown_rate"]:
        yield f"unknown words      {figures['unknown_rate']:.2%}"
    unseen = figures["unseen_tags"]
    for tag, count in list(unseen.items())[:most]:
        yield f"unseen tag         {shorten(tag)!r}: {count:,} tokens, all counted as wrong"
    if len(unseen) > most:
        yield f"unseen tag         {len(unseen) - most:,} more, all counted as wrong: see --json"


def _short(figures: dict[str, Any]) -> str:
    low, high = figures["accuracy_interval"]
    spans = "" if figures["span_f1"] is None else f"span F1 {figures['span_f1']:.4f}  "
    return f"{spans}accuracy {figures['accuracy']:.4f} ({low:.4f}–{high:.4f})"
