"""What watches a run: the log that a resumed run continues, and the bar."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from unspool.errors import TrainingError
from unspool.training.callbacks import Callback, MetricsLog, ProgressBar
from unspool.training.checkpoint import Progress

FIGURES = {"loss": 0.5, "score": 0.25}


def test_one_sorted_line_an_epoch(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.on_start(Progress())
    log.on_validation(Progress(step=3, epoch=1, seconds=1.23456), FIGURES, best=True)
    log.on_validation(Progress(step=6, epoch=2, seconds=2), FIGURES, best=False)
    lines = log.path.read_text().splitlines()
    assert lines[0] == '{"best": true, "epoch": 1, "loss": 0.5, "score": 0.25, "seconds": 1.23, "step": 3}'
    assert [json.loads(line)["best"] for line in lines] == [True, False]


@pytest.mark.parametrize("tail", ["", '{"epoch": 3, "lo', '{"epoch": {}', "[]", '{"no": 1}', '{"epoch": 1e999}'])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_resumed_run_drops_what_it_will_write_again(tmp_path: Path, epoch: int, tail: str) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = ['{"epoch": 1, "loss": 0.5}\n', '{"epoch": 2, "loss": 0.4}\n']
    path.write_text("".join(lines) + tail)
    MetricsLog(path).on_start(Progress(epoch=epoch))
    assert path.read_text() == "".join(lines[:epoch])


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none/metrics\.jsonl .* cannot be written"):
        MetricsLog(tmp_path / "none" / "metrics.jsonl").on_validation(Progress(), FIGURES, best=True)


def test_no_figure_that_json_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        MetricsLog(tmp_path / "m").on_validation(Progress(), {"loss": float("nan")}, best=True)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_an_epoch_and_a_bar_on_a_terminal_only(terminal: bool) -> None:
    output = io.StringIO()
    bar = ProgressBar(Console(file=output, force_terminal=terminal, width=100))
    bar.on_start(Progress(planned_steps=6))
    assert (bar.bar is not None) == terminal
    for step in range(1, 4):
        bar.on_step(Progress(step=step, planned_steps=6), 0.7)
    bar.on_validation(Progress(step=3, epoch=1, seconds=2.0), FIGURES, best=True)
    bar.on_end()
    assert bar.bar is None
    assert "epoch   1  loss 0.5000     2.0 s  *" in output.getvalue()
    assert ("training" in output.getvalue() or "\x1b" in output.getvalue()) == terminal


def test_the_moments_come_in_order(toy: Any) -> None:
    seen: list[str] = []

    class All(Callback):
        def on_start(self, standing: Progress) -> None:
            super().on_start(standing)
            seen.append("start")

        def on_step(self, standing: Progress, loss: float) -> None:
            super().on_step(standing, loss)
            seen.append(f"step {standing.step}")

        def on_validation(self, standing: Progress, figures: Any, *, best: bool) -> None:
            super().on_validation(standing, figures, best=best)
            seen.append(f"validation {standing.epoch} {sorted(figures)}")

        def on_end(self) -> None:
            super().on_end()
            seen.append("end")

    toy(None, None, All(), epochs=1).fit()
    assert seen == ["start", "step 1", "step 2", "step 3", "validation 1 ['loss', 'score', 'train_loss']", "end"]
