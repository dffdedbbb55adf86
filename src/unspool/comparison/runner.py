"""Every model, seed and fold trained on the same splits, in a folder that remembers what is done.

    NAME.comparison/   comparison.json · jobs/MODEL-seed0-fold0/result.json · report.html
                       searches/MODEL-fold0/search.json, found.json (with --search)

`comparison.json` holds what the jobs depend on. Started again, a comparison does only the jobs without a result, and
goes on with one that was cut short from its last checkpoint; models and seeds may be added later. A search reads the
training part of its fold alone, so that no test text has a say in the settings.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unspool import config, files
from unspool._version import __version__
from unspool.errors import Interrupted, ModelFileError, SettingError, UsageError, shorten
from unspool.models.recipes import settle
from unspool.tasks import search
from unspool.tasks import start as starts
from unspool.tasks.classify import fitting
from unspool.text.readers import LabelledTexts
from unspool.text.splitting import folds as fold_rows
from unspool.text.splitting import split
from unspool.training import metrics
from unspool.training.callbacks import Callback, MetricsLog

Notice = Callable[[str], None]
Rows = npt.NDArray[np.int64]

FORMAT = 2
FOUND = "found.json"
TEST_SHARE = 0.2
MOST_JOBS = 10_000


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        models: names, in the order of the report.
        seeds: how many, from 0; a seed decides the weights, the order, and the validation part.
        folds: of a cross-validation, or None for one test part of 20 %.
        minutes: for all jobs together, shared equally by the networks; None for no limit.
        given: settings that apply to every model that has them.
        search: half of the minutes find settings for each network, on each fold.
    """

    models: tuple[str, ...]
    seeds: int = 3
    folds: int | None = None
    minutes: float | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    search: bool = False

    @property
    def networks(self) -> int:
        """How many of the models are networks."""
        return sum(model != "bow" for model in self.models)


@dataclass(frozen=True)
class Job:
    """One training."""

    model: str
    seed: int
    fold: int

    @property
    def name(self) -> str:
        return f"{self.model}-seed{self.seed}-fold{self.fold}"


@dataclass(frozen=True)
class Result:
    """What is kept of a job.

    Attributes:
        figures: accuracy, macro_f1 and log_loss on the test part.
        answers: index of the answered label for each test text; truths: the log-probability of the right one.
        curve: (epoch, validation accuracy) pairs; empty for bow.
        seconds: of training alone, over all sessions.
    """

    job: Job
    figures: dict[str, float]
    answers: list[int]
    truths: list[float]
    curve: list[tuple[int, float]]
    parameters: int
    epochs: int
    seconds: float


def check(plan: Plan) -> None:
    """Raise SettingError for models, counts or settings that cannot be compared, before anything is read."""
    if not plan.models or len(set(plan.models)) != len(plan.models):
        raise SettingError("--models must name each model once, as rnn,gru,cnn,bow")
    for name, value, least, most in (("--seeds", plan.seeds, 1, 1000), ("--folds", plan.folds or 2, 2, 1000)):
        if not least <= value <= most:
            raise SettingError(f"{name} is {value}: expected {least} to {most}")
    if plan.minutes is not None and not 0 < plan.minutes <= 10**6:
        raise SettingError(f"--minutes is {plan.minutes}: expected a number above 0")
    if len(jobs(plan)) > MOST_JOBS:
        raise SettingError(f"that makes {len(jobs(plan)):,} trainings: at most {MOST_JOBS:,}")
    if taken := [name for name in ("model", "seed", "minutes", "task") if name in plan.given]:
        raise SettingError(f"{config.flag(taken[0])} is not a setting here: use --models, --seeds and --minutes")
    starts.given_with(plan.given, None, "classify")
    if plan.search and not plan.networks:
        raise SettingError("--search has no effect on the model 'bow': there is nothing to find")
    for model in plan.models:
        settings = settle(_given(plan, Job(model, 0, 0)))
        if plan.search and model != "bow":
            search.check({"minutes": plan.minutes}, settings, plan.given)
    for name in plan.given:
        if not any(config.uses(model, name) for model in plan.models):
            raise SettingError(f"{config.flag(name)} has no effect on any of {', '.join(plan.models)}: leave it out")


