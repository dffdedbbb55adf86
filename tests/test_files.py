"""What is written is whole, and what is read is checked."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool import files
from unspool.errors import ModelFileError, TrainingError, UsageError

CONTENTS = {"a.json": b'{"x": 1}\n', "b.bin": bytes(range(256))}


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        size = "" if kind == "folder" else f" of {os.fstat(descriptor).st_size}"
        calls.append(f"fsync {kind}{size}")
        fsync(descriptor)

    def recorded_replace(self: Path, target: Path) -> Path:
        calls.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    return calls


def test_publish_syncs_the_file_then_renames_then_syncs_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = record_calls(monkeypatch)
    files.publish(tmp_path / "x", b"12345")
    assert calls == ["fsync file of 5", "rename to x", "fsync folder"]
    assert (tmp_path / "x").read_bytes() == b"12345"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) & 0o133 == 0


def test_the_manifest_of_a_folder_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_calls(monkeypatch)
    files.publish_folder(tmp_path / "deep" / "m", CONTENTS)
    assert [call for call in calls if "rename" in call] == [f"rename to {n}" for n in (*CONTENTS, "manifest.json")]
    assert calls[-2:] == ["fsync folder", "fsync folder"]
    assert files.read_folder(tmp_path / "deep" / "m", CONTENTS) == CONTENTS


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_keeps_the_old_file_and_names_path_and_size(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.publish(tmp_path / "x", b"old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if failing == "fsync" else Path, failing, full)
    with pytest.raises(TrainingError, match=r"/x \(1,234 bytes\) cannot be written: No space left on device"):
        files.publish(tmp_path / "x", bytes(1234))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_file_size_limit_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from unspool import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "files.publish(Path(sys.argv[1]) / 'small', bytes(4000))\n"
        "try: files.publish(Path(sys.argv[1]) / 'big', bytes(100_000))\n"
        "except files.TrainingError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "/big (100,000 bytes) cannot be written: File too large" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(UsageError, match="/x cannot be made: File exists"):
        files.make_folder(tmp_path / "x")
    with pytest.raises(UsageError, match="cannot be made: embedded null byte"):
        files.make_folder(tmp_path / "a\0b")
    with pytest.raises(TrainingError, match=r"none/x \(3 bytes\) cannot be written: No such file"):
        files.publish(tmp_path / "none" / "x", b"abc")
    with pytest.raises(TrainingError, match=r"line \(6 bytes\) cannot be written"):
        files.append_line(tmp_path / "x" / "line", "äöa")
    with pytest.raises(UsageError, match="cannot be read"):
        files.sha256_of(tmp_path / "none")


def test_only_leftovers_of_publish_are_cleared(tmp_path: Path) -> None:
    kept = [".hidden.tmp", "x.12.tmp", ".x.12.tmp.txt", ".x.1a.tmp"]
    gone = [".x.json.12.tmp", "deep/.state.safetensors.4194304.tmp"]
    (tmp_path / "deep").mkdir()
    for name in (*kept, *gone):
        (tmp_path / name).write_bytes(b"")
    files.clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def replace_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "b.bin").unlink()
        make(folder / "b.bin")

    return damage


def entry(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite_manifest(folder, lambda m: m["files"]["b.bin"].update(changes))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda f: (f / "b.bin").write_bytes(CONTENTS["b.bin"][:-1]), "has 255 bytes where its manifest says"),
    "longer": (lambda f: (f / "b.bin").write_bytes(bytes(257)), "has 257 bytes, more than the 256 expected"),
    "flipped": (lambda f: (f / "b.bin").write_bytes(b"\1" + CONTENTS["b.bin"][1:]), "b.bin does not agree with the ch"),
    "missing": (lambda f: (f / "b.bin").unlink(), "b.bin cannot be read: No such file"),
    "link": (replace_by(lambda p: p.symlink_to("/dev/zero")), "b.bin cannot be read: a link"),
    "fifo": (replace_by(os.mkfifo), "b.bin is not a plain file"),
    "folder": (replace_by(Path.mkdir), "b.bin is not a plain file"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json cannot be read"),
    "unknown name": (lambda f: files.publish_folder(f, {"../x": b""}), "lists '../x', which has no place"),
    "newer": (lambda f: rewrite_manifest(f, lambda m: m.update(format=2)), "newer version of unspool"),
    "format true": (lambda f: rewrite_manifest(f, lambda m: m.update(format=True)), "is damaged: expected format"),
    "format text": (lambda f: rewrite_manifest(f, lambda m: m.update(format="1")), "is damaged: expected format"),
    "no files": (lambda f: rewrite_manifest(f, lambda m: m.pop("files")), "is damaged: expected format"),
    "more keys": (lambda f: rewrite_manifest(f, lambda m: m.update(more=1)), "is damaged: expected format"),
    "files a list": (lambda f: rewrite_manifest(f, lambda m: m.update(files=[])), "is damaged: expected format"),
    "size true": (entry(size=True), "is damaged: expected format"),
    "size text": (entry(size="256"), "is damaged: expected format"),
    "size negative": (entry(size=-1), "more than the -1 expected"),
    "sum a number": (entry(sha256=1), "is damaged: expected format"),
    "entry more": (entry(more=1), "is damaged: expected format"),
    "duplicate": (lambda f: (f / "manifest.json").write_bytes(b'{"format": 1, "format": 1}'), "a key stands twice"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    files.publish_folder(folder, CONTENTS)
    act, words = DAMAGES[damage]
    act(folder)
    with pytest.raises(ModelFileError) as error:
        files.read_folder(folder, CONTENTS)
    assert words in str(error.value)


def test_no_flip_of_one_bit_passes(tmp_path: Path) -> None:
    files.publish_folder(tmp_path, CONTENTS)
    for name in (*CONTENTS, "manifest.json"):
        whole = (tmp_path / name).read_bytes()
        for place in range(0, len(whole), 7):
            flipped = whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
            (tmp_path / name).write_bytes(flipped)
            try:
                assert files.read_folder(tmp_path, CONTENTS) == CONTENTS, (name, place)
                assert name == "manifest.json", place  # white space of the manifest says nothing
            except ModelFileError as error:
                assert name in str(error) or "checksum" in str(error) or "bytes" in str(error)
        (tmp_path / name).write_bytes(whole)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(ModelFileError, match="/x is not a folder"):
        files.read_folder(tmp_path / "x", CONTENTS)


NOT_JSON = {
    "NaN": (b"[NaN]", "NaN is not a number"),
    "Infinity": (b"[-Infinity]", "-Infinity is not a number"),
    "overflow": (b"[1e999]", "1e999 is out of range"),
    "depth": (b"[" * 33 + b"]" * 33, "nested deeper than 32"),
    "very deep": (b"[" * 100_000, "nested deeper than 32"),
    "duplicate": (b'{"a": {"b": 1, "b": 1}}', "a key stands twice"),
    "digits": (b"1" * 5000, "is not valid JSON"),
    "utf-8": (b'"\xff"', "is not valid JSON"),
    "utf-16": ('"a"'.encode("utf-16"), "is not valid JSON"),
    "raw surrogate": (b'"\xed\xa0\x80"', "is not valid JSON"),
    "empty": (b"", "is not valid JSON"),
    "two values": (b"1 2", "is not valid JSON"),
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_json_is_strict(name: str) -> None:
    content, words = NOT_JSON[name]
    with pytest.raises(ModelFileError, match="from here") as error:
        files.parse_json(content, Path("from here"))
    assert words in str(error.value)
    assert len(str(error.value)) < 1000


def test_brackets_inside_strings_are_not_depth() -> None:
    for text in ("[" * 100, '"[' * 50, '\\"[' * 50, "\\"):
        assert files.parse_json(json.dumps([text]).encode(), Path("x")) == [text]


any_text = st.text(st.characters(exclude_categories=())).filter(lambda t: t == json.loads(json.dumps(t)))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


@given(any_json)
def test_json_written_is_json_read(value: Any) -> None:
    assert files.parse_json(files.to_json(value), Path("x")) == value


def test_json_is_written_in_one_form() -> None:
    assert files.to_json({"b": "é\ud800\\", "a": [1]}) == (
        b'{\n  "a": [\n    1\n  ],\n  "b": "' + "é".encode() + b'\\ud800\\\\"\n}\n'
    )
    with pytest.raises(ValueError, match="Out of range"):
        files.to_json(float("nan"))


def test_a_reader_sees_the_old_file_or_the_new(tmp_path: Path) -> None:
    path, sizes, done = tmp_path / "x", set(), threading.Event()
    files.publish(path, bytes(10))

    def watch() -> None:
        while not done.is_set():
            sizes.add(len(path.read_bytes()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        files.publish(path, bytes(100_000))
        files.publish(path, bytes(10))
    done.set()
    watcher.join()
    assert sizes <= {10, 100_000}


def test_a_folder_that_cannot_be_made_for_its_files_is_told_with_their_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"file/model \(7 bytes\) cannot be written: Not a directory"):
        files.publish_folder(tmp_path / "file" / "model", {"a": b"four", "b": b"thr"})
