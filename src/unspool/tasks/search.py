"""`--search`: half of the minutes go into finding settings, the other half into training with the best.

Each trial trains a network of other settings on the same prepared data, for a part of the time, and is scored on the
validation part. All trials stand in `search.json`: a search that was stopped goes on with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from unspool import config, files
from unspool.config import Settings
from unspool.errors import ModelFileError, SettingError, TrainingError, shorten
from unspool.tasks.base import Notice
from unspool.training.callbacks import Callback, Figures
from unspool.training.checkpoint import Progress
from unspool.training.halving import RUNGS, Range, Space, Tried, Values, Watch, best_of, require_optuna, search
from unspool.training.trainer import Data, Trainer

SHARE = 0.5
"""Of the minutes, for the search."""
FILE, FORMAT = "search.json", 1
PARTS = 30  # a trial's first rung takes that part of the time, so that there are some ten trials, and some to the end
RATE = 4.0  # times as high or as low as the recipe's

CHOICES: dict[str, tuple[Any, ...]] = {
    "embedding_dropout": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    "word_dropout": (0.0, 0.05, 0.1, 0.2),
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.5, 0.6),
    "region_sizes": ("1,2,3", "2,3,4", "3,4,5", "2,3,4,5"),
    "label_smoothing": (0.0, 0.1),
}
SIZES = ("embedding", "hidden", "filters")
"""Tried at half and at twice the recipe's, too."""

Build = Callable[[Settings], tuple[nn.Module, Data, Settings]]
"""From settings to an untrained network, its data, and the settings that the loop follows."""


@dataclass(frozen=True)
class Found:
    """What a search found: the settings and their score, and the score of those that it began with (None when time
    did not allow one)."""

    values: Values
    score: float
    first: float | None


