"""`unspool compare`: only what is missing is trained, and the figures are those of the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unspool import files
from unspool.comparison import report, runner
from unspool.config import Settings
from unspool.errors import Interrupted
from unspool.tasks import search
from unspool.tasks.classify import fitting
from unspool.text.readers import read_labelled
from unspool.training.callbacks import Callback
from unspool.training.checkpoint import Progress

Command = Callable[..., tuple[int, list[str], str]]
SMALL = ("--embedding", 4, "--epochs", 2, "--level", "word", "--min-count", 1)
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [f"{word} film {n}\t{label}" for n in range(15) for word, label in (("fine", "good"), ("dull", HOSTILE))]
    rows += ["fine dull <b>film</b>\tgood", f"odd odd film\t{HOSTILE}"] * 3
    path = tmp_path / "reviews.tsv"
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    return path


def test_comparison_goes_on_where_it_was_stopped(data: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, fitted = fitting.fit, []

    def stop_third(*arguments: Any, **options: Any) -> Any:
        fitted.append(1)
        if len(fitted) == 3:
            raise Interrupted("stopped", 15)
        return whole(*arguments, **options)

    monkeypatch.setattr(fitting, "fit", stop_third)
    arguments = ("compare", data, "--models", "gru,bow", "--seeds", 2, "--hidden", 4, *SMALL)
    code, _, err = command(*arguments)
    assert code == 143 and "the same command goes on" in err
    code, lines, err = command(*arguments, "--json")
    assert code == 0 and len(fitted) == 5  # two done, the third again, the fourth
    found = json.loads(lines[0])
    assert {one["model"]: one["runs"] for one in found["models"]} == {"gru": 2, "bow": 2}
    code, _, err = command("compare", data, "--models", "gru,bow,rnn", "--seeds", 2, "--hidden", 4, *SMALL)
    assert code == 0 and len(fitted) == 7 and "5 of 6" not in err
    page = Path("reviews.comparison/report.html").read_text()
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert "Learning curves" in page and "http:" not in page and "https:" not in page
    code, _, err = command("compare", data, "--models", "gru", "--hidden", 4, *SMALL, "--dropout", 0.1)
    assert code == 2 and "was made with other settings" in err


def test_seconds_are_those_of_training_in_all_sessions(data: Path, tmp_path: Path) -> None:
    class StopInSecondEpoch(Callback):
        def on_step(self, standing: Progress, loss: float) -> None:
            if standing.step == 1:
                time.sleep(0.3)
            if standing.epoch == 1:
                raise Interrupted("stopped", 15)

    texts = read_labelled(data)
    given = {"model": "gru", "hidden": 4, "embedding": 4, "epochs": 2, "batch_size": 16, "level": "word"}
    prepared = fitting.prepare(texts.texts, texts.labels, given)
    with pytest.raises(Interrupted):
        fitting.fit(prepared, folder=tmp_path / "checkpoints", callbacks=[StopInSecondEpoch()])
    outcome = fitting.fit(prepared, folder=tmp_path / "checkpoints", resume=True)
    assert outcome.trained >= 0.3


def test_a_difference_that_folds_do_not_bear_out_is_called_one_on_these_texts() -> None:
    def verdict(p: float, p_folds: float | None) -> str:
        return report._verdict(report.Difference("gru", "cnn", 0.1, (0.0, 0.2), p, p_folds))

    assert verdict(0.2, 0.01) == "could be chance"
    assert verdict(0.01, None) == verdict(0.01, 0.01) == "a difference"
    assert verdict(0.01, 0.2).startswith("on these texts")


def test_figures_are_counted_from_the_answers(data: Path, command: Command) -> None:
    arguments = ("compare", data, "--models", "bow,cnn", "--seeds", 1, "--folds", 3, "--filters", 3, *SMALL)
    code, lines, _ = command(*arguments)
    assert code == 0 and any("over folds" in line for line in lines)
    texts = read_labelled(data)
    plan = runner.Plan(("bow", "cnn"), 1, 3)
    splits = runner.parts(texts, 3)
    assert sorted(row for _, test in splits for row in test) == list(range(len(texts.texts)))
    labels = sorted(set(texts.labels))
    results = [
        runner._read(Path("reviews.comparison/jobs") / job.name / "result.json", job) for job in runner.jobs(plan)
    ]
    right: dict[str, list[float]] = {"bow": [], "cnn": []}
    for result in results:
        truth = [texts.labels[row] for row in splits[result.job.fold][1]]
        hits = [labels[answer] == label for answer, label in zip(result.answers, truth, strict=True)]
        assert result.figures["accuracy"] == pytest.approx(np.mean(hits))
        right[result.job.model] += hits
    (pair,) = report.differences(plan, results, texts, splits)
    assert pair.mean == pytest.approx(np.mean(right[pair.one]) - np.mean(right[pair.other]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--models", "gru,gru"), "each model once"),
        (("--models", "gru,lstn"), "did you mean 'lstm'"),
        (("--seeds", 0), "--seeds is 0"),
        (("--folds", 1), "--folds is 1"),
        (("--models", "gru", "--region-sizes", "1,2"), "--region-sizes has no effect"),
        (("--seed", 3), "--seed is not a setting here"),
        (("--layer-decay", 0.5), "--layer-decay has no effect without --from MODEL"),
        (("--minutes", -1), "--minutes"),
    ],
)
def test_refusals(data: Path, command: Command, arguments: tuple[object, ...], words: str) -> None:
    code, _, err = command("compare", data, *arguments)
    assert code == 2 and words in err
    assert not Path("reviews.comparison").exists()


def test_foreign_folder_is_left_alone(data: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    code, _, err = command("compare", data, "--models", "bow", "--out", tmp_path / "mine")
    assert code == 2 and "is no comparison" in err and not list((tmp_path / "mine").iterdir())


def test_a_second_process_is_kept_off(data: Path, command: Command, tmp_path: Path) -> None:
    arguments = ("compare", data, "--models", "bow", "--seeds", 1)
    assert command(*arguments)[0] == 0
    with files.alone(tmp_path / "reviews.comparison", "comparison.json"):
        code, _, err = command(*arguments)
    assert code == 2 and "another process is at work on reviews.comparison" in err


def test_a_search_finds_settings_for_each_network_on_each_fold(
    data: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    searched: list[Any] = []

    def find(settings: Settings, build: Any, fixed: Any, path: Path, *, minutes: float, **_: Any) -> dict[str, Any]:
        if path.parent.name == "gru-fold1" and len(searched) == 1:
            searched.append("stopped")
            raise Interrupted("stopped", 15)
        searched.append((path.parent.name, minutes))
        assert {"embedding", "epochs"} <= set(fixed) and build(settings)[2] == settings
        return {"hidden": 3 + int(path.parent.name[-1]), "learning_rate": 0.05}

    monkeypatch.setattr(search, "find", find)
    arguments = ("compare", data, "--models", "gru,bow", "--seeds", 2, "--folds", 2, "--minutes", 4, "--search", *SMALL)
    assert command(*arguments)[0] == 143
    code, lines, _ = command(*arguments)
    assert code == 0 and searched == [("gru-fold0", 1.0), "stopped", ("gru-fold1", 1.0)]
    plan = runner.Plan(("gru", "bow"), 2, 2, 4.0, {"embedding": 4}, search=True)
    assert runner._given(plan, runner.Job("gru", 0, 0))["minutes"] == 0.5  # half of 4, for two seeds on two folds
    assert "found      gru, fold 1    --hidden 4 --learning-rate 0.05" in lines
    page = Path("reviews.comparison/report.html").read_text()
    assert "--model gru --hidden 3 --learning-rate 0.05" in page
    parameters = [json.loads(path.read_text())["parameters"] for path in sorted(Path().rglob("gru*/result.json"))]
    assert parameters[0] != parameters[1] and len(parameters) == 4  # three units on one fold, four on the other


def test_a_search_without_minutes_is_refused(data: Path, command: Command) -> None:
    pytest.importorskip("optuna")
    code, _, err = command("compare", data, "--models", "gru", "--search")
    assert code == 2 and "--search needs --minutes" in err
    code, _, err = command("compare", data, "--models", "bow", "--search", "--minutes", 1)
    assert code == 2 and "--search has no effect" in err
