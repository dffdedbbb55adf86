"""`unspool complexity`: what a network costs, counted and measured, alone or side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.cli.options import SettingFlags, given_settings
from unspool.cli.output import note, result, result_json, shown
from unspool.errors import UsageError

if TYPE_CHECKING:
    from unspool.inspection.complexity.report import Study

SIDE_BY_SIDE = ("rnn", "gru", "lstm", "cnn", "qrnn")


def complexity(
    folder: Path | None = None,
    /,
    *,
    length: int | None = None,
    batch: int = 32,
    kinds: int = 10_000,
    labels: int = 2,
    measure: bool = True,
    out: Path | None = None,
    json: bool = False,
    settings: SettingFlags | None = None,
) -> None:
    """Count what a network costs as a function of length and width, and measure it beside the prediction.

    Of a trained model, of the network that --model and other settings describe, or, with neither, of rnn, gru, lstm,
    cnn, qrnn and self-attention side by side.

    Parameters
    ----------
    folder
        A model folder, or the folder of a finished run.
    length
        Tokens of a text; 500 when not given, or at most what the model reads.
    batch
        Texts in the batch that is timed.
    kinds
        Token kinds, the rows of the embedding (known of a trained model).
    labels
        Labels (known of a trained model).
    measure
        --no-measure counts only, which takes no time.
    out
        Write an HTML page to this new file, too.
    json
        One JSON object on stdout.
    """
    from unspool import files
    from unspool.inspection.complexity import report

    _check(length, batch, kinds, labels)
    if out is not None and out.exists():
        raise UsageError(f"{shown(str(out))[:300]} exists: choose another --out")
    given = given_settings(settings, {})
    studies = _studies(folder, given, length, kinds, labels)
    for k, study in enumerate(studies):
        if measure:
            note(f"measuring  {study.counted.model}")
            studies[k] = report.timed(study, batch)
            if studies[k].measured[-1][1] is None:
                note(f"{'':10} only predicted at this size: a batch would take too long, or too much memory")
    if out is not None:
        files.publish(out, report.page(studies, batch, "unspool " + " ".join(sys.argv[1:])))
        note(f"page       {out}")
    if json:
        result_json({"models": [report.values(study) for study in studies]})
    else:
        _print(studies)


def _check(length: int | None, batch: int, kinds: int, labels: int) -> None:
    limits = {
        "--length": (length, 10**6),
        "--batch": (batch, 10**4),
        "--kinds": (kinds, 10**8),
        "--labels": (labels, 10**6),
    }
    for name, (value, most) in limits.items():
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} is {value}: expected a number from 1 to {most:,}")


def _studies(folder: Path | None, given: dict[str, Any], length: int | None, kinds: int, labels: int) -> list[Study]:
    from unspool import config
    from unspool.inspection.complexity.networks import attention_network, network
    from unspool.inspection.complexity.report import Study
    from unspool.models.recipes import recipe

    if folder is not None:
        if given:
            raise UsageError(
                f"{config.flag(next(iter(given)))} has no effect on a trained model: leave one of them out"
            )
        return [_trained(folder, length)]
    length = length or 500
    if given.get("task", "classify") != "classify":
        raise UsageError("complexity counts classifiers: leave out --task")
    if "model" in given:
        if given["model"] == "bow":
            raise UsageError("bow is a linear model over n-grams: it has no layers to count")
        settings = config.resolve(recipe(str(given["model"])), given)
        return [Study(settings, network(settings, length, kinds=kinds, labels=labels))]
    fitting = {model: {k: v for k, v in given.items() if config.uses(model, k)} for model in SIDE_BY_SIDE}
    if useless := [name for name in given if not any(name in values for values in fitting.values())]:
        raise UsageError(f"{config.flag(useless[0])} has no effect on {', '.join(SIDE_BY_SIDE)}: leave it out")
    studies = []
    for model, values in fitting.items():
        settings = config.resolve(recipe(model), {"model": model, **values})
        studies.append(Study(settings, network(settings, length, kinds=kinds, labels=labels)))
    wide = studies[SIDE_BY_SIDE.index("lstm")].settings
    attention = attention_network(wide, length, kinds=kinds, labels=labels)
    return [*studies, Study(wide, attention, attention=True)]


def _trained(folder: Path, length: int | None) -> Study:
    from unspool import predictors
    from unspool.inspection.complexity.networks import network
    from unspool.inspection.complexity.report import Study

    loaded = predictors.load(folder)
    if not isinstance(loaded, predictors.ClassifierPredictor) or loaded.tokenizer is None:
        raise UsageError("complexity knows trained classifiers with a network; this model is another one")
    settings = loaded.settings
    steps = min(length or 500, settings.max_length)
    counted = network(settings, steps, kinds=loaded.tokenizer.size, labels=len(loaded.labels), vectors=loaded.vectors)
    return Study(settings, counted)


def _print(studies: list[Study]) -> None:
    from unspool.inspection.complexity import report

    result(f"one text of {studies[0].counted.length:,} tokens")
    names = ["model", "parameters", "multiply-adds", "inference B", "training B", "in sequence", "sees"]
    timed = studies[0].machine is not None
    if timed:
        names += ["inference", "measured", "training", "measured"]
    rows = [report.row(study) for study in studies]
    lines = [
        [
            row["model"],
            *(row[key] for key in ("parameters", "multiply_adds", "live", "kept", "depth", "field")),
            *row["times"],
        ]
        for row in rows
    ]
    _columns([names, *lines])
    if timed:
        shape = studies[0].measured[-1][0]
        result(f"times of the encoder, predicted and measured, for a batch of {shape.batch}")
    if len(studies) == 1:
        result("")
        heads = ["layer", "parameters", "multiply-adds", "live", "kept", "in sequence", "sees"]
        layers = report.layer_rows(studies[0].counted)
        _columns([heads, *([row["name"], *(value for value, _ in row["cells"]), row["field"]] for row in layers)])
        for row in layers:
            result(
                f"{row['name']}: {row['sizes']}; parameters {row['cells'][0][1]}; multiply-adds {row['cells'][1][1]}"
            )
    else:
        result(report.ANSWER)


def _columns(rows: list[list[str]]) -> None:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        result(
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            )
        )