def space_of(settings: Settings, fixed: Collection[str]) -> tuple[Space, Values]:
    """What is tried around `settings`, but for what is `fixed`; and the point that `settings` are in it."""
    first: Values = {}
    space: dict[str, Range | Sequence[Any]] = {}
    for name in ("learning_rate", *SIZES, *CHOICES):
        if name in fixed or not config.uses(settings.model, name, settings.task, settings.decoder):
            continue
        value: Any = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        first[name] = value
        if name == "learning_rate":
            space[name] = Range(float(f"{value / RATE:.2g}"), float(f"{value * RATE:.2g}"))
        elif name in SIZES:
            space[name] = sorted({max(1, value // 2), value, 2 * value})
        else:
            space[name] = sorted({*CHOICES[name], value})
    return space, first


def check(given: Mapping[str, Any], settings: Settings, fixed: Collection[str]) -> None:
    """Raise SettingError when there is nothing to search, or no time for it."""
    require_optuna()
    if not space_of(settings, fixed)[0]:
        raise SettingError(f"--search has no effect on the model {settings.model!r} here: there is nothing to find")
    if given.get("minutes") is None:
        raise SettingError("--search needs --minutes: it tries settings for half of them")


def find(
    settings: Settings,
    build: Build,
    fixed: Collection[str],
    path: Path,
    *,
    minutes: float,
    spent: float = 0.0,
    notice: Notice = lambda _: None,
) -> Values:
    """The best settings that `minutes` allow, the trials of earlier sessions counted; each is told and kept in `path`.

    settings: where the search begins. fixed: names that are not to be changed. spent: seconds of the minutes that went
    before. Raises Interrupted after a signal: what was tried is kept.
    """
    space, first = space_of(settings, fixed)
    earlier, seconds = read(path), 60 * minutes

    def keep(tried: list[Tried]) -> None:
        files.publish(path, files.to_json({"format": FORMAT, "trials": [asdict(one) for one in tried]}))
        notice(_line(len(tried), tried[-1]))

    def objective(values: Values, watch: Watch) -> None:
        _train(settings, values, build, seconds / PARTS, watch)

    names = ", ".join(config.flag(name) for name in space)
    notice(f"search     {minutes:.3g} minute{'' if minutes == 1 else 's'} for {names}")
    if earlier:
        notice(f"search     {len(earlier)} trials of before count")
    tried = search(space, first, objective, seconds=seconds - spent, seed=settings.seed, tried=earlier, keep=keep)
    found = found_in(tried)
    return found.values if found else first


def found_in(tried: Sequence[Tried]) -> Found | None:
    """What all trials amount to; None when none was scored."""
    best = best_of(tried)
    begun = next((one.scores[-1] for one in tried[:1] if one.scores), None)
    return Found(best.values, best.scores[-1], begun) if best else None


def used(path: Path) -> float:
    """Seconds that the trials in `path` took."""
    return sum(one.seconds for one in read(path))


def flags(values: Mapping[str, Any]) -> str:
    """Settings as they are written on the command line."""
    pairs = [(config.flag(name), values[name]) for name in Settings.model_fields if name in values]
    return " ".join(f"{flag} {value:g}" if isinstance(value, float) else f"{flag} {value}" for flag, value in pairs)


def read(path: Path) -> list[Tried]:
    """The trials of a search; none when there is no file."""
    if not path.exists():
        return []
    damaged = ModelFileError(f"{shorten(path, 300)} is damaged: remove it to search anew")
    values = files.read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT or not isinstance(values.get("trials"), list):
        raise damaged
    try:
        tried = [
            Tried(dict(one["values"]), [float(x) for x in one["scores"]], float(one["seconds"]))
            for one in values["trials"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged from error
    if any(len(one.scores) > len(RUNGS) for one in tried):
        raise damaged
    return tried


def _line(number: int, one: Tried) -> str:
    scores = " ".join(f"{score:.4f}" for score in one.scores) or "no score"
    return f"trial {number:4d} {scores:24} {one.seconds:6.1f} s  {flags(one.values)}"


def _train(settings: Settings, values: Values, build: Build, seconds: float, watch: Watch) -> None:
    """One trial; settings that explode, or that memory cannot hold, have no further score."""
    try:
        chosen = config.parse({**settings.model_dump(), **values})
        network, data, loop = build(chosen)
        planned = (loop.epochs or 1) * len(data.order(0))
        part = max(1, min(int(seconds / _seconds_a_step(network, data)), planned // RUNGS[-1]))
        rungs = Rungs(data, part)
        loop = loop.model_copy(update={"epochs": len(RUNGS), "patience": len(RUNGS)})
        trainer = Trainer(network, rungs, loop, callbacks=(_Report(watch, chosen.task),))
        trainer.progress.planned_steps = part * RUNGS[-1]
        trainer.fit()
    except (TrainingError, SettingError):
        return


def _seconds_a_step(network: nn.Module, data: Data) -> float:
    """Forward and backward of a few batches, the first left out; nothing is updated."""
    order = data.order(0)
    network.train()
    times = []
    for place in np.linspace(0, len(order) - 1, 4).astype(int):
        started = time.monotonic()
        network.loss(data.batch(order[place])).backward()  # type: ignore[operator]
        times.append(time.monotonic() - started)
    network.zero_grad(set_to_none=True)
    return max(1e-6, float(np.mean(times[1:])))


class Rungs:
    """Data whose epochs are the parts of a trial: 1, 2 and 6 times `part` steps, one after the other."""

    def __init__(self, data: Data, part: int) -> None:
        self.data, self.part = data, part
        self.batch, self.validate = data.batch, data.validate

    def order(self, epoch: int) -> Sequence[Any]:
        """The batches of all passes in a row, cut at the rungs."""
        start = self.part * (RUNGS[epoch - 1] if epoch else 0)
        stop = self.part * RUNGS[min(epoch, len(RUNGS) - 1)]
        found: list[Any] = []
        passed, turn = 0, 0
        while passed < stop:
            batches = self.data.order(turn)
            found += batches[max(0, start - passed) : max(0, stop - passed)]
            passed, turn = passed + len(batches), turn + 1
        return found


class _Report(Callback):
    def __init__(self, watch: Watch, task: str) -> None:
        self.watch, self.task = watch, task

    def on_step(self, standing: Progress, loss: float) -> None:  # noqa: ARG002
        self.watch.poll()

    def on_validation(self, standing: Progress, figures: Figures, *, best: bool) -> None:  # noqa: ARG002
        # a classifier's score is made of its probabilities, and smoothed labels lower them
        self.watch.score(figures["accuracy" if self.task == "classify" else "score"])
