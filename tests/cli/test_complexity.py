"""`unspool complexity`, counts and refusals; times are only asked to be there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unspool import config
from unspool.inspection.complexity import timing
from unspool.models.recipes import recipe

Command = Callable[..., tuple[int, list[str], str]]


def test_side_by_side(command: Command) -> None:
    code, lines, _ = command("complexity", "--no-measure", "--length", 100, "--hidden", 10, "--filters", 7)
    assert code == 0
    assert [line.split()[0] for line in lines[2:8]] == ["rnn", "gru", "lstm", "cnn", "qrnn", "attention"]


def test_one_model_as_json(command: Command) -> None:
    arguments = ("--model", "lstm", "--embedding", 3, "--hidden", 5, "--no-bidirectional", "--kinds", 11)
    code, lines, _ = command("complexity", *arguments, "--length", 7, "--labels", 4, "--no-measure", "--json")
    (found,) = json.loads(lines[0])["models"]
    assert code == 0
    assert found["parameters"] == 11 * 3 + 4 * 5 * (3 + 5 + 2) + 4 * (5 + 1)
    assert found["multiply_adds"] == 7 * 4 * 5 * (3 + 5) + 4 * 5
    assert found["layers"][1]["formulas"]["multiply_adds"] == "4·H²·T + 4·H·I·T"


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(timing, "PASSES", 1)
    monkeypatch.setattr(timing, "CALIBRATION", [timing.Shape(2, 4, 6, 6), timing.Shape(1, 9, 5, 8)])


def test_what_would_take_too_much_is_only_predicted(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    huge = ("complexity", "--model", "lstm", "--length", 10**6, "--batch", 1000)
    code, lines, err = command(*huge)
    assert code == 0 and "only predicted" in err
    assert lines[2].split()[0] == "lstm" and lines[2].split()[-1] == "–"
    code, lines, _ = command(*huge, "--json")
    seconds = json.loads(lines[0])["models"][0]["seconds"]
    assert seconds["training"]["measured"] is None and seconds["training"]["predicted"] > 0


def test_a_deep_or_wide_network_is_calibrated_at_fewer_shapes() -> None:
    def shapes(**given: Any) -> int:
        return len(timing._affordable(config.resolve(recipe(given["model"]), given), False))

    every = len(timing.CALIBRATION)
    assert all(shapes(model=model) == every for model in ("rnn", "gru", "lstm", "cnn", "qrnn", "stacked-cnn"))
    assert timing.LEAST_SHAPES <= shapes(model="lstm", layers=32) < every
    assert shapes(model="cnn-lstm", filters=8192, kernel_size=64) <= timing.LEAST_SHAPES + 1


def test_a_long_run_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LONG", 0.0)
    calls = []
    assert timing._best(lambda: calls.append(1)) >= 0 and len(calls) == 1


def test_trained_model_is_measured_and_drawn(
    model: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    page = tmp_path / "cost.html"
    code, lines, err = command("complexity", model, "--length", 20, "--batch", 2, "--out", page)
    assert code == 0 and "measuring  gru" in err
    assert "measured" in lines[1] and any("for a batch of 2" in line for line in lines)
    assert "What it costs" in page.read_text()
    code, _, err = command("complexity", model, "--no-measure", "--out", page)
    assert code == 2 and "exists" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--length", 0), "--length is 0"),
        (("--model", "bow"), "no layers"),
        (("--model", "lstm", "--task", "generate"), "leave out --task"),
        (("--model", "cnn", "--hidden", 3), "no effect"),
        (("--pool-size", 3), "--pool-size has no effect"),
        (("--model", "lstn"), "did you mean"),
    ],
)
def test_refusals(command: Command, arguments: tuple[object, ...], words: str) -> None:
    code, _, err = command("complexity", "--no-measure", *arguments)
    assert code == 2 and words in err


def test_settings_beside_a_trained_model_are_refused(model: Path, command: Command) -> None:
    code, _, err = command("complexity", model, "--hidden", 3)
    assert code == 2 and "--hidden has no effect on a trained model" in err
