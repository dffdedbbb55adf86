"""A checkpoint holds everything, two are kept, and damage is told and passed over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from unspool import files
from unspool.errors import Interrupted, ModelFileError, TrainingError
from unspool.training import checkpoint
from unspool.training.callbacks import MetricsLog
from unspool.training.checkpoint import Progress


@pytest.fixture(params=[False, True], ids=["plain", "by rows"])
def toy(request: pytest.FixtureRequest, toy: Any) -> Any:
    """Without and with a table that is updated by rows, which is behind at most moments."""
    toy.table = request.param
    return toy


def stopped(toy: Any, folder: Path, step: int = 5) -> list[Path]:
    """A run stopped in its second epoch: one checkpoint after the first epoch, one at the stop."""
    with pytest.raises(Interrupted):
        toy(folder, None, toy.StopAt(step)).fit()
    return sorted(folder.iterdir())


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change a checkpoint and give it a manifest that agrees."""
    state = json.loads((path / "state.json").read_bytes())
    tensors = safetensors.torch.load((path / "state.safetensors").read_bytes())
    change(state, tensors)
    contents = {"state.safetensors": safetensors.torch.save(tensors), "state.json": files.to_json(state)}
    files.publish_folder(path, contents)


def ended(toy: Any, folder: Path | None, told: list[str] | None = None) -> tuple[dict[str, bytes], Progress]:
    trainer = toy(folder)
    if folder is not None:
        assert trainer.resume(pytest.fail if told is None else told.append)
    progress = trainer.fit()
    return toy.state(trainer), progress


def test_what_is_saved_is_what_is_restored(toy: Any, tmp_path: Path) -> None:
    trainer = toy(tmp_path)
    trainer.fit()
    trainer.progress = Progress(11, 3, 2, 99, -0.125, 1, 3.5, 0.1, False)
    trainer._save()
    other = toy(tmp_path)
    assert checkpoint.restore(tmp_path, other.model, other.optimizer, pytest.fail) is not None
    assert other.resume(pytest.fail)
    assert asdict(other.progress) == {**asdict(trainer.progress)}
    assert toy.state(other) == toy.state(trainer)


@pytest.mark.parametrize("name", [field.name for field in fields(Progress)])
def test_without_one_field_it_is_damaged(toy: Any, tmp_path: Path, name: str) -> None:
    newest = stopped(toy, tmp_path)[-1]
    rewrite(newest, lambda state, _: state["progress"].pop(name))
    told: list[str] = []
    state, _ = ended(toy, tmp_path, told)
    assert len(told) == 1
    assert f"checkpoint {newest.name} is damaged" in told[0]
    assert "must hold exactly best_epoch, best_score, epoch" in told[0]
    assert told[0].endswith("the one before is taken")
    assert state == ended(toy, None)[0]


GROUPS = ["model.", "best.", "optimizer.", "optimizer.0.", "optimizer.0.exp_avg", "best.layers.3.bias"]


@pytest.mark.parametrize("group", [*GROUPS, "optimizer.0.clock", "optimizer.0.ahead"])
def test_without_one_group_of_tensors_it_is_damaged(toy: Any, tmp_path: Path, group: str) -> None:
    if group.endswith(("clock", "ahead")) and not toy.table:
        pytest.skip("not there")
    newest = stopped(toy, tmp_path)[-1]

    def change(_: Any, tensors: dict[str, Any]) -> None:
        chosen = [name for name in tensors if name.startswith(group)]
        assert chosen
        for name in chosen:
            del tensors[name]

    rewrite(newest, change)
    told: list[str] = []
    state, _ = ended(toy, tmp_path, told)
    assert "does not hold the tensors that state.json lists" in told[0]
    assert state == ended(toy, None)[0]


def outcome(toy: Any, folder: Path, log: Path) -> tuple[Any, ...]:
    """All that a run tells in the end, seconds aside; the best epoch is the first."""
    trainer = toy(folder, toy.Data([0.9, 0.1, 0.2]), MetricsLog(log))
    trainer.resume(pytest.fail)
    progress = asdict(trainer.fit()) | {"seconds": 0.0}
    figures = json.loads(log.read_text().splitlines()[-1]) | {"seconds": 0.0}
    return toy.state(trainer), progress, figures


