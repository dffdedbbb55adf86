"""A whole run: train, stop, resume, predict, on a few dozen made-up texts."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unspool import predictors
from unspool.cli import run as command
from unspool.errors import Interrupted, ModelFileError, TrainingError, UsageError
from unspool.tasks import Request, run
from unspool.training import checkpoint, trainer
from unspool.training.callbacks import Callback
from unspool.training.checkpoint import Progress

GOOD, BAD = ("fine", "lovely", "bright", "warm"), ("dull", "grim", "flat", "cold")
TINY: dict[str, Any] = {"model": "gru", "hidden": 6, "embedding": 5, "epochs": 3, "batch_size": 8, "min_count": 2}


def write_reviews(folder: Path, count: int = 60) -> Path:
    generator = np.random.default_rng(0)
    lines = ["text,label"]
    for row in range(count):
        words = GOOD if row % 2 else BAD
        chosen = " ".join(generator.choice([*words, "a", "the", "film"], size=4 + row % 7))
        lines.append(f"{chosen} {row % 5},{'pos' if row % 2 else 'neg'}")
    path = folder / "reviews.csv"
    path.write_text("\n".join([*lines, "zzpassword a film,pos"]) + "\n")
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write_reviews(tmp_path)


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


class StopAt(Callback):
    """Sends a signal after some steps."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    def on_step(self, standing: Progress, loss: float) -> None:
        if standing.step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("step", [1, 7, 14, 20])
def test_a_stopped_run_resumes_to_the_same_bits(reviews: Path, tmp_path: Path, step: int) -> None:
    request = Request(reviews, TINY)
    whole = run.start(request, tmp_path / "whole")
    with pytest.raises(Interrupted, match=rf"^stopped after step {step}; go on with: unspool resume \S+$") as stopped:
        run.start(request, tmp_path / "stopped", callbacks=(StopAt(step),))
    assert stopped.value.signal_number == signal.SIGTERM
    resumed = run.resume(tmp_path / "stopped")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    assert resumed.outcome.validation == whole.outcome.validation
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "stopped")]
    rows = [[{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in log] for log in logs]
    assert rows[0] == rows[1]


def stopped_run(reviews: Path, folder: Path) -> Path:
    with pytest.raises(Interrupted):
        run.start(Request(reviews, TINY), folder, callbacks=(StopAt(12),))
    return folder


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(reviews: Path, tmp_path: Path) -> None:
    run.start(Request(reviews, TINY), tmp_path / "whole")
    folder = stopped_run(reviews, tmp_path / "stopped")
    newest = sorted((folder / "checkpoints").iterdir())[-1] / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-3])
    told: list[str] = []
    run.resume(folder, notice=told.append)
    assert any("is damaged" in line and "the one before is taken" in line for line in told)
    assert weights(folder) == weights(tmp_path / "whole")


def test_with_all_checkpoints_damaged_nothing_is_touched(reviews: Path, tmp_path: Path) -> None:
    folder = stopped_run(reviews, tmp_path / "stopped")
    for path in (folder / "checkpoints").glob("*/state.json"):
        path.write_bytes(path.read_bytes().replace(b"step", b"stop"))
    before = sorted(path.stat().st_mtime_ns for path in folder.rglob("*"))
    with pytest.raises(ModelFileError, match=r"every checkpoint in .* is damaged: nothing was touched"):
        run.resume(folder)
    assert sorted(path.stat().st_mtime_ns for path in folder.rglob("*")) == before


@pytest.mark.parametrize("field", ["step", "epoch", "position", "best_score", "best_epoch", "planned_steps"])
def test_every_field_of_a_checkpoint_is_needed(reviews: Path, tmp_path: Path, field: str) -> None:
    folder = stopped_run(reviews, tmp_path / "stopped")
    for path in (folder / "checkpoints").iterdir():
        state = json.loads((path / "state.json").read_text())
        del state["progress"][field]
        (path / "state.json").write_text(json.dumps(state))
    with pytest.raises(ModelFileError, match="damaged"):
        run.resume(folder)


def test_changed_data_is_refused_by_name(reviews: Path, tmp_path: Path) -> None:
    folder = stopped_run(reviews, tmp_path / "stopped")
    reviews.write_text(reviews.read_text() + "one more fine film,pos\n")
    with pytest.raises(UsageError, match=r"this differs from the run: data was .*--allow-changed"):
        run.resume(folder)


def test_a_loss_that_is_not_finite_stops_at_once(reviews: Path, tmp_path: Path) -> None:
    request = Request(reviews, {**TINY, "learning_rate": 1e30, "optimizer": "sgd"})
    with pytest.raises(TrainingError, match=r"became (nan|inf) at step \d+ \(epoch \d+, rows .*lower --learning-rate"):
        run.start(request, tmp_path / "run")
    for path in (tmp_path / "run").rglob("*.safetensors"):
        raise AssertionError(f"{path} was written")


