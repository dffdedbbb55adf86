"""`unspool evaluate MODEL DATA`: every figure of a model on labelled texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unspool.cli.options import ReadFlags
from unspool.cli.output import note, result, result_json
from unspool.errors import shorten


def evaluate(model: Path, data: str, *, json: bool = False, read: ReadFlags | None = None) -> None:
    """Measure a model on labelled texts.

    Parameters
    ----------
    model
        A model folder, or the folder of a finished run.
    data
        Labelled texts: a file, a folder, or the name of a corpus.
    json
        One JSON object on stdout.
    """
    from unspool import corpora, predictor
    from unspool.tasks.evaluation import evaluate as measure
    from unspool.text.readers import read_labelled

    loaded = predictor.load(model)
    texts = read_labelled(corpora.locate(data, notice=note), (read or ReadFlags()).options())
    for line in texts.notes:
        note(f"read       {line}")
    figures = measure(loaded, texts.texts, texts.labels)
    if json:
        result_json(figures)
    else:
        _print(figures)


def _print(figures: dict[str, Any]) -> None:
    low, high = figures["accuracy_interval"]
    result(f"accuracy           {figures['accuracy']:.4f}  (95 % interval {low:.4f}–{high:.4f})")
    result(f"macro F1           {figures['macro_f1']:.4f}")
    if figures["log_loss"] is not None:
        result(f"log loss           {figures['log_loss']:.4f} nats")
        result(f"calibration error  {figures['calibration_error']:.4f}")
    result(f"examples           {figures['examples']:,}")
    _print_warnings(figures)
    _print_classes(figures["per_class"])
    _print_confusion(figures["confusion"])


def _print_warnings(figures: dict[str, Any], most: int = 10) -> None:
    """What could make the figures misleading."""
    if figures["seen_in_training"]:
        share = figures["seen_in_training"] / figures["examples"]
        result(f"seen in training   {figures['seen_in_training']:,} of these texts ({share:.1%}): the figures flatter")
    if figures["copies"]:
        result(f"copies             {figures['copies']:,} texts stand more than once")
    if figures["conflicting"]:
        result(f"conflicts          {figures['conflicting']:,} texts stand with different labels")
    if figures["unknown_rate"]:
        result(f"unknown tokens     {figures['unknown_rate']:.2%}")
    unseen = figures["unseen_labels"]
    for label, count in list(unseen.items())[:most]:
        result(f"unseen label       {shorten(label)!r}: {count:,} texts, all counted as wrong")
    if len(unseen) > most:
        result(f"unseen label       {len(unseen) - most:,} more, all counted as wrong: see --json")


def _print_classes(per_class: dict[str, dict[str, Any]], most: int = 50) -> None:
    result("label                    F1   examples   answered")
    for label, row in list(per_class.items())[:most]:
        result(f"{shorten(label, 20):20} {row['f1']:6.4f} {row['examples']:10,} {row['answered']:10,}")
    if len(per_class) > most:
        result(f"{len(per_class) - most:,} more labels: see --json")


def _print_confusion(confusion: dict[str, Any], most: int = 12) -> None:
    labels = [shorten(label, 10) for label in confusion["labels"]]
    if len(labels) > most:
        result(f"confusion          {len(labels)} labels: see --json")
        return
    result("confusion (rows: truth, columns: answer)")
    result(" " * 11 + "".join(f"{label:>11}" for label in labels[: len(confusion["answers"])]))
    for label, row in zip(labels, confusion["counts"], strict=True):
        result(f"{label:11}" + "".join(f"{count:11,}" for count in row))
