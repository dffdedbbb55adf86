"""A classifier's figures, for `--json` and for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unspool.errors import shorten
from unspool.tasks.classify.fitting import Outcome


def summary(outcome: Outcome) -> dict[str, Any]:
    """The network's figures, the baseline's, whether the network is better, and the accuracy of both together."""
    return {
        "validation": outcome.validation,
        "baseline": outcome.baseline,
        "better_than_baseline": outcome.beats_baseline,
        "together": outcome.together,
    }


def summary_lines(outcome: Outcome) -> Iterator[str]:
    """The same in one line each."""
    both = (("validation", outcome.validation), ("baseline", outcome.baseline))
    for name, figures in both if outcome.epochs else both[:1]:  # bow is its own baseline
        low, high = figures["accuracy_interval"]
        yield (
            f"{name:10} accuracy {figures['accuracy']:.4f} ({low:.4f}–{high:.4f})  macro F1 {figures['macro_f1']:.4f}  "
            f"log loss {figures['log_loss']:.4f}  {figures['examples']:,} texts"
        )
    if outcome.epochs and not outcome.beats_baseline:
        yield "note       the network is not better than the linear baseline here (--model bow trains that one)"
    best = max(outcome.validation["accuracy"], outcome.baseline["accuracy"])
    if outcome.together is not None and outcome.together > best:
        yield f"note       together they have accuracy {outcome.together:.4f}: --blend 0.5 makes that the model"


def evaluation_lines(figures: dict[str, Any]) -> Iterator[str]:
    """All of `evaluate`'s figures: in all, what could make them misleading, for each label, and the confusion."""
    low, high = figures["accuracy_interval"]
    yield f"accuracy           {figures['accuracy']:.4f}  (95 % interval {low:.4f}–{high:.4f})"
    yield f"macro F1           {figures['macro_f1']:.4f}"
    if figures["log_loss"] is not None:
        without = "  (without the unseen labels)" if figures["unseen_labels"] else ""
        yield f"log loss           {figures['log_loss']:.4f} nats{without}"
        yield f"calibration error  {figures['calibration_error']:.4f}{without}"
    yield f"examples           {figures['examples']:,}"
    yield from _warnings(figures)
    yield from _classes(figures["per_class"])
    yield from _confusion(figures["confusion"])


def _warnings(figures: dict[str, Any], most: int = 10) -> Iterator[str]:
    """What could make the figures misleading."""
    if figures["seen_in_training"]:
        share = figures["seen_in_training"] / figures["examples"]
        yield f"seen in training   {figures['seen_in_training']:,} of these texts ({share:.1%}): the figures flatter"
    if figures["copies"]:
        yield f"copies             {figures['copies']:,} texts stand more than once"
    if figures["conflicting"]:
        yield f"conflicts          {figures['conflicting']:,} texts stand with different labels"
    if figures["unknown_rate"]:
        yield f"unknown tokens     {figures['unknown_rate']:.2%}"
    unseen = figures["unseen_labels"]
    for label, count in list(unseen.items())[:most]:
        yield f"unseen label       {shorten(label)!r}: {count:,} texts, all counted as wrong"
    if len(unseen) > most:
        yield f"unseen label       {len(unseen) - most:,} more, all counted as wrong: see --json"


def _classes(per_class: dict[str, dict[str, Any]], most: int = 50) -> Iterator[str]:
    yield "label                    F1   examples   answered"
    for label, row in list(per_class.items())[:most]:
        yield f"{shorten(label, 20):20} {row['f1']:6.4f} {row['examples']:10,} {row['answered']:10,}"
    if len(per_class) > most:
        yield f"{len(per_class) - most:,} more labels: see --json"


def _confusion(confusion: dict[str, Any], most: int = 12) -> Iterator[str]:
    labels = [shorten(label, 10) for label in confusion["labels"]]
    if len(labels) > most:
        yield f"confusion          {len(labels)} labels: see --json"
        return
    yield "confusion (rows: truth, columns: answer)"
    yield " " * 11 + "".join(f"{label:>11}" for label in labels[: len(confusion["answers"])])
    for label, row in zip(labels, confusion["counts"], strict=True):
        yield f"{label:11}" + "".join(f"{count:11,}" for count in row)