def test_a_folder_that_exists_is_refused(reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="exists: choose another --out"):
        run.start(Request(reviews, TINY), tmp_path / "taken")


def test_the_model_folder_tells_no_secrets(reviews: Path, tmp_path: Path) -> None:
    finished = run.start(Request(reviews, TINY), tmp_path / "run")
    for path in finished.model.iterdir():
        content = path.read_bytes()
        assert b"zzpassword" not in content
        assert str(tmp_path).encode() not in content
        assert stat.S_IMODE(path.stat().st_mode) & 0o133 == 0
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_minutes_end_the_training_early(reviews: Path, tmp_path: Path) -> None:
    told: list[str] = []
    request = Request(reviews, {**TINY, "epochs": 100_000, "patience": 100_000, "minutes": 0.05})
    finished = run.start(request, tmp_path / "run", notice=told.append)
    assert any(line.startswith("time       the time of --minutes 0.05, which counts from the start") for line in told)
    assert 1 <= finished.outcome.epochs < 5_000
    assert finished.outcome.seconds < 30


def test_minutes_count_from_the_moment_given(reviews: Path, tmp_path: Path) -> None:
    request = Request(reviews, {**TINY, "epochs": 100_000, "patience": 100_000, "minutes": 10.0})
    finished = run.start(request, tmp_path / "run", started=time.monotonic() - 599.0)
    assert finished.outcome.seconds < 10


def test_steps_seed_themselves() -> None:
    seeds = {trainer._step_seed(seed, step) for seed in range(3) for step in range(50)}
    assert len(seeds) == 150


def test_two_checkpoints_are_kept(reviews: Path, tmp_path: Path) -> None:
    run.start(Request(reviews, TINY), tmp_path / "run")
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == checkpoint.KEPT


HOSTILE = {
    "empty.csv": (b"", "empty"),
    "header.csv": (b"text,label\n", "header.csv"),
    "nul.csv": (b"text,label\na\x00b,pos\nc,neg\n", "NUL"),
    "quote.csv": (b'text,label\n"open,pos\nc,neg\n', "quote"),
    "ragged.csv": (b"text,label\na,pos,x\nc,neg\n", "ragged.csv"),
    "single.csv": (b"text,label\nfine film,pos\ngood film,pos\nwarm film,pos\n", "label"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_cannot_be_used_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    content, word = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert command(["train", name]) == 2
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("unspool:")]
    assert len(error) == 1
    assert word in error[0]
    assert len(error[0]) <= 1024
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_train_evaluate_predict_from_the_command(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--model", "cnn", "--filters", "4", "--embedding", "5", "--epochs", "4", "--region-sizes", "1,2"]
    assert command(["train", str(reviews), *flags, "--json"]) == 0
    summary = json.loads(capfdbinary.readouterr().out)
    assert {"model", "validation", "baseline", "seconds", "epochs", "parameters"} <= set(summary)
    assert command(["evaluate", summary["model"], str(reviews), "--json"]) == 0
    figures = json.loads(capfdbinary.readouterr().out)
    assert {"accuracy", "macro_f1", "log_loss", "examples"} <= set(figures)
    assert figures["seen_in_training"] > 40
    asked = "fine\u2028film\nlovely\x85a\n\na\x0bb\x0cc\rd\ne\x00f\n\ufeffgrim\nlast".encode()
    (tmp_path / "asked.txt").write_bytes(asked)
    assert command(["predict", "reviews.unspool", "--input", "asked.txt", "--json"]) == 0
    answers = [json.loads(line) for line in capfdbinary.readouterr().out.split(b"\n")[:-1]]
    assert len(answers) == 7
    assert all(answer["label"] in ("neg", "pos") for answer in answers)
    loaded = predictors.load(tmp_path / "reviews.unspool")
    alone = np.exp(loaded.log_probabilities(["fine\u2028film"]))[0]
    assert answers[0]["probabilities"]["neg"] == pytest.approx(alone[0], abs=2e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "train"),
        (["train", "reviews.csv", "--modle", "gru"], "--modle"),
        (["train", "reviews.csv", "--model", "lsmt"], "did you mean 'lstm'"),
        (["train", "reviews.csv", "--model", "cnn", "--hidden", "3"], "--hidden has no effect on the model 'cnn'"),
        (["train", "nowhere.csv"], "nowhere.csv"),
        (["predict", "nowhere", "a text"], "there is no model at nowhere"),
        (["resume", "."], "is not a run"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    arguments: list[str], words: str, reviews: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(reviews.parent)
    assert command(arguments) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("unspool: ")
    assert words in error
