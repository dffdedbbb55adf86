"""Results side by side: a table, the differences and what they are worth, and a page."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unspool import pages
from unspool._version import __version__
from unspool.comparison import statistics
from unspool.comparison.runner import Plan, Result, Rows
from unspool.errors import shorten
from unspool.pages.charts import Line
from unspool.tasks.search import flags
from unspool.text.readers import LabelledTexts

Floats = npt.NDArray[np.float64]

MOST_LABELS, MOST_EXAMPLES = 12, 15
ALPHA = 0.05


@dataclass(frozen=True)
class Standing:
    """One model's figures over its runs, as (mean, standard deviation or None)."""

    model: str
    accuracy: tuple[float, float | None]
    macro_f1: tuple[float, float | None]
    log_loss: tuple[float, float | None]
    seconds: float
    parameters: int
    runs: int


@dataclass(frozen=True)
class Difference:
    """Accuracy of `one` less that of `other`.

    interval: 95 %, over texts. p: of the paired randomisation test over texts, Holm-corrected for the number of pairs.
    p_folds: of the corrected t test over folds, None without folds.
    """

    one: str
    other: str
    mean: float
    interval: tuple[float, float]
    p: float
    p_folds: float | None


def standings(plan: Plan, results: Sequence[Result]) -> list[Standing]:
    """One line a model, best accuracy first."""
    found = []
    for model in plan.models:
        own = [result for result in results if result.job.model == model]
        figures = {
            name: statistics.mean_and_sd([result.figures[name] for result in own])
            for name in ("accuracy", "macro_f1", "log_loss")
        }
        seconds = float(np.mean([result.seconds for result in own]))
        found.append(Standing(model, **figures, seconds=seconds, parameters=own[0].parameters, runs=len(own)))
    return sorted(found, key=lambda standing: -standing.accuracy[0])


def differences(
    plan: Plan, results: Sequence[Result], data: LabelledTexts, splits: Sequence[tuple[Rows, Rows]]
) -> list[Difference]:
    """Every pair of models, in the order of the standings."""
    right = {model: _right(model, results, data, splits) for model in plan.models}
    order = [standing.model for standing in standings(plan, results)]
    pairs = list(itertools.combinations(order, 2))
    gaps = [right[one] - right[other] for one, other in pairs]
    corrected = statistics.holm([statistics.sign_flip_p(gap) for gap in gaps])
    return [
        Difference(
            one,
            other,
            float(gap.mean()),
            statistics.bootstrap_interval(gap),
            p,
            _over_folds(one, other, plan, results, splits),
        )
        for (one, other), gap, p in zip(pairs, gaps, corrected, strict=True)
    ]


def page(
    plan: Plan,
    results: Sequence[Result],
    data: LabelledTexts,
    splits: Sequence[tuple[Rows, Rows]],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    name: str,
    command: str,
    versions: dict[str, str],
) -> bytes:
    """The report; `found`: what a search found for each model, on each fold."""
    labels = sorted(set(data.labels))
    table = standings(plan, results)
    return pages.render(
        "comparison.html",
        name=name,
        texts=f"{len(data.texts):,}",
        tested=f"{sum(len(test) for _, test in splits):,}",
        labels=len(labels),
        plan=plan,
        standings=[_row(standing) for standing in table],
        differences=[_difference_row(found) for found in differences(plan, results, data, splits)],
        found=found_lines(found),
        curves=_curves([standing.model for standing in table], results),
        confusions=_confusions(table, results, data, splits, labels) if len(labels) <= MOST_LABELS else [],
        heads=labels,
        disagreements=_examples(table, results, data, splits, labels, worst=False),
        worst=_examples(table, results, data, splits, labels, worst=True),
        models=[standing.model for standing in table],
        version=__version__,
        versions=versions,
        command=command,
    )


def found_lines(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """(model, flags) for each search; the model with its fold where there are several."""
    return [
        (model if len(folds) == 1 else f"{model}, fold {fold}", flags(values))
        for model, folds in found.items()
        for fold, values in enumerate(folds)
    ]


def shown(figure: tuple[float, float | None], digits: int = 4) -> str:
    """Mean ± standard deviation."""
    mean, sd = figure
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if sd is not None else "")


def shown_p(p: float | None) -> str:
    """A p value, as small as the tests can tell."""
    return "" if p is None else ("< 0.001" if p < 0.001 else f"{p:.3f}")


def _right(model: str, results: Sequence[Result], data: LabelledTexts, splits: Sequence[tuple[Rows, Rows]]) -> Floats:
    """(N,) the share of the seeds in which each test text was answered rightly, fold after fold."""
    labels = sorted(set(data.labels))
    found = []
    for fold, (_, test) in enumerate(splits):
        truth = np.array([labels.index(data.labels[row]) for row in test])
        own = [result.answers for result in results if result.job.model == model and result.job.fold == fold]
        found.append((np.array(own) == truth).mean(axis=0))
    return np.concatenate(found)


