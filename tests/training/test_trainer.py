"""The loop: it resumes to the same bits from anywhere, stops when it must, keeps the best, keeps to the time."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unspool.errors import Interrupted, ModelFileError, TrainingError
from unspool.training import trainer as trainer_module
from unspool.training.callbacks import Callback, MetricsLog
from unspool.training.checkpoint import Progress

STEPS = 9  # three epochs of three batches


def standing(progress: Progress) -> dict[str, Any]:
    return {name: value for name, value in asdict(progress).items() if name != "seconds"}


def log_rows(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("optimizer", ["adamw", "adadelta", "rmsprop", "sgd"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_stopped_at_any_step_it_resumes_to_the_same_bits(toy: Any, tmp_path: Path, step: int, optimizer: str) -> None:
    whole = toy(tmp_path / "w" / "checkpoints", None, MetricsLog(tmp_path / "w.jsonl"), optimizer=optimizer)
    end = whole.fit()
    folder, log = tmp_path / "s" / "checkpoints", MetricsLog(tmp_path / "s.jsonl")
    stopped = toy(folder, None, log, toy.StopAt(step), optimizer=optimizer)
    with pytest.raises(Interrupted, match=rf"stopped after step {step}; go on with: unspool resume .*/s$") as error:
        stopped.fit()
    assert error.value.signal_number == signal.SIGTERM
    resumed = toy(folder, None, log, optimizer=optimizer)
    assert resumed.resume(pytest.fail)
    assert resumed.progress.step == step
    assert standing(resumed.fit()) == standing(end)
    assert toy.state(resumed) == toy.state(whole)
    assert log_rows(tmp_path / "s.jsonl") == log_rows(tmp_path / "w.jsonl")
    assert len(log_rows(tmp_path / "s.jsonl")) == 3
    assert stopped.data.seen + resumed.data.seen == whole.data.seen


def test_averaged_weights_resume_to_the_same_bits(toy: Any, tmp_path: Path) -> None:
    whole = toy(average=0.8)
    whole.fit()
    with pytest.raises(Interrupted):
        toy(tmp_path, None, toy.StopAt(5), average=0.8).fit()
    resumed = toy(tmp_path, average=0.8)
    assert resumed.resume(pytest.fail)
    resumed.fit()
    assert toy.state(resumed) == toy.state(whole)


def test_what_is_judged_and_kept_is_the_average_of_the_weights(toy: Any) -> None:
    history: list[Any] = []

    class Watch(Callback):
        def on_step(self, standing: Any, loss: float) -> None:
            history.append(trainer.model.layers[0].weight.detach().numpy().astype(np.float64))

    trainer = toy(None, toy.Data([0.1, 0.2, 0.3]), Watch(), average=0.8)
    trainer.fit()
    expected = history[0]
    for number, weight in enumerate(history[1:], start=1):
        share = min(0.8, (1 + number) / (10 + number))  # of few steps the first is not kept for ever
        expected = share * expected + (1 - share) * weight
    assert np.abs(expected - history[-1]).max() > 1e-3
    np.testing.assert_allclose(trainer.model.layers[0].weight.detach(), expected, atol=1e-6)


def stop_in_validation(toy: Any, folder: Path, number: int) -> None:
    data = toy.Data()
    data.between = lambda: os.kill(os.getpid(), signal.SIGINT) if data.validated == number else None
    with pytest.raises(Interrupted, match=f"stopped after step {3 * number}") as error:
        stopped = toy(folder, data)
        stopped.resume(pytest.fail)
        stopped.fit()
    assert error.value.signal_number == signal.SIGINT


@pytest.mark.parametrize("number", [1, 2, 3])
def test_stopped_while_validating_it_resumes_to_the_same_bits(toy: Any, tmp_path: Path, number: int) -> None:
    whole = toy()
    end = whole.fit()
    stop_in_validation(toy, tmp_path, number)
    resumed = toy(tmp_path)
    assert resumed.resume(pytest.fail)
    assert (resumed.progress.step, resumed.progress.position) == (3 * number, 3)
    assert standing(resumed.fit()) == standing(end)
    assert toy.state(resumed) == toy.state(whole)
    assert toy(tmp_path).resume(pytest.fail)


def test_stopped_at_every_step_of_one_run(toy: Any, tmp_path: Path) -> None:
    whole = toy()
    end = whole.fit()
    for step in range(1, STEPS + 1):
        stopped = toy(tmp_path, None, toy.StopAt(step))
        assert stopped.resume(pytest.fail) == (step > 1)
        with pytest.raises(Interrupted):
            stopped.fit()
        assert len(list(tmp_path.iterdir())) == min(step, 2)
    resumed = toy(tmp_path)
    resumed.resume(pytest.fail)
    assert standing(resumed.fit()) == standing(end)
    assert toy.state(resumed) == toy.state(whole)


def test_a_finished_run_resumes_to_its_end_without_a_step(toy: Any, tmp_path: Path) -> None:
    whole = toy(tmp_path)
    whole.fit()
    again = toy(tmp_path)
    assert again.resume(pytest.fail)
    assert again.fit().finished
    assert again.data.seen == []
    assert toy.state(again) == toy.state(whole)


def test_another_seed_gives_other_bits(toy: Any) -> None:
    first, same, other = toy(), toy(), toy(seed=1)
    for each in (first, same, other):
        each.fit()
    assert toy.state(first) == toy.state(same) != toy.state(other)


def test_every_step_has_its_own_random_numbers(toy: Any) -> None:
    draws: list[float] = []
    for seed in (0, 0, 1):
        trainer = toy(seed=seed)
        loss = trainer.model.loss

        def drawn(batch: Any, loss: Any = loss) -> Any:
            draws.append(float(torch.rand(())))
            return loss(batch)

        trainer.model.loss = drawn
        trainer.fit()
    assert draws[:STEPS] == draws[STEPS : 2 * STEPS]
    assert len(set(draws)) == 2 * STEPS


def test_a_signal_in_the_last_validation_is_not_lost(toy: Any, tmp_path: Path) -> None:
    class Late(Callback):
        def on_validation(self, standing: Progress, figures: Any, *, best: bool) -> None:
            if standing.finished:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped after step 9"):
        toy(tmp_path, None, Late()).fit()
    resumed = toy(tmp_path)
    assert resumed.resume(pytest.fail)
    assert resumed.progress.finished


def test_resume_clears_what_a_kill_left(toy: Any, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    toy(folder).fit()
    (folder / "step-000000099-000000").mkdir()
    left = [tmp_path / ".run.json.17.tmp", folder / "step-000000099-000000" / ".state.json.17.tmp"]
    for path in left:
        path.write_bytes(b"x")
    assert toy(folder).resume(pytest.fail)
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(list(folder.iterdir())) == 2


def test_without_a_folder_there_is_nothing_to_resume_or_write(toy: Any, tmp_path: Path) -> None:
    assert not toy().resume(pytest.fail)
    assert not toy(tmp_path / "none").resume(pytest.fail)
    with pytest.raises(Interrupted, match=r"stopped after step 2$"):
        toy(None, None, toy.StopAt(2)).fit()
    assert list(tmp_path.iterdir()) == []


def test_every_epoch_has_every_row_once_in_its_own_order(toy: Any) -> None:
    trainer = toy()
    trainer.fit()
    epochs = [[row for epoch, rows in trainer.data.seen if epoch == number for row in rows] for number in range(3)]
    assert all(sorted(rows) == list(range(12)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 3
    assert trainer.model.updates == STEPS


@pytest.mark.parametrize(
    ("scores", "patience", "epochs", "best"),
    [([0.1, 0.9, 0.2, 0.3, 1.0], 2, 4, 2), ([0.5, 0.5, 0.5, 1.0], 2, 3, 1), ([0.1, 0.2, 0.3], 1, 3, 3)],
)
def test_early_stopping_keeps_the_best_weights(
    toy: Any, scores: list[float], patience: int, epochs: int, best: int
) -> None:
    kept: list[dict[str, torch.Tensor]] = []

    class Keep(Callback):
        def on_validation(self, standing: Progress, figures: Any, *, best: bool) -> None:
            kept.append({name: value.clone() for name, value in trainer.model.state_dict().items()})

    trainer = toy(None, toy.Data(scores), Keep(), patience=patience, epochs=len(scores))
    progress = trainer.fit()
    assert (progress.epoch, progress.best_epoch, progress.best_score) == (epochs, best, scores[best - 1])
    torch.testing.assert_close(trainer.model.state_dict(), kept[best - 1], rtol=0, atol=0)
    assert not trainer.model.training


@pytest.mark.parametrize("poison", [0, 5, 11])
def test_a_poisoned_row_stops_in_its_step_and_is_named(toy: Any, tmp_path: Path, poison: int) -> None:
    data = toy.Data(poison=poison)
    batches = [rows.tolist() for rows in data.order(0)]
    step = next(place for place, rows in enumerate(batches) if poison in rows)
    rows = ", ".join(str(row) for row in batches[step])
    with pytest.raises(TrainingError, match=rf"the loss became nan at step {step + 1} \(epoch 1, rows {rows}, …\)"):
        toy(tmp_path, data).fit()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("epochs", [1, 2])
def test_weights_that_are_not_finite_are_never_kept(toy: Any, tmp_path: Path, epochs: int) -> None:
    """The last update before a validation spoils the weights, while every loss was finite."""
    trainer = toy(tmp_path, None, MetricsLog(tmp_path / "log.jsonl"), epochs=epochs)
    after = trainer.model.after_step

    def spoil() -> None:
        after()
        if trainer.model.updates == 3 * epochs:
            with torch.no_grad():
                trainer.model.layers[0].weight[0, 0] = float("inf")

    trainer.model.after_step = spoil
    with pytest.raises(TrainingError, match=rf"not finite|became nan after step {3 * epochs}"):
        trainer.fit()
    assert len(list(tmp_path.glob("step-*"))) == epochs - 1
    assert all(torch.isfinite(value).all() for value in trainer.best.values())
    resumed = toy(tmp_path)
    assert resumed.resume(pytest.fail) == (epochs > 1)
    assert not (tmp_path / "log.jsonl").exists() or len(log_rows(tmp_path / "log.jsonl")) == epochs - 1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_used_up_memory_is_one_sentence(toy: Any, error: Exception) -> None:
    trainer = toy(batch_size=64)

    def fail(batch: Any) -> None:
        raise error

    trainer.model.loss = fail
    with pytest.raises(TrainingError, match="memory ran out at batch size 64: lower --batch-size or --max-length"):
        trainer.fit()
    trainer.model.loss = lambda batch: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer.fit()


def test_a_full_disk_ends_the_run_and_the_checkpoint_before_serves(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = toy()
    end = whole.fit()
    real = os.fsync
    calls: list[int] = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 10:  # in the second checkpoint
            raise OSError(28, os.strerror(28))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"/state\.\w+ \([\d,]+ bytes\) cannot be written: No space left"):
        toy(tmp_path).fit()
    monkeypatch.undo()
    resumed = toy(tmp_path)
    assert resumed.resume(pytest.fail)
    assert resumed.progress.step == 3
    assert standing(resumed.fit()) == standing(end)
    assert toy.state(resumed) == toy.state(whole)


def test_checkpoints_come_in_the_middle_of_an_epoch_too(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SECONDS", 0.0)
    seen: list[list[str]] = []

    class Look(Callback):
        def on_step(self, standing: Progress, loss: float) -> None:
            seen.append(sorted(path.name for path in tmp_path.iterdir()))

    trainer = toy(tmp_path, None, Look(), epochs=2)
    trainer.fit()
    assert seen[:4] == [
        [],
        ["step-000000001-000000"],
        ["step-000000001-000000", "step-000000002-000000"],
        ["step-000000003-000000", "step-000000003-000001"],
    ]
    whole = toy(epochs=2)
    whole.fit()
    assert toy.state(trainer) == toy.state(whole)


def test_an_epoch_number_is_needed(toy: Any) -> None:
    with pytest.raises(ValueError, match=r"settings\.epochs must be a number"):
        toy(epochs=None)


class Clock:
    """A clock that moves only when a step or a validation is done, so that time is exact."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def trainer(self, toy: Any, seconds: list[float], validation: float, budget: float, **given: Any) -> Any:
        trainer = toy(given.pop("folder", None), None, deadline=self.now + budget, **given)
        loss = trainer.model.loss

        def slow(batch: Any) -> Any:
            self.now += seconds[min(trainer.progress.step, len(seconds) - 1)]
            return loss(batch)

        def validate() -> None:
            self.now += validation

        trainer.model.loss, trainer.data.between = slow, validate
        return trainer


