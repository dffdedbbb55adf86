"""Which of many settings is best, within seconds: Optuna proposes, successive halving stops early what lags behind.

A trial is scored at up to three rungs, after 1, 3 and 9 parts of its training (Li et al. 2018, "Massively parallel
hyperparameter tuning"); at each only the better third goes on. The first trial is the starting point itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from unspool.errors import UsageError

RUNGS = (1, 3, 9)
"""Parts of a full training after which a trial is scored."""

Values = dict[str, Any]


class Stopped(Exception):
    """Raised through an objective that need not go on: it lags behind, or time is over."""


@dataclass(frozen=True)
class Tried:
    """One trial: what was chosen, its score at each rung that it reached (higher is better), and what it took."""

    values: Values
    scores: list[float]
    seconds: float


@dataclass(frozen=True)
class Range:
    """A number between two others, found on a logarithmic scale, with two digits."""

    low: float
    high: float


Space = Mapping[str, Range | Sequence[Any]]
"""Name → a range, or the choices (numbers, texts, truth values)."""


class Watch:
    """What an objective calls while it trains; raises `Stopped`, which it lets pass."""

    def __init__(self, trial: Any, deadline: float) -> None:
        self._trial, self._deadline = trial, deadline
        self.scores: list[float] = []

    def score(self, score: float) -> None:
        """The score at the next rung."""
        self.scores.append(score)
        self._trial.report(score, RUNGS[len(self.scores) - 1])
        if self._trial.should_prune() and len(self.scores) < len(RUNGS):
            raise Stopped

    def poll(self) -> None:
        """Once a step or so: is there time left?"""
        if time.monotonic() >= self._deadline:
            raise Stopped


class Objective(Protocol):
    """Trains with `values` and tells `watch` how it goes."""

    def __call__(self, values: Values, watch: Watch) -> None: ...


def require_optuna() -> Any:
    """Optuna; UsageError when it is missing."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError("--search needs Optuna: python -m pip install 'unspool[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def best_of(tried: Sequence[Tried]) -> Tried | None:
    """The best of those that came furthest, the earlier of equals; None when none was ever scored."""
    scored = [one for one in tried if one.scores]
    return max(scored, key=lambda one: (len(one.scores), one.scores[-1]), default=None)


def search(
    space: Space,
    first: Values,
    objective: Objective,
    *,
    seconds: float,
    seed: int,
    tried: Sequence[Tried] = (),
    keep: Callable[[list[Tried]], None] = lambda _: None,
) -> list[Tried]:
    """All trials, until the `seconds` are over or nothing new is proposed any more.

    first: the values that the first trial takes. tried: trials of a search that was stopped: they count, and so does
    their time. keep: called with all trials whenever one has ended. The trial that time cuts off is kept as far as it
    came. What the objective raises ends the search.
    """
    study = _study(seed)
    done: list[Tried] = []
    for one in tried:
        study.enqueue_trial(one.values)
        _replay(study, space, one)
        done.append(one)
    deadline = time.monotonic() + seconds - sum(one.seconds for one in tried)
    if not tried:
        study.enqueue_trial(first)
    seen, repeats = {_key(one.values) for one in tried}, 0
    while time.monotonic() < deadline and repeats < 50:
        trial = study.ask()
        values = _choose(trial, space)
        if _key(values) in seen:  # choices are few, and a small network's trials are quick
            study.tell(trial, state=_states().FAIL)
            repeats += 1
            continue
        seen.add(_key(values))
        repeats = 0
        done.append(_run(study, trial, values, objective, deadline))
        keep(done)
    return done


def _run(study: Any, trial: Any, values: Values, objective: Objective, deadline: float) -> Tried:
    started, watch = time.monotonic(), Watch(trial, deadline)
    with suppress(Stopped):
        objective(values, watch)
    _tell(study, trial, watch.scores)
    return Tried(values, watch.scores, time.monotonic() - started)


def _study(seed: int) -> Any:
    optuna = require_optuna()
    return optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=RUNGS[1]),
    )


def _states() -> Any:
    return require_optuna().trial.TrialState


def _choose(trial: Any, space: Space) -> Values:
    values: Values = {}
    for name, choices in space.items():
        if isinstance(choices, Range):
            values[name] = float(f"{trial.suggest_float(name, choices.low, choices.high, log=True):.2g}")
        else:
            values[name] = trial.suggest_categorical(name, list(choices))
    return values


def _replay(study: Any, space: Space, one: Tried) -> None:
    """Tell a fresh study what an earlier one found, rung by rung, so that later trials are measured against it."""
    trial = study.ask()
    _choose(trial, space)
    for rung, score in zip(RUNGS, one.scores, strict=False):
        trial.report(score, rung)
        trial.should_prune()  # which is where the rung's scores are kept
    _tell(study, trial, one.scores)


def _tell(study: Any, trial: Any, scores: Sequence[float]) -> None:
    if len(scores) == len(RUNGS):
        study.tell(trial, scores[-1])
    else:
        study.tell(trial, state=_states().PRUNED if scores else _states().FAIL)


def _key(values: Values) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(values.items()))
