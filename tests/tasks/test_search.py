"""`--search` on a few dozen texts: what is tried, what is kept, and that the result is a run like any other."""

from __future__ import annotations

import itertools
import json
import math
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unspool import config
from unspool.config import Settings, parse
from unspool.errors import Interrupted, ModelFileError, SettingError
from unspool.models.recipes import settle
from unspool.tasks import TASKS, Request, run, search
from unspool.training import halving
from unspool.training.halving import RUNGS, Range, Tried

pytest.importorskip("optuna")
GIVEN: dict[str, Any] = {"model": "gru", "embedding": 5, "epochs": 4, "batch_size": 8, "min_count": 2, "minutes": 2}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search's own clock: half a second at every look, however busy the machine is."""
    ticks = itertools.count()
    monkeypatch.setattr(halving, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 2))
    monkeypatch.setattr(search, "_seconds_a_step", lambda network, data: 0.1)


def test_the_space_lies_around_the_recipe_and_leaves_alone_what_was_given() -> None:
    settings = settle({"model": "cnn", "dropout": 0.25})
    space, first = search.space_of(settings, {"model", "embedding"})
    assert "hidden" not in space and "embedding" not in space  # without effect, and given
    assert space["filters"] == [50, 100, 200] and space["dropout"] == [0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.6]
    rate = space["learning_rate"]
    assert isinstance(rate, Range) and (rate.low, rate.high) == (0.0005, 0.008)
    assert first["region_sizes"] == "3,4,5" and set(first) == set(space)
    assert parse({**settings.model_dump(), **first}) == settings


@pytest.mark.parametrize(
    ("task", "model"), [(task, model) for task in TASKS for model in config.MODELS_OF[task][-4:-1]]
)
def test_every_choice_is_a_setting_that_the_model_takes(task: str, model: str) -> None:
    settings = settle({"task": task, "model": model})
    space, _ = search.space_of(settings, ())
    assert space
    for name, choices in space.items():
        for value in (choices.low, choices.high) if isinstance(choices, Range) else choices:
            settle({"task": task, "model": model, name: value})


def test_rungs_cut_the_passes_into_parts_one_after_the_other() -> None:
    data = SimpleNamespace(order=lambda epoch: [f"{epoch}{place}" for place in "abcd"], batch=None, validate=None)
    rungs = search.Rungs(data, 2)  # type: ignore[arg-type]
    parts = [rungs.order(epoch) for epoch in range(3)]
    assert [len(part) for part in parts] == [2, 4, 12]
    every = [batch for part in parts for batch in part]
    assert every == [f"{epoch}{place}" for epoch in range(5) for place in "abcd"][:18]


@pytest.mark.usefixtures("clock")
def test_a_run_with_a_search(whole: SimpleNamespace, tmp_path: Path) -> None:
    told: list[str] = []
    request = Request(whole.data, GIVEN, search=True)
    finished = run.start(request, tmp_path / "found", notice=told.append)
    tried = search.read(tmp_path / "found" / "search.json")
    recipe = settle(GIVEN)
    assert len(tried) > 2 and len(tried[0].scores) == len(RUNGS)
    assert tried[0].values["hidden"] == recipe.hidden and tried[0].values["learning_rate"] == recipe.learning_rate
    found = finished.found
    assert found is not None and found.first == tried[0].scores[-1] and found.score >= found.first
    settings = finished.outcome.predictor.settings
    flags = search.flags(found.values)
    assert any(line.startswith("found") and flags in line for line in told)
    for name, value in found.values.items():
        assert getattr(settings, name) == value and f"{config.flag(name)} {value:g}" in flags
    assert settings.embedding == 5 and 0 < settings.minutes < 2
    asked = json.loads((tmp_path / "found" / "run.json").read_text())["request"]
    assert asked["search"] is False and asked["given"]["learning_rate"] == found.values["learning_rate"]
    assert run.resume(tmp_path / "found").outcome.validation == finished.outcome.validation


@pytest.mark.usefixtures("clock")
def test_a_stopped_search_keeps_its_trials_and_goes_on(
    whole: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, started = search._train, []

    def stop_third(*arguments: Any) -> None:
        started.append(1)
        if len(started) == 3:
            raise Interrupted("stopped", signal.SIGTERM)
        train(*arguments)

    monkeypatch.setattr(search, "_train", stop_third)
    request = Request(whole.data, GIVEN, search=True)
    with pytest.raises(Interrupted, match=r"the search was stopped, its trials are kept; go on with: unspool resume"):
        run.start(request, tmp_path / "run")
    before = search.read(tmp_path / "run" / "search.json")
    assert len(before) == 2
    finished = run.resume(tmp_path / "run")
    after = search.read(tmp_path / "run" / "search.json")
    assert after[:2] == before and len(after) > 2
    assert finished.found is not None and finished.outcome.epochs > 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "gru"}, "--search needs --minutes"),
        ({"model": "bow"}, "--search has no effect on the model 'bow'"),
    ],
)
def test_refusals_come_before_anything_is_written(
    whole: SimpleNamespace, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        run.start(Request(whole.data, given, search=True), tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["[]", '{"format": 1}', '{"format": 1, "trials": [{"values": {}}]}'])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "search.json").write_text(content)
    with pytest.raises(ModelFileError, match="is damaged: remove it to search anew"):
        search.read(tmp_path / "search.json")


def test_settings_that_explode_have_no_further_score(whole: SimpleNamespace) -> None:
    task = TASKS["classify"]
    request = Request(whole.data, {**GIVEN, "optimizer": "sgd", "task": "classify"})
    prepared = task.prepare(task.read(request), request, lambda _: None)
    scores: list[float] = []
    watch: Any = SimpleNamespace(score=scores.append, poll=lambda: None)

    def build(settings: Settings) -> Any:
        return task.untrained(prepared, settings)

    search._train(prepared.settings, {"learning_rate": 1e30}, build, 1.0, watch)
    assert scores == []
    search._train(prepared.settings, {"learning_rate": 1e-3}, build, 1.0, watch)
    assert len(scores) == len(RUNGS) and all(map(math.isfinite, scores))


def test_flags_are_written_as_on_the_command_line() -> None:
    values = {"learning_rate": 0.0005, "hidden": 64, "region_sizes": "3,4,5", "dropout": 0.0}
    assert search.flags(values) == "--hidden 64 --region-sizes 3,4,5 --dropout 0 --learning-rate 0.0005"
    assert search.found_in([Tried(values, [0.5], 1.0)]) == search.Found(values, 0.5, 0.5)