@pytest.mark.parametrize(
    ("seconds", "validation", "budget"),
    [([1.0], 2.0, 60.0), ([9.0] * 3 + [0.5], 1.0, 90.0), ([0.1] * 40 + [2.0], 0.5, 60.0), ([1.0], 0.0, 30.0)],
)
def test_minutes_are_kept_and_used(
    toy: Any, monkeypatch: pytest.MonkeyPatch, seconds: list[float], validation: float, budget: float
) -> None:
    clock = Clock(monkeypatch)
    trainer = clock.trainer(toy, seconds, validation, budget, epochs=10_000, patience=10_000)
    factors: list[float] = []
    monkeypatch.setattr(trainer_module.optim, "set_rate", lambda _, rate: factors.append(rate / 0.05))
    progress = trainer.fit()
    assert progress.finished
    assert progress.best_epoch >= 1
    left = 100.0 + budget - clock.now
    assert validation <= left <= 3 * validation + 2 * max(seconds) + 1  # the report's pass over the validation part
    assert progress.seconds == pytest.approx(budget - left)
    peak = factors.index(max(factors))
    assert max(factors) > 0.8
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    falling = factors[peak:]  # a pace that turns out better than it began gives a little time back
    assert all(later <= sooner + 0.01 for sooner, later in pairwise(falling))
    assert factors[-1] < 0.25


