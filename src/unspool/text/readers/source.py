"""Where bytes come from: a file, a gzip file, a pipe, standard input; opened anew for each pass over the data."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Self, cast

from unspool.errors import DataError, shorten

CHUNK = 2**20
EXPANSION = 500  # gzip cannot shrink honest text 500-fold
EXPANDED = 2**26

_MAGIC = {
    b"PK\x03\x04": "a zip archive (or an office document)",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x7fELF": "a program",
    b"PAR1": "a parquet file",
    b"SQLite format": "a database",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf": "a 7z archive",
}


class Source:
    """Named bytes that can be read more than once. `name` is safe to print and at most 200 characters.

    A context manager: at its end every file it opened is closed, also those of a reader that stopped half-way.
    """

    def __init__(self, name: str, path: Path | None, held: bytes = b"") -> None:
        self.name = name
        self.path = path
        self._held = held
        self._opened = ExitStack()
        with self._raw() as file:
            head = file.read(16)
        self.compressed = head.startswith(b"\x1f\x8b")
        if path is not None and path.suffix == ".gz" and head and not self.compressed:
            raise DataError(f"{name} ends in .gz but is not a gzip file; rename it or compress it again")
        for magic, kind in _MAGIC.items():
            if head.startswith(magic):
                raise DataError(f"{name} is {kind}, not text; extract or convert it first")

    @property
    def suffix(self) -> str:
        """The file's suffix in lower case, without a .gz."""
        if self.path is None:
            return ""
        path = self.path.with_suffix("") if self.path.suffix.lower() == ".gz" else self.path
        return path.suffix.lower()

    def open(self) -> BinaryIO:
        """The bytes from the start, decompressed."""
        file = self._opened.enter_context(self._raw())
        if not self.compressed:
            return file
        return cast(BinaryIO, self._opened.enter_context(gzip.GzipFile(fileobj=file)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def chunks(self) -> Iterator[bytes]:
        """The decompressed bytes, a mebibyte at a time; refuses what swells beyond all reason."""
        with reading(self.name), self.open() as file:
            total = 0
            while chunk := file.read(CHUNK):
                total += len(chunk)
                if self.compressed and total > EXPANDED and total > EXPANSION * self._stored_size():
                    raise DataError(f"{self.name} swells more than {EXPANSION}-fold when decompressed; refused")
                yield chunk

    def fingerprint(self) -> str:
        """SHA-256 of the bytes as stored, hexadecimal."""
        digest = hashlib.sha256()
        with reading(self.name), self._raw() as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def _raw(self) -> BinaryIO:
        if self.path is None:
            return io.BytesIO(self._held)
        with reading(self.name):
            return self.path.open("rb")

    def _stored_size(self) -> int:
        return len(self._held) if self.path is None else self.path.stat().st_size


def open_source(path: Path | str) -> Source:
    """The source at `path`; "-" is standard input. Raises DataError when there is nothing readable."""
    if str(path) == "-":
        return Source("standard input", None, sys.stdin.buffer.read())
    path = Path(path)
    name = display_name(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a possible file name"
        raise DataError(f"{name} cannot be read: {reason}") from error
    if stat.S_ISREG(mode):
        return Source(name, path)
    if stat.S_ISFIFO(mode):
        with reading(name):
            return Source(name, None, path.read_bytes())
    what = "a folder: give one of its files" if stat.S_ISDIR(mode) else "neither a file nor a folder"
    raise DataError(f"{name} is {what}")


def is_folder(path: Path | str) -> bool:
    """Whether there is a folder at `path`; False for "-" and for names no file can have."""
    try:
        return str(path) != "-" and Path(path).is_dir()
    except (OSError, ValueError):
        return False


def display_name(path: Path) -> str:
    """The path on one printable line, its end kept when it is long."""
    text = str(path)
    return shorten(text if len(text) <= 200 else "…" + text[-199:], 400)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what can go wrong while reading bytes into DataError."""
    try:
        yield
    except EOFError as error:
        raise DataError(f"{name} is a gzip file cut short: fetch or compress it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name} is a damaged gzip file: {shorten(error)}") from error
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or shorten(error)}") from error
