"""Taking up a run: what changed is named, what a kill left is mended, nobody else is at work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from unspool.errors import DataError, ModelFileError, UsageError
from unspool.tasks import Request, run

Stopped = Callable[..., Path]


def edit(folder: Path, *keys: str, value: Any) -> None:
    """Replace one value inside run.json."""
    content = json.loads((folder / "run.json").read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (folder / "run.json").write_text(json.dumps(content))


CHANGES = {
    "data": (("facts", "data"), "0" * 64, "data was 0000"),
    "validation": (("facts", "validation"), "0" * 64, "validation was 0000.*, is None"),
    "vectors": (("facts", "vectors"), "0" * 64, "vectors was 0000.*, is None"),
    "start": (("facts", "start"), "0" * 64, "start was 0000.*, is None"),
    "labels": (("facts", "labels"), ["a", "b"], r"labels was \['a', 'b'\], is \['neg', 'pos'\]"),
    "one setting": (("facts", "settings", "hidden"), 7, "differs from the run: settings: hidden was 7, is 6. Go on"),
    "a setting gone": (("facts", "settings", "gone"), 7, "settings: gone was 7, is None"),
    "unspool": (("facts", "unspool"), "0.0.1", r"unspool was 0\.0\.1, is"),
    "torch": (("facts", "torch"), "1.0", r"torch was 1\.0, is 2"),
    "python": (("facts", "python"), "2.7", r"python was 2\.7, is 3"),
    "kernels": (("facts", "kernels"), "abacus", "kernels was abacus, is"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_is_named_and_allowed_by_a_flag(
    change: str, whole: SimpleNamespace, stopped: Stopped, agree: Any
) -> None:
    folder = stopped()
    keys, value, words = CHANGES[change]
    edit(folder, *keys, value=value)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=words) as error:
        run.resume(folder)
    assert str(error.value).endswith("Go on all the same with --allow-changed")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    told: list[str] = []
    run.resume(folder, allow_changed=True, notice=told.append)
    assert sum(line.startswith("changed ") for line in told) == 1
    assert agree(folder, whole.folder)


def test_changed_vectors_are_refused(whole: SimpleNamespace, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("fine 1 2 3 4 5\ndull 5 4 3 2 1\n")
    run.start(Request(whole.data, whole.settings, vectors=vectors), tmp_path / "run")
    run.resume(tmp_path / "run")
    vectors.write_text("fine 1 2 3 4 6\ndull 5 4 3 2 1\n")
    with pytest.raises(UsageError, match=r"differs from the run: vectors was \w+…, is \w+…. Go on"):
        run.resume(tmp_path / "run")


def test_several_changes_are_all_named(stopped: Stopped) -> None:
    folder = stopped()
    edit(folder, "facts", "torch", value="1.0")
    edit(folder, "facts", "settings", "clip", value=3)
    with pytest.raises(UsageError, match=r"settings: clip was 3, is 1\.0; torch was 1\.0"):
        run.resume(folder)


def test_changed_texts_train_on_when_allowed(whole: SimpleNamespace, stopped: Stopped, tmp_path: Path) -> None:
    folder, moved = stopped(), tmp_path / "moved.tsv"
    rows = whole.data.read_text().splitlines(keepends=True)
    moved.write_text("".join([rows[0], rows[2], rows[1], *rows[3:]]))
    edit(folder, "request", "data", value=str(moved))
    with pytest.raises(UsageError, match="data was"):
        run.resume(folder)
    assert run.resume(folder, allow_changed=True).outcome.epochs == 3


def test_another_thread_count_is_told(whole: SimpleNamespace, stopped: Stopped) -> None:
    folder, told = stopped(), []
    edit(folder, "facts", "threads", value=77)
    run.resume(folder, notice=told.append)
    now = torch.get_num_threads()
    assert f"threads    77 before, {now} now: the last digits may differ" in told


def test_it_says_where_it_goes_on(stopped: Stopped) -> None:
    folder, told = stopped(12), []
    run.resume(folder, notice=told.append)
    assert "resume     from step 12, in epoch 2" in told


def test_without_a_checkpoint_it_starts_again_and_says_so(whole: SimpleNamespace, stopped: Stopped, agree: Any) -> None:
    folder, told = stopped(), []
    shutil.rmtree(folder / "checkpoints")
    run.resume(folder, notice=told.append)
    assert "resume     no checkpoint was completed yet: training starts from the beginning" in told
    assert agree(folder, whole.folder)


def test_a_finished_run_is_measured_again_and_its_model_mended(
    whole: SimpleNamespace, tmp_path: Path, agree: Any
) -> None:
    folder, told = tmp_path / "copy", []
    shutil.copytree(whole.folder, folder)
    (folder / "model" / "manifest.json").unlink()  # as a kill between two files leaves it
    (folder / "model" / "model.safetensors").write_bytes(b"")
    (folder / "model" / ".config.json.123.tmp").write_bytes(b"half")
    finished = run.resume(folder, notice=told.append)
    assert "resume     training had ended after epoch 3: the model is measured and written again" in told
    assert finished.outcome.epochs == 3
    assert agree(folder, whole.folder)


def test_a_model_is_incomplete_while_it_is_written_again(
    whole: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole.folder, folder)
    seen: list[bool] = []
    publish = run.files.publish

    def watched(path: Path, content: bytes) -> None:
        if path.parent.name == "model" and path.name != "manifest.json":
            seen.append((path.parent / "manifest.json").exists())
        publish(path, content)

    monkeypatch.setattr(run.files, "publish", watched)
    run.resume(folder)
    assert seen
    assert not any(seen)


def test_a_second_process_is_kept_off(whole: SimpleNamespace, stopped: Stopped, agree: Any) -> None:
    folder = stopped()
    with run.files.alone(folder, run.RUN_FILE), pytest.raises(UsageError, match="another process is at work on"):
        run.resume(folder)
    run.resume(folder)
    assert agree(folder, whole.folder)


def test_texts_that_are_gone_are_named(stopped: Stopped) -> None:
    folder = stopped()
    edit(folder, "request", "data", value="/nowhere/reviews.tsv")
    with pytest.raises(DataError, match=r"/nowhere/reviews\.tsv"):
        run.resume(folder)


DAMAGES: dict[str, tuple[tuple[str, ...], Any]] = {
    "format": (("format",), 1),
    "an extra key": (("more",), 1),
    "request": (("request",), []),
    "facts": (("facts",), None),
    "data": (("request", "data"), 7),
    "more": (("request", "more"), "x"),
    "given": (("request", "given"), 7),
    "read": (("request", "read"), {"evil": 1}),
    "a read option": (("request", "read", "format"), "exe"),
    "validation": (("request", "validation"), ["x"]),
    "start": (("request", "start"), ["x"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_file_is_refused(damage: str, whole: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((whole.folder / "run.json").read_bytes())
    keys, value = DAMAGES[damage]
    edit(tmp_path, *keys, value=value)
    with pytest.raises(ModelFileError, match=r"run\.json is damaged or of another version"):
        run.resume(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": NaN}', b"\xff", b"[" * 100])
def test_a_run_file_that_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"run\.json is not valid JSON"):
        run.resume(tmp_path)
