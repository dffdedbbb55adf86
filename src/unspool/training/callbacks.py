"""What watches a run: a few named moments, each an empty hook."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from unspool import files
from unspool.training.checkpoint import Progress as Standing

Figures = Mapping[str, float]


class Callback:
    """Base of all watchers; override the moments you need."""

    def on_start(self, standing: Standing) -> None:
        """Training begins or goes on."""

    def on_step(self, standing: Standing, loss: float) -> None:
        """One update was made; `loss` in nats."""

    def on_validation(self, standing: Standing, figures: Figures, *, best: bool) -> None:
        """An epoch ended and was validated; `figures` has at least loss and score."""

    def on_end(self) -> None:
        """Training is over, for whatever reason."""


class MetricsLog(Callback):
    """One JSON line an epoch in `metrics.jsonl`; a resumed run drops the lines it will write again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_start(self, standing: Standing) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if 0 < _epoch(line) <= standing.epoch]
        files.publish(self.path, "".join(line + "\n" for line in kept).encode())

    def on_validation(self, standing: Standing, figures: Figures, *, best: bool) -> None:
        row = {"epoch": standing.epoch, "step": standing.step, "seconds": round(standing.seconds, 2)}
        files.append_line(self.path, json.dumps({**row, **figures, "best": best}, sort_keys=True, allow_nan=False))


def _epoch(line: str) -> int:
    """The epoch of a line of the log; 0 for one that a kill cut short."""
    try:
        return int(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return 0


class ProgressBar(Callback):
    """A bar with the time left on a terminal, one line an epoch everywhere; on stderr."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.started = time.monotonic()

    def on_start(self, standing: Standing) -> None:
        if not self.console.is_terminal:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console, transient=True)
        self.task = self.bar.add_task("training", total=standing.planned_steps, completed=standing.step)
        self.bar.start()

    def on_step(self, standing: Standing, loss: float) -> None:
        if self.bar:
            text = f"epoch {standing.epoch + 1}  loss {loss:.3f}"
            self.bar.update(self.task, completed=standing.step, total=standing.planned_steps, description=text)

    def on_validation(self, standing: Standing, figures: Figures, *, best: bool) -> None:
        shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "score")
        mark = "  *" if best else ""
        self.console.print(f"epoch {standing.epoch:3d}  {shown}  {standing.seconds:6.1f} s{mark}", highlight=False)

    def on_end(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
