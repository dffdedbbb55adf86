"""A disk that is full, a file limit, a folder that cannot be written: told with path and size, and nothing is lost."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unspool.cli import run as command
from unspool.errors import TrainingError
from unspool.tasks import Request, run
from unspool.training.callbacks import Callback
from unspool.training.checkpoint import Progress

SIZE = 4 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of SIZE bytes of its own, where mounting is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


class At(Callback):
    """Does something after one step."""

    def __init__(self, step: int, action: Callable[[], Any]) -> None:
        self.step, self.action = step, action

    def on_step(self, standing: Progress, loss: float) -> None:
        if standing.step == self.step:
            self.action()


def fill(disk: Path, left: int) -> None:
    """Leave `left` bytes of the disk."""
    (disk / "ballast").write_bytes(b"")
    free = shutil.disk_usage(disk).free
    (disk / "ballast").write_bytes(bytes(max(0, free - left)))


@pytest.mark.parametrize("left", [0, 4096, 12288, 20480])
def test_a_disk_that_fills_up_ends_the_run_and_room_lets_it_go_on(
    left: int, whole: SimpleNamespace, disk: Path, agree: Any
) -> None:
    folder = disk / "run"
    with pytest.raises(TrainingError, match=r"run/\S+ \([\d,]+ bytes\) cannot be written: No space left on device"):
        run.start(Request(whole.data, whole.settings), folder, callbacks=(At(9, lambda: fill(disk, left)),))
    assert not list(folder.rglob("*.tmp"))
    (disk / "ballast").unlink()
    told: list[str] = []
    run.resume(folder, notice=told.append)
    assert not any("damaged" in line for line in told)
    assert any(line.startswith("resume     from step 7,") for line in told)
    assert agree(folder, whole.folder)


def test_a_disk_too_small_is_told_before_the_first_step(whole: SimpleNamespace, disk: Path) -> None:
    fill(disk, 8192)
    with pytest.raises(TrainingError, match=r"run needs [\d,]+ bytes for checkpoints, the disk has [\d,]+$"):
        run.start(Request(whole.data, whole.settings), disk / "run")
    assert not (disk / "run").exists()


def test_a_disk_that_can_only_be_read(whole: SimpleNamespace, disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def remount(mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", disk], check=True)

    with pytest.raises(TrainingError, match="cannot be written: Read-only file system"):
        run.start(Request(whole.data, whole.settings), disk / "run", callbacks=(At(9, lambda: remount("ro")),))
    capfd.readouterr()
    assert command(["resume", str(disk / "run")]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("unspool: ")
    assert last.endswith("cannot be written: Read-only file system")
    assert command(["train", str(whole.data), "--out", str(disk / "other"), *whole.flags]) == 2
    assert "other cannot be made: Read-only file system" in capfd.readouterr().err
    remount("rw")
    assert command(["resume", str(disk / "run")]) == 0


def test_a_limit_on_file_sizes_is_told(whole: SimpleNamespace, tmp_path: Path, agree: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))

    try:
        with pytest.raises(
            TrainingError, match=r"state\.safetensors \([\d,]+ bytes\) cannot be written: File too large"
        ):
            run.start(Request(whole.data, whole.settings), tmp_path / "run", callbacks=(At(9, limit),))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run.resume(tmp_path / "run")
    assert agree(tmp_path / "run", whole.folder)


def test_a_run_file_that_cannot_be_written_leaves_no_folder(
    whole: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise TrainingError("run.json cannot be written")

    monkeypatch.setattr(run.files, "publish", refuse)
    with pytest.raises(TrainingError, match=r"run\.json cannot be written"):
        run.start(Request(whole.data, whole.settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()
