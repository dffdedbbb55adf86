"""Every file the package writes or trusts goes through here.

`publish` is the only function that writes a file: temporary name in the same folder, fsync, rename, fsync of
the folder. A folder of files (a model, a checkpoint) is complete when its `manifest.json`, written last, lists
name, size and SHA-256 of each file; `read_folder` hands out only bytes that agree with it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unspool.errors import ModelFileError, TrainingError, UsageError, shorten

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
JSON_LIMIT = 256 * 2**20
JSON_DEPTH = 32
LEFTOVER = re.compile(r"\..+\.\d+\.tmp", re.DOTALL)


def publish(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader, or a crash, sees the old file or the new one, never a part.

    Raises TrainingError naming the path and the size when the disk is full or the folder cannot be written.
    """
    publish_pieces(path, (content,), size=len(content))


def publish_pieces(path: Path, pieces: Iterable[bytes], size: int = 0) -> None:
    """`publish` for what is larger than memory: the pieces one after the other, made while they are written. `size`:
    their bytes in all, where that is known before."""
    written = 0
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces:
                    written += len(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, max(written, size), error) from error


def append_line(path: Path, line: str) -> None:
    """Add one line to a log; the log may be cut at a line's end after a crash, never in the middle of the past."""
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line + "\n")
    except OSError as error:
        raise _cannot_write(path, len(line.encode()) + 1, error) from error


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files that a process killed inside `publish` left anywhere below `folder`."""
    for path in folder.rglob(".*.tmp"):
        if LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create `path` with its parents; an existing folder is fine."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the folder {shorten(path, 300)} cannot be made: {reason}") from error


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Keep a second process off `folder` by a lock on its file `name`; the lock ends with the process, however that
    ends. Raises UsageError when another process holds it."""
    with (folder / name).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # a file system without locks is no reason to refuse
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise UsageError(f"another process is at work on {shorten(folder, 300)}") from error
        yield


def publish_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Publish each file of `contents` into `folder`, then the manifest that makes the folder complete.

    A folder that was complete before is incomplete in between, never a mixture of old and new.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        _sync_folder(folder)
    except OSError as error:
        raise _cannot_write(folder, sum(map(len, contents.values())), error) from error
    for name, content in contents.items():
        publish(folder / name, content)
    publish(folder / MANIFEST, to_json(manifest_of(contents)))
    _sync_folder(folder.parent)


def manifest_of(contents: Mapping[str, bytes]) -> dict[str, Any]:
    """`{"format": 1, "files": {name: {"size": bytes, "sha256": hex}}}`; docs/format.md says how to recompute it."""
    return {
        "format": MANIFEST_FORMAT,
        "files": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in sorted(contents.items())
        },
    }


def read_folder(folder: Path, allowed: Collection[str]) -> dict[str, bytes]:
    """The files that the folder's manifest lists, each checked against its size and SHA-256 before it is used.

    Raises ModelFileError when the manifest is missing or malformed, lists a name outside `allowed`, or a file is
    missing, not a plain file, of another size, or of another checksum.
    """
    if not folder.is_dir():
        raise ModelFileError(f"{shorten(folder, 300)} is not a folder")
    manifest = parse_json(_read_plain(folder / MANIFEST, limit=2**20), folder / MANIFEST)
    listed = _listed_files(manifest, folder)
    if unknown := sorted(set(listed) - set(allowed)):
        raise ModelFileError(f"{folder / MANIFEST} lists {shorten(unknown[0])!r}, which has no place in this folder")
    return {name: _read_listed(folder / name, *expected) for name, expected in listed.items()}


def read_json(path: Path) -> Any:
    """Strict JSON from a plain file: size and depth capped, no duplicate keys, no NaN or Infinity."""
    return parse_json(_read_plain(path, JSON_LIMIT), path)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces; UsageError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{shorten(path, 300)} cannot be read: {error.strerror}") from error


def parse_json(content: bytes, origin: Path) -> Any:
    """Strict JSON from bytes; `origin` is named in the message of the ModelFileError."""
    try:
        text = content.decode("utf-8")
        _check_depth(text)
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{shorten(origin, 300)} is not valid JSON: {shorten(error, 200)}") from error


def to_json(value: Any) -> bytes:
    """The one JSON form the package writes: UTF-8, sorted keys, two spaces, final newline, no NaN.

    Half of a surrogate pair, which UTF-8 cannot hold, is written as its escape, so that `parse_json` gives it back.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


def _listed_files(manifest: Any, folder: Path) -> dict[str, tuple[int, str]]:
    damaged = ModelFileError(f"{folder / MANIFEST} is damaged: expected format, and for each file size and sha256")
    if not isinstance(manifest, dict) or set(manifest) != {"format", "files"}:
        raise damaged
    if isinstance(manifest["format"], int) and manifest["format"] > MANIFEST_FORMAT:
        raise ModelFileError(f"{folder} was made by a newer version of unspool (manifest format {manifest['format']})")
    files = manifest["files"]
    if type(manifest["format"]) is not int or manifest["format"] != MANIFEST_FORMAT or not isinstance(files, dict):
        raise damaged
    for entry in files.values():
        if not isinstance(entry, dict) or set(entry) != {"size", "sha256"}:
            raise damaged
        if type(entry["size"]) is not int or not isinstance(entry["sha256"], str):
            raise damaged
    return {name: (entry["size"], entry["sha256"]) for name, entry in files.items()}


def _read_listed(path: Path, size: int, sha256: str) -> bytes:
    content = _read_plain(path, size)
    if len(content) != size:
        raise ModelFileError(f"{path} has {len(content)} bytes where its manifest says {size}: it is damaged")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelFileError(f"{path} does not agree with the checksum in its manifest: it is damaged")
    return content


def _read_plain(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; links, pipes and devices are refused unopened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        reason = "a link" if error.errno == errno.ELOOP else error.strerror
        raise ModelFileError(f"{shorten(path, 300)} cannot be read: {reason}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ModelFileError(f"{shorten(path, 300)} is not a plain file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            raise ModelFileError(f"{shorten(path, 300)} has {status.st_size} bytes, more than the {limit} expected")
        return file.read()


def _check_depth(text: str) -> None:
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            escaped, in_string = (character == "\\" and not escaped), (character != '"' or escaped)
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > JSON_DEPTH:
                raise ValueError(f"nested deeper than {JSON_DEPTH}")
        elif character in "]}":
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _no_constants(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):  # 1e999 is a number to JSON and infinity to Python
        raise ValueError(f"{digits} is out of range")
    return value


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, size: int, error: OSError) -> TrainingError:
    return TrainingError(f"{shorten(path, 300)} ({size:,} bytes) cannot be written: {error.strerror}")
