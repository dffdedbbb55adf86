"""Made-up texts and the smallest runs on them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unspool.errors import Interrupted
from unspool.tasks import Request, run
from unspool.training.callbacks import Callback
from unspool.training.checkpoint import Progress

GOOD, BAD = ("fine", "lovely", "bright", "warm"), ("dull", "grim", "flat", "cold")
TINY: dict[str, Any] = {"model": "gru", "hidden": 6, "embedding": 5, "epochs": 3, "batch_size": 8, "min_count": 2}
FLAGS = ["--model", "gru", "--hidden", "8", "--embedding", "8", "--batch-size", "8", "--min-count", "1"]
FLAGS += ["--epochs", "30", "--patience", "30"]


def write_table(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{text}\t{label}\n" for text, label in [("text", "label"), *rows]))
    return path


def review_rows(count: int = 60, seed: int = 0) -> list[tuple[str, str]]:
    generator = np.random.default_rng(seed)
    rows = []
    for row in range(count):
        words = GOOD if row % 2 else BAD
        chosen = " ".join(generator.choice([*words, "a", "the", "film"], size=4 + row % 7))
        rows.append((f"{chosen} {row % 5}", "pos" if row % 2 else "neg"))
    return rows


class StopAt(Callback):
    """Sends a signal after some steps."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    def on_step(self, standing: Progress, loss: float) -> None:
        if standing.step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The reviews and a run on them that nothing disturbed: `data`, `folder`, `settings`; `flags` make a longer one."""
    folder = tmp_path_factory.mktemp("whole")
    data = write_table(folder / "reviews.tsv", review_rows())
    run.start(Request(data, TINY), folder / "run")
    return SimpleNamespace(data=data, folder=folder / "run", settings=TINY, flags=FLAGS)


@pytest.fixture(scope="session")
def undisturbed(whole: SimpleNamespace, installed: Callable[..., subprocess.Popen[str]]) -> Path:
    """A run of the installed command with FLAGS."""
    folder: Path = whole.data.with_name("undisturbed")
    process = installed("train", whole.data, "--out", folder, *FLAGS)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 0, error
    return folder


@pytest.fixture
def stopped(whole: SimpleNamespace, tmp_path: Path) -> Callable[..., Path]:
    """Makes a run on the same reviews that a signal stopped after `step`."""

    def make(step: int = 12) -> Path:
        with pytest.raises(Interrupted):
            run.start(Request(whole.data, TINY), tmp_path / "stopped", callbacks=(StopAt(step),))
        return tmp_path / "stopped"

    return make


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def log(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl without the seconds."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def same_end(folder: Path, other: Path) -> bool:
    """Whether two finished runs agree to the bit, and no temporary file is left."""
    return weights(folder) == weights(other) and log(folder) == log(other) and not list(folder.rglob("*.tmp"))


@pytest.fixture
def agree() -> Callable[[Path, Path], bool]:
    return same_end


UNSPOOL = Path(sys.executable).with_name("unspool")


@pytest.fixture(scope="session")
def installed() -> Callable[..., subprocess.Popen[str]]:
    """Starts the installed command as a process group of its own, on one thread."""

    def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [UNSPOOL, *map(str, arguments)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start
