"""The installed command, killed and stopped from outside at random moments, and taken up again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Installed = Callable[..., "subprocess.Popen[str]"]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until `path` exists; a process that ends before is an error."""
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.005)


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """The lines on stderr of a process that ends with `code`."""
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert "Traceback" not in error
    return error


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    whole: SimpleNamespace, undisturbed: Path, installed: Installed, tmp_path: Path, agree: Any
) -> None:
    generator, folder = random.Random(1), tmp_path / "killed"
    process = installed("train", whole.data, "--out", folder, *whole.flags)
    wait_for(folder / "run.json", process)
    for newest in ("checkpoints/step-*", "model"):
        time.sleep(generator.uniform(0.0, 0.4))
        kill_group(process)
        process = installed("resume", folder)
        while process.poll() is None and not list(folder.glob(newest)):
            time.sleep(0.005)
    ended(process)
    assert agree(folder, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_any_moment_is_one_line_and_a_run_to_resume(
    number: signal.Signals, whole: SimpleNamespace, undisturbed: Path, installed: Installed, tmp_path: Path, agree: Any
) -> None:
    folder = tmp_path / "stopped"
    process = installed("train", whole.data, "--out", folder, *whole.flags)
    wait_for(folder / "checkpoints", process)
    time.sleep(0.1)
    asked = time.monotonic()
    process.send_signal(number)
    last = ended(process, 128 + number).splitlines()[-1]
    assert time.monotonic() - asked < 5
    assert last.startswith("unspool: stopped")
    assert last.endswith(f"go on with: unspool resume {folder}")
    ended(installed("resume", folder))
    assert agree(folder, undisturbed)


def test_a_signal_at_start_up_leaves_nothing(installed: Installed, tmp_path: Path) -> None:
    fifo = tmp_path / "texts.csv"
    os.mkfifo(fifo)  # reading it waits, as a slow disk does
    process = installed("train", fifo, "--out", tmp_path / "never")
    with fifo.open("w"):  # opens when the command does
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        error = ended(process, 143)
    assert error.splitlines()[-1] == "unspool: stopped"
    assert not (tmp_path / "never").exists()


def test_reruns_are_the_same_bits_anywhere(
    whole: SimpleNamespace, undisturbed: Path, installed: Installed, tmp_path: Path, agree: Any
) -> None:
    elsewhere = {"PYTHONHASHSEED": "77", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "C", "HOME": "/nowhere"}
    ended(installed("train", whole.data, "--out", tmp_path / "again", *whole.flags, **elsewhere))
    assert agree(tmp_path / "again", undisturbed)