@pytest.mark.parametrize("name", [field.name for field in fields(Progress) if field.name != "seconds"])
def test_every_field_matters(toy: Any, tmp_path: Path, name: str) -> None:
    """With another value in one field the run tells something else in the end: none is there for nothing."""
    with pytest.raises(Interrupted):
        toy(tmp_path / "run", toy.Data([0.9, 0.1, 0.2]), MetricsLog(tmp_path / "log"), toy.StopAt(8)).fit()
    shutil.copytree(tmp_path / "run", tmp_path / "changed")
    shutil.copy(tmp_path / "log", tmp_path / "changed.log")
    values = {field.name: field.default for field in fields(Progress)} | {"finished": True}
    newest = sorted((tmp_path / "changed").iterdir())[-1]
    rewrite(newest, lambda state, _: state["progress"].update({name: values[name]}))
    expected = outcome(toy, tmp_path / "run", tmp_path / "log")
    assert outcome(toy, tmp_path / "changed", tmp_path / "changed.log") != expected


CHANGED: dict[str, Callable[[Any], object]] = {
    "step": lambda tensor: tensor.add_(1),
    "exp_avg": lambda tensor: tensor.add_(1),
    "exp_avg_sq": lambda tensor: tensor.add_(1),
    "clock": lambda tensor: tensor.zero_(),
    "ahead": lambda tensor: tensor.mul_(0.5),
}


@pytest.mark.parametrize("key", CHANGED)
def test_every_tensor_of_a_table_matters(toy: Any, tmp_path: Path, key: str) -> None:
    if not toy.table:
        pytest.skip("not there")
    newest = stopped(toy, tmp_path)[-1]
    rewrite(newest, lambda _, tensors: CHANGED[key](tensors[f"optimizer.0.{key}"]))
    assert ended(toy, tmp_path)[0] != ended(toy, None)[0]