def test_minutes_that_are_over_still_give_one_validated_step(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    trainer = clock.trainer(toy, [5.0], 5.0, -1.0)
    progress = trainer.fit()
    assert (progress.step, progress.epoch, progress.finished) == (1, 1, True)
    assert trainer.data.validated == 1


@pytest.mark.parametrize(("deadline", "by_time"), [(None, False), (0.0, True), (1e9, False)])
def test_a_run_knows_whether_the_time_ended_it(toy: Any, deadline: float | None, by_time: bool) -> None:
    trainer = toy(deadline=None if deadline is None else time.monotonic() + deadline)
    trainer.fit()
    assert trainer.ended_by_time is by_time


def test_minutes_that_suffice_change_nothing_of_the_end(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Clock(monkeypatch).trainer(toy, [1.0], 1.0, 1e9)
    assert trainer.fit().step == STEPS
    free = toy()
    free.fit()
    assert toy.state(trainer) == toy.state(free)


def test_minutes_used_before_a_stop_count(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    folder, given = tmp_path / "c", {"epochs": 1000, "patience": 1000}
    first = clock.trainer(toy, [1.0], 1.0, 60.0, folder=folder, **given)
    first.callbacks = (toy.StopAt(30),)
    with pytest.raises(Interrupted):
        first.fit()
    used = clock.now - 100.0
    clock.now += 5000
    resumed = clock.trainer(toy, [1.0], 1.0, 60.0, folder=folder, **given)
    assert resumed.resume(pytest.fail)
    assert resumed.progress.seconds == pytest.approx(used)
    progress = resumed.fit()
    assert clock.now - 5100.0 == pytest.approx(progress.seconds)
    assert 50 < progress.seconds <= 60


def test_all_damaged_is_refused_and_nothing_touched(toy: Any, tmp_path: Path) -> None:
    toy(tmp_path / "c").fit()
    for path in (tmp_path / "c").glob("*/state.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / ".x.1.tmp").write_bytes(b"")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    told: list[str] = []
    with pytest.raises(ModelFileError, match=r"every checkpoint in .*/c is damaged: nothing was touched"):
        toy(tmp_path / "c").resume(told.append)
    assert len(told) == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("moment", ["validation", "saving"])
def test_an_epoch_that_the_time_leaves_no_step_for_is_none(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Slow(Callback):
        def on_validation(self, standing: Any, figures: Any, *, best: bool) -> None:
            clock.now += 1000 * (standing.epoch == 2 and moment == "validation")

    def save(*arguments: Any) -> None:
        clock.now += 1000 * (trainer.progress.epoch == 2 and moment == "saving")
        kept(*arguments)

    clock, kept = Clock(monkeypatch), trainer_module.checkpoint.save
    monkeypatch.setattr(trainer_module.checkpoint, "save", save)
    log = MetricsLog(tmp_path / "log.jsonl")
    trainer = clock.trainer(toy, [1.0], 1.0, 500.0, folder=tmp_path / "c", epochs=1000, patience=1000)
    trainer.callbacks = (log, Slow())
    progress = trainer.fit()
    assert (progress.epoch, progress.step, trainer.data.validated) == (2, 6, 2)
    assert len(log_rows(tmp_path / "log.jsonl")) == 2 and trainer.ended_by_time