def jobs(plan: Plan) -> list[Job]:
    """All trainings: seed by seed, so that an early end has something of every model."""
    return [
        Job(model, seed, fold) for seed in range(plan.seeds) for fold in range(plan.folds or 1) for model in plan.models
    ]


def parts(data: LabelledTexts, folds: int | None) -> list[tuple[Rows, Rows]]:
    """(training rows, test rows) of each fold; copies of a text never on both sides. They do not depend on a seed."""
    if folds is not None:
        return fold_rows(data.texts, data.labels, folds, 0)
    training, test = split(data.texts, data.labels, TEST_SHARE, 0)
    if not len(test):
        raise UsageError("no text can be spared for testing: give more texts of each label")
    return [(training, test)]


def run(
    plan: Plan,
    data: LabelledTexts,
    folder: Path,
    *,
    callbacks: Sequence[Callback] = (),
    notice: Notice = lambda _: None,
) -> list[Result]:
    """All results, the missing ones trained; raises Interrupted after a signal, with everything finished kept."""
    splits = parts(data, plan.folds)
    labels = sorted(set(data.labels))
    _same(folder, _identity(plan, data))
    found, everything = [], jobs(plan)
    with files.alone(folder, "comparison.json"):
        for number, job in enumerate(everything, 1):
            place, rows = folder / "jobs" / job.name, splits[job.fold]
            if not (place / "result.json").exists():
                notice(f"\n== {number} of {len(everything)}: {job.model}, seed {job.seed}, fold {job.fold}")
                try:
                    given = {**_given(plan, job), **_searched(plan, job, data, rows, folder, notice)}
                    _train(given, data, labels, rows, place, callbacks, notice)
                except Interrupted as error:
                    message = "stopped; what is finished is kept: the same command goes on"
                    raise Interrupted(message, error.signal_number) from error
            found.append(_read(place / "result.json", job))
    return found


