"""Files inside a wheel, zip or tar archive, read from memory: nothing is extracted, no member's name becomes a path."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from unspool.corpora.entry import CorpusError
from unspool.errors import shorten

MEMBER_LIMIT = 2**30  # bytes of one member once unpacked: a bomb is refused by the size it states and by what it yields
Info = TypeVar("Info")


class Members(Protocol):
    """The plain files of an archive by name."""

    def names(self) -> list[str]:
        """Names of the plain files, in the archive's order; folders, links and devices are not among them."""
        ...

    def read(self, name: str) -> bytes:
        """The unpacked bytes of one file. Raises CorpusError when it is missing, damaged, or over MEMBER_LIMIT."""
        ...


@contextmanager
def open_members(data: bytes, origin: str) -> Iterator[Members]:
    """The members of a zip (a wheel is one) or tar archive held in `data`; `origin` is named in errors."""
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                yield _ZipMembers(archive)
        else:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
                yield _TarMembers(tar)
    # RuntimeError: an encrypted member; NotImplementedError: a compression this Python was built without
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise CorpusError(f"{shorten(origin, 200)} is not a readable archive: {shorten(error, 120)}") from error


class _ZipMembers:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._files = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        self._archive = archive

    def names(self) -> list[str]:
        return list(self._files)

    def read(self, name: str) -> bytes:
        info = _present(self._files, name)
        _check_size(name, info.file_size)
        with self._archive.open(info) as member:
            return _bounded(name, member.read(MEMBER_LIMIT + 1))


class _TarMembers:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._files = {info.name: info for info in archive.getmembers() if info.isreg()}
        self._archive = archive

    def names(self) -> list[str]:
        return list(self._files)

    def read(self, name: str) -> bytes:
        info = _present(self._files, name)
        _check_size(name, info.size)
        member = self._archive.extractfile(info)
        return b"" if member is None else _bounded(name, member.read(MEMBER_LIMIT + 1))


def _present(files: dict[str, Info], name: str) -> Info:
    if name not in files:
        some = ", ".join(shorten(known, 60) for known in list(files)[:5])
        raise CorpusError(f"the archive holds no {shorten(name)!r}; it holds {len(files)} files, among them {some}")
    return files[name]


def _check_size(name: str, size: int) -> None:
    if size > MEMBER_LIMIT:
        raise CorpusError(f"{shorten(name)!r} unpacks to {size:,} bytes, more than the {MEMBER_LIMIT:,} allowed")


def _bounded(name: str, data: bytes) -> bytes:
    _check_size(name, len(data))
    return data