def _over_folds(
    one: str, other: str, plan: Plan, results: Sequence[Result], splits: Sequence[tuple[Rows, Rows]]
) -> float | None:
    if plan.folds is None:
        return None
    accuracy = {
        (model, fold): np.mean([r.figures["accuracy"] for r in results if (r.job.model, r.job.fold) == (model, fold)])
        for model in (one, other)
        for fold in range(plan.folds)
    }
    gaps = [float(accuracy[one, fold] - accuracy[other, fold]) for fold in range(plan.folds)]
    ratio = float(np.mean([len(test) / len(training) for training, test in splits]))
    return statistics.corrected_t_p(gaps, ratio)


def _row(standing: Standing) -> dict[str, str]:
    return {
        "model": standing.model,
        "accuracy": shown(standing.accuracy),
        "macro_f1": shown(standing.macro_f1),
        "log_loss": shown(standing.log_loss),
        "seconds": f"{standing.seconds:.1f}",
        "parameters": f"{standing.parameters:,}",
        "runs": str(standing.runs),
    }


def _difference_row(found: Difference) -> dict[str, str]:
    low, high = found.interval
    return {
        "pair": f"{found.one} − {found.other}",
        "mean": f"{found.mean:+.4f}",
        "interval": f"{low:+.4f} to {high:+.4f}",
        "p": shown_p(found.p),
        "p_folds": shown_p(found.p_folds),
        "verdict": _verdict(found),
    }


def _verdict(found: Difference) -> str:
    if found.p >= ALPHA:
        return "could be chance"
    if found.p_folds is not None and found.p_folds >= ALPHA:
        return "on these texts; other training texts might turn it round"
    return "a difference"


def _curves(models: Sequence[str], results: Sequence[Result]) -> Any:
    """Validation accuracy against the epoch, the mean of the runs that got there."""
    lines = []
    for model in models:
        by_epoch: dict[int, list[float]] = {}
        for result in results:
            if result.job.model == model:
                for epoch, accuracy in result.curve:
                    by_epoch.setdefault(int(epoch), []).append(accuracy)
        if by_epoch:
            lines.append(Line(model, [(float(epoch), float(np.mean(by_epoch[epoch]))) for epoch in sorted(by_epoch)]))
    return pages.line_chart(lines[:10], "epoch", "validation accuracy") if lines else None


def _confusions(
    table: Sequence[Standing],
    results: Sequence[Result],
    data: LabelledTexts,
    splits: Sequence[tuple[Rows, Rows]],
    labels: list[str],
) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """For each model the counts over all its runs, as shares of each true label."""
    found = []
    for standing in table:
        counts = np.zeros((len(labels), len(labels)))
        for result in results:
            if result.job.model == standing.model:
                truth = [labels.index(data.labels[row]) for row in splits[result.job.fold][1]]
                np.add.at(counts, (truth, result.answers), 1)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [(label, [pages.percent(share) for share in row]) for label, row in zip(labels, shares, strict=True)]
        found.append((standing.model, rows))
    return found


def _examples(
    table: Sequence[Standing],
    results: Sequence[Result],
    data: LabelledTexts,
    splits: Sequence[tuple[Rows, Rows]],
    labels: list[str],
    *,
    worst: bool,
) -> list[dict[str, Any]]:
    """Texts that models disagree on most, or, `worst`, that all find least likely, with each model's answer."""
    models = [standing.model for standing in table]
    rows = np.concatenate([test for _, test in splits])
    chance = np.stack([_over_seeds(model, results, len(splits), "truths") for model in models])  # (models, N)
    answers = [_majority(model, results, len(splits), len(labels)) for model in models]
    truth = np.array([labels.index(data.labels[row]) for row in rows])
    right = np.stack([answer == truth for answer in answers])
    if worst:
        order = np.argsort(chance.mean(axis=0), kind="stable")
        chosen = [k for k in order if not right[:, k].any()][:MOST_EXAMPLES]
    else:
        order = np.argsort(-np.ptp(np.exp(chance), axis=0), kind="stable")
        chosen = [k for k in order if right[:, k].any() and not right[:, k].all()][:MOST_EXAMPLES]
    return [
        {
            "text": shorten(data.texts[rows[k]], 240),
            "label": data.labels[rows[k]],
            "answers": [
                (labels[answer[k]], f"{np.exp(one[k]):.2f}", bool(hit[k]))
                for answer, one, hit in zip(answers, chance, right, strict=True)
            ],
        }
        for k in chosen
    ]


def _over_seeds(model: str, results: Sequence[Result], folds: int, name: str) -> Floats:
    """(N,) the mean over the seeds of something that every test text has, fold after fold."""
    return np.concatenate(
        [
            np.mean([getattr(r, name) for r in results if (r.job.model, r.job.fold) == (model, fold)], axis=0)
            for fold in range(folds)
        ]
    )


def _majority(model: str, results: Sequence[Result], folds: int, labels: int) -> npt.NDArray[np.int64]:
    """(N,) the label that most seeds answered, the first of equals."""
    found = []
    for fold in range(folds):
        own = np.array([r.answers for r in results if (r.job.model, r.job.fold) == (model, fold)])
        votes = np.stack([(own == label).sum(axis=0) for label in range(labels)])
        found.append(votes.argmax(axis=0))
    return np.concatenate(found)