def settings_found(plan: Plan, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """For each network the settings that its searches found, one for each fold; empty without a search."""
    if not plan.search:
        return {}
    folds = range(plan.folds or 1)
    return {
        model: [files.read_json(_search_folder(folder, model, fold) / FOUND) for fold in folds]
        for model in plan.models
        if model != "bow"
    }


def _search_folder(folder: Path, model: str, fold: int) -> Path:
    return folder / "searches" / f"{model}-fold{fold}"


def _searched(
    plan: Plan, job: Job, data: LabelledTexts, rows: tuple[Rows, Rows], folder: Path, notice: Notice
) -> dict[str, Any]:
    """The settings found for the job's model on its fold, searched when they were not; empty without a search."""
    if not plan.search or plan.minutes is None or job.model == "bow":
        return {}
    place, started = _search_folder(folder, job.model, job.fold), time.monotonic()
    if not (place / FOUND).exists():
        files.make_folder(place)
        given = _given(plan, Job(job.model, 0, job.fold))
        prepared = fitting.prepare(*_texts(data, rows[0]), given)
        found = search.find(
            prepared.settings,
            lambda settings: fitting.untrained(prepared, settings),
            plan.given,
            place / search.FILE,
            minutes=search.SHARE * plan.minutes / (plan.networks * (plan.folds or 1)),
            spent=time.monotonic() - started,
            notice=notice,
        )
        files.publish(place / FOUND, files.to_json(found))
        notice(f"found      {search.flags(found)}")
    values = files.read_json(place / FOUND)
    if not isinstance(values, dict):
        raise ModelFileError(f"{shorten(place / FOUND, 300)} is damaged: remove it to search again")
    return values


def _texts(data: LabelledTexts, rows: Rows) -> tuple[list[str], list[str]]:
    return [data.texts[row] for row in rows], [data.labels[row] for row in rows]


def _train(
    given: Mapping[str, Any],
    data: LabelledTexts,
    labels: list[str],
    rows: tuple[Rows, Rows],
    place: Path,
    callbacks: Sequence[Callback],
    notice: Notice,
) -> None:
    started = time.monotonic()
    files.make_folder(place)
    training, test = rows
    prepared = fitting.prepare(*_texts(data, training), given, notice=notice)
    minutes = prepared.settings.minutes
    checkpoints, log = place / "checkpoints", place / "metrics.jsonl"
    outcome = fitting.fit(
        prepared,
        folder=checkpoints,
        resume=checkpoints.exists(),
        deadline=None if minutes is None else started + 60 * minutes,
        callbacks=(MetricsLog(log), *callbacks),
        notice=notice,
    )
    known = {label: k for k, label in enumerate(prepared.labels)}
    names = [*prepared.labels, *sorted(set(labels) - set(known))]
    truth = np.array([names.index(data.labels[row]) for row in test])
    chances = outcome.predictor.log_probabilities([data.texts[row] for row in test])
    figures = metrics.report(chances, truth, names)
    seen = truth < chances.shape[1]
    truths = np.full(len(truth), -1e3)  # a label that the training part does not have
    truths[seen] = np.maximum(chances[np.flatnonzero(seen), truth[seen]], -1e3)
    content = {
        "format": FORMAT,
        "figures": {name: figures[name] for name in ("accuracy", "macro_f1", "log_loss")},
        "answers": [labels.index(prepared.labels[k]) for k in chances.argmax(axis=1)],
        "truths": [round(value, 6) for value in truths.tolist()],
        "curve": _curve(log),
        "parameters": outcome.predictor.parameters(),
        "epochs": outcome.epochs,
        "seconds": round(outcome.trained, 2),
    }
    files.publish(place / "result.json", files.to_json(content))
    shutil.rmtree(checkpoints, ignore_errors=True)


def _given(plan: Plan, job: Job) -> dict[str, Any]:
    given = {name: value for name, value in plan.given.items() if config.uses(job.model, name)}
    given |= {"model": job.model, "seed": job.seed}
    if plan.minutes is None or job.model == "bow":
        return given
    trainings = plan.networks * plan.seeds * (plan.folds or 1)
    return {**given, "minutes": plan.minutes * (1 - search.SHARE if plan.search else 1) / trainings}


def _identity(plan: Plan, data: LabelledTexts) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "data": data.fingerprint,
        "folds": plan.folds,
        "minutes": plan.minutes and [plan.minutes, plan.seeds, list(plan.models)],  # they decide each job's share
        "settings": {name: list(value) if isinstance(value, tuple) else value for name, value in plan.given.items()},
        "search": plan.search,
        "unspool": __version__,
    }


def _same(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder, or find it made by the same comparison."""
    path = folder / "comparison.json"
    if not path.exists():
        if folder.exists():
            raise UsageError(f"{shorten(folder, 300)} exists and is no comparison: choose another --out")
        files.make_folder(folder)
        files.publish(path, files.to_json(identity))
        return
    before = files.read_json(path)
    if not isinstance(before, dict):
        raise ModelFileError(f"{shorten(path, 300)} is damaged: remove the folder to start anew")
    if changed := sorted(name for name in identity if before.get(name) != identity[name]):
        raise UsageError(
            f"{shorten(folder, 300)} was made with other {', '.join(changed)}: choose another --out, or the same again"
        )


def _curve(log: Path) -> list[list[float]]:
    if not log.exists():
        return []
    rows = [files.parse_json(line.encode(), log) for line in log.read_text(encoding="utf-8").splitlines()]
    return [[row["epoch"], row["accuracy"]] for row in rows]


def _read(path: Path, job: Job) -> Result:
    values = files.read_json(path)
    names = {"figures", "answers", "truths", "curve", "parameters", "epochs", "seconds"}
    if not isinstance(values, dict) or set(values) != names | {"format"}:
        raise ModelFileError(f"{shorten(path, 300)} is damaged: remove its folder to train it again")
    return Result(job, **{name: values[name] for name in names})
