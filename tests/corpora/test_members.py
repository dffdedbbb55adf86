"""Members of archives: hostile names and sizes do no harm, because nothing is ever extracted."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from unspool.corpora import members
from unspool.corpora.entry import CorpusError
from unspool.corpora.members import open_members

CONTENTS = {"a/train.tsv": b"text\tlabel\n", "../../outside.tsv": b"x", "/absolute.tsv": b"y"}


def tarred(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.tsv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_are_read_whatever_their_names_and_nothing_is_written(
    kind: str, zip_of: Callable[[dict[str, bytes]], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    data = zip_of(CONTENTS) if kind == "zip" else tarred(CONTENTS)
    with open_members(data, "it") as opened:
        assert opened.names() == list(CONTENTS)  # the link is not among them
        assert {name: opened.read(name) for name in opened.names()} == CONTENTS
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_beyond_the_limit_is_refused(
    kind: str, zip_of: Callable[[dict[str, bytes]], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MEMBER_LIMIT", 1000)
    bomb = {"zeros.txt": bytes(1001), "fits.txt": bytes(1000)}
    with open_members(zip_of(bomb) if kind == "zip" else tarred(bomb), "it") as opened:
        assert len(opened.read("fits.txt")) == 1000
        with pytest.raises(CorpusError, match=r"'zeros\.txt' unpacks to 1,001 bytes, more than the 1,000 allowed"):
            opened.read("zeros.txt")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_missing_member_is_named(kind: str, zip_of: Callable[[dict[str, bytes]], bytes]) -> None:
    data = zip_of(CONTENTS) if kind == "zip" else tarred(CONTENTS)
    expected = r"holds no 'b\.tsv'; it holds 3 files, among them a/train\.tsv"
    with open_members(data, "it") as opened, pytest.raises(CorpusError, match=expected):
        opened.read("b.tsv")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_archive_is_one_sentence(share: float, zip_of: Callable[[dict[str, bytes]], bytes]) -> None:
    for data in (zip_of(CONTENTS), tarred(CONTENTS)):
        cut = data[: int(share * len(data))]
        with pytest.raises(CorpusError, match=r"here\.zip is not a readable archive"), open_members(cut, "here.zip"):
            pass


def test_a_spoilt_member_is_one_sentence(zip_of: Callable[[dict[str, bytes]], bytes]) -> None:
    data = bytearray(zip_of({"a.txt": bytes(range(256)) * 8}))
    data[60:70] = bytes(10)
    with pytest.raises(CorpusError, match="not a readable archive"), open_members(bytes(data), "it") as opened:
        opened.read("a.txt")
