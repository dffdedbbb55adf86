"""The search over settings, with objectives whose answers are known."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

import pytest

from unspool.errors import UsageError
from unspool.training import halving
from unspool.training.halving import RUNGS, Range, Tried, Values, Watch

pytest.importorskip("optuna")
SPACE = {"rate": Range(1e-4, 1e-1), "width": [8, 16, 32], "wide": [False, True]}
FIRST: Values = {"rate": 1e-2, "width": 8, "wide": False}


def quality(values: Values) -> float:
    """Highest at width 32, wide."""
    return float(values["width"] + 5 * values["wide"] - abs(values["rate"] - 1e-2))


class Fake:
    """Scores by `quality`; counts the rungs that each trial reached."""

    def __init__(self, most: int = 30) -> None:
        self.trials: list[tuple[Values, int]] = []
        self.most = most

    def __call__(self, values: Values, watch: Watch) -> None:
        if len(self.trials) == self.most:
            raise KeyboardInterrupt
        self.trials.append((values, 0))
        for rung in range(1, len(RUNGS) + 1):
            self.trials[-1] = (values, rung)
            watch.score(quality(values) * rung)


def run(objective: Any, **options: Any) -> list[Tried]:
    kept: list[Tried] = []

    def keep(tried: list[Tried]) -> None:
        kept[:] = tried

    with suppress(KeyboardInterrupt):
        halving.search(SPACE, FIRST, objective, **{"seconds": 60.0, "seed": 0, "keep": keep, **options})
    return kept


def test_the_best_is_found_and_what_lags_is_stopped() -> None:
    fake = Fake()
    tried = run(fake)
    assert fake.trials[0] == (FIRST, 3)  # the starting point comes first and has nothing to lag behind
    best = halving.best_of(tried)
    assert best is not None and (best.values["width"], best.values["wide"]) == (32, True)
    assert [len(one.scores) for one in tried] == [rungs for _, rungs in fake.trials]
    early = sum(len(one.scores) == 1 for one in tried)
    assert early >= 5 and sum(len(one.scores) == 3 for one in tried) >= 2
    for one, (values, _) in zip(tried, fake.trials, strict=True):
        assert one.values == values and one.scores == [quality(values) * k for k in range(1, len(one.scores) + 1)]
        assert 1e-4 <= values["rate"] <= 1e-1 and values["rate"] == float(f"{values['rate']:.2g}")


def test_a_stopped_search_goes_on_and_the_old_trials_are_competitors() -> None:
    before = run(Fake(6))
    assert len(before) == 6
    champions = [Tried({"rate": k / 100, "width": 32, "wide": True}, [1e6, 2e6, 3e6 + k], 0.1) for k in range(1, 10)]
    fake = Fake(8)
    after = run(fake, tried=[*before, *champions])
    assert after[:15] == [*before, *champions] and len(after) == 23
    assert all(values not in [one.values for one in after[:15]] for values, _ in fake.trials)
    assert {rungs for _, rungs in fake.trials} == {1}  # nothing comes near the nine champions
    assert halving.best_of(after) == champions[-1]


def test_time_used_before_counts_and_time_cuts_a_trial_off() -> None:
    old = Tried(FIRST, [1.0], 100.0)
    assert halving.search(SPACE, FIRST, Fake(), seconds=99.0, seed=0, tried=[old]) == [old]

    def slow(values: Values, watch: Watch) -> None:
        watch.score(1.0)
        while True:
            time.sleep(0.01)
            watch.poll()

    (only,) = halving.search(SPACE, FIRST, slow, seconds=0.1, seed=0)
    assert only.values == FIRST and only.scores == [1.0] and 0.05 < only.seconds < 5


def test_few_choices_are_tried_once_each() -> None:
    seen: list[Values] = []

    def objective(values: Values, watch: Watch) -> None:
        seen.append(values)
        watch.score(0.0)

    halving.search({"a": [1, 2], "b": ["x", "y"]}, {"a": 1, "b": "x"}, objective, seconds=60, seed=0)
    assert sorted((one["a"], one["b"]) for one in seen) == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_the_furthest_wins_then_the_score() -> None:
    tried = [Tried({"a": 1}, [9.0], 1.0), Tried({"a": 2}, [1.0, 2.0], 1.0), Tried({"a": 3}, [1.0, 3.0], 1.0)]
    assert halving.best_of(tried) == tried[2]
    assert halving.best_of([Tried({"a": 1}, [], 1.0)]) is None


def test_without_optuna_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"--search needs Optuna: python -m pip install 'unspool\[search\]'"):
        run(Fake())
