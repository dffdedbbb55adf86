"""`unspool resume`: exit codes and words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, list[str], str]]
FLAGS = ["--model", "gru", "--hidden", "4", "--embedding", "4", "--min-count", "1", "--level", "word", "--epochs", "2"]


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [f"{'fine' if n % 2 else 'dull'} film number {n},{'pos' if n % 2 else 'neg'}\n" for n in range(60)]
    Path("reviews.csv").write_text("text,label\n" + "".join(rows))
    assert command("train", "reviews.csv", *FLAGS)[0] == 0
    return Path("reviews.unspool")


def test_a_finished_run_gives_its_figures_again(finished: Path, command: Command) -> None:
    before = (finished / "model" / "model.safetensors").read_bytes()
    code, out, error = command("resume", finished, "--json")
    assert code == 0
    assert json.loads(out[0])["model"] == "reviews.unspool/model"
    assert json.loads(out[0])["epochs"] == 2
    assert "training had ended after epoch 2" in error
    assert (finished / "model" / "model.safetensors").read_bytes() == before


def test_a_run_is_resumed_from_any_folder(
    finished: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("resume", Path("..") / finished)[0] == 0


def test_changed_texts_are_refused_until_allowed(finished: Path, command: Command) -> None:
    with Path("reviews.csv").open("a") as file:
        file.write("dull film number 7,neg\n")
    code, out, error = command("resume", finished)
    assert (code, out) == (2, [])
    assert error.startswith("unspool: this differs from the run: data was ")
    assert command("resume", finished, "--allow-changed")[0] == 0


def test_all_checkpoints_damaged_is_refused(finished: Path, command: Command) -> None:
    for path in (finished / "checkpoints").glob("*/state.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    code, out, error = command("resume", finished)
    assert (code, out) == (2, [])
    assert "every checkpoint in reviews.unspool/checkpoints is damaged: nothing was touched" in error.splitlines()[-1]


@pytest.mark.parametrize("name", ["reviews.csv", "nowhere", ".", "reviews.unspool/model"])
def test_what_is_no_run_is_refused(name: str, finished: Path, command: Command) -> None:
    code, out, error = command("resume", name)
    assert (code, out) == (2, [])
    assert error == f"unspool: {Path(name)} is not a run: it has no run.json\n"