DAMAGES: dict[str, tuple[Callable[[Any, Any], object], str]] = {
    "format": (lambda state, _: state.update(format=2), "is not of checkpoint format 1"),
    "more": (lambda state, _: state["progress"].update(more=1), "must hold exactly"),
    "text": (lambda state, _: state["progress"].update(step="5"), "step is '5'"),
    "truth": (lambda state, _: state["progress"].update(step=True), "step is True"),
    "negative": (lambda state, _: state["progress"].update(position=-1), "position is -1"),
    "number": (lambda state, _: state["progress"].update(finished=0), "finished is 0"),
    "list": (lambda state, _: state.update(progress=[]), "must hold exactly"),
    "shape": (lambda _, tensors: tensors.update({"model.layers.0.bias": torch.ones(7)}), "does not fit the model"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_foreign_checkpoint_is_refused_in_words(toy: Any, tmp_path: Path, name: str) -> None:
    newest = stopped(toy, tmp_path)[-1]
    change, words = DAMAGES[name]
    rewrite(newest, change)
    told: list[str] = []
    state, _ = ended(toy, tmp_path, told)
    assert words in told[0]
    assert state == ended(toy, None)[0]


def test_a_state_that_is_no_safetensors(toy: Any, tmp_path: Path) -> None:
    newest = stopped(toy, tmp_path)[-1]
    contents = {"state.safetensors": b"\x80\x04.", "state.json": (newest / "state.json").read_bytes()}
    files.publish_folder(newest, contents)
    told: list[str] = []
    ended(toy, tmp_path, told)
    assert "is not a safetensors file" in told[0]


def test_truncated_or_flipped_anywhere_the_one_before_is_taken(toy: Any, tmp_path: Path) -> None:
    newest = stopped(toy, tmp_path / "run")[-1]
    good, _ = ended(toy, None)
    for number in range(30):
        folder = tmp_path / f"copy-{number}"
        shutil.copytree(tmp_path / "run", folder)
        path = folder / newest.name / ("state.json" if number % 5 == 4 else "state.safetensors")
        content = path.read_bytes()
        place = len(content) * number // 30
        flipped = content[:place] + bytes([content[place] ^ 1 << number % 8]) + content[place + 1 :]
        path.write_bytes(content[:place] if number % 2 else flipped)
        told: list[str] = []
        state, progress = ended(toy, folder, told)
        assert len(told) == 1
        assert newest.name in told[0]
        assert state == good, number
        assert progress.finished


def test_two_good_ones_are_kept_and_the_damaged_ahead_goes(toy: Any, tmp_path: Path) -> None:
    first, newest = stopped(toy, tmp_path, 5)
    (newest / "state.json").write_bytes(b"{}")
    again = toy(tmp_path, None, toy.StopAt(4))
    assert again.resume(lambda _: None)
    with pytest.raises(Interrupted):
        again.fit()
    assert [path.name for path in sorted(tmp_path.iterdir())] == [first.name, "step-000000004-000001"]
    told: list[str] = []
    state, _ = ended(toy, tmp_path, told)
    assert told == []
    assert state == ended(toy, None)[0]
    assert len(list(tmp_path.iterdir())) == checkpoint.KEPT


def test_a_damaged_one_at_the_same_step_is_written_again(toy: Any, tmp_path: Path) -> None:
    newest = stopped(toy, tmp_path, 5)[-1]
    (newest / "state.json").write_bytes(b"{}")
    again = toy(tmp_path, None, toy.StopAt(5))
    assert again.resume(lambda _: None)
    with pytest.raises(Interrupted):
        again.fit()
    assert ended(toy, tmp_path)[0] == ended(toy, None)[0]


def test_the_same_state_is_not_written_twice(toy: Any, tmp_path: Path) -> None:
    newest = stopped(toy, tmp_path, 5)[-1]
    before = [path.stat().st_mtime_ns for path in sorted(newest.iterdir())]
    again = toy(tmp_path)
    again.resume(pytest.fail)
    again._save()
    assert [path.stat().st_mtime_ns for path in sorted(newest.iterdir())] == before


def test_an_older_one_goes_only_after_the_new_one_is_complete(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    publish, rmtree = files.publish_folder, shutil.rmtree

    def published(folder: Path, contents: Any) -> None:
        publish(folder, contents)
        calls.append(f"publish {folder.name}")

    def removed(folder: Path) -> None:
        assert not (folder / "manifest.json").exists()  # a kill halfway leaves nothing that looks complete
        rmtree(folder)
        calls.append(f"remove {folder.name}")

    monkeypatch.setattr(files, "publish_folder", published)
    monkeypatch.setattr(shutil, "rmtree", removed)
    toy(tmp_path).fit()
    names = [f"step-00000000{3 * epoch}-00000{epoch}" for epoch in (1, 2, 3)]
    assert calls == [*(f"publish {name}" for name in names), f"remove {names[0]}"]


def test_nothing_that_is_not_finite_is_written(toy: Any, tmp_path: Path) -> None:
    trainer = toy(tmp_path, epochs=1)
    trainer.fit()
    kept = sorted(tmp_path.rglob("*"))
    trainer.progress.step += 1
    for tensor in (trainer.model.layers[0].weight, trainer.best["layers.3.bias"]):
        whole = tensor.detach().clone()
        tensor.data.view(-1)[0] = float("nan")
        with pytest.raises(TrainingError, match=r"(model|best)\.layers.* not finite: no checkpoint was written"):
            trainer._save()
        tensor.data.copy_(whole)
    assert sorted(tmp_path.rglob("*")) == kept


def test_a_signal_while_loading_is_no_damage(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(toy, tmp_path)

    def interrupt(*_: Any) -> None:
        raise Interrupted("stopped before training began", 15)

    monkeypatch.setattr(files, "read_folder", interrupt)
    with pytest.raises(Interrupted):
        toy(tmp_path).resume(pytest.fail)


def test_one_that_was_never_completed_counts_for_nothing(toy: Any, tmp_path: Path) -> None:
    newest = stopped(toy, tmp_path)[-1]
    (newest / "manifest.json").unlink()
    state, _ = ended(toy, tmp_path)
    assert state == ended(toy, None)[0]
    assert not checkpoint.restore(tmp_path / "none", torch.nn.Linear(1, 1), toy().optimizer, pytest.fail)


def test_all_damaged_raises(toy: Any, tmp_path: Path) -> None:
    for path in stopped(toy, tmp_path):
        (path / "state.json").write_bytes(b"{}")
    trainer = toy(tmp_path)
    with pytest.raises(ModelFileError, match=r"every checkpoint in .* is damaged: nothing was touched"):
        trainer.resume(lambda _: None)
