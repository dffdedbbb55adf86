"""The cache: where it is, and that anything but a whole and current copy is made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from unspool.corpora.cache import cache_folder, cached, store
from unspool.corpora.entry import Content, Corpus, CorpusError, text_content


@dataclass(frozen=True)
class Fixed:
    origin: str = "a test"
    version: str = "1"
    sha256: str = ""

    def read(self, notice: Callable[[str], None]) -> Content:
        return text_content("once upon a time\n")


CORPUS = Corpus("tale", "generate", "a tale", "17 bytes", "CC0", Fixed())


@pytest.fixture
def stored() -> Path:
    return store(CORPUS, CORPUS.source.read(lambda _: None))


def test_a_whole_copy_is_found(stored: Path) -> None:
    copy = cached(CORPUS)
    assert copy is not None and copy.path == stored and copy.record["size"] == 17
    assert stored.read_text() == "once upon a time\n"


def test_nothing_is_found_before_it_is_stored(cache: Path) -> None:
    assert cached(CORPUS) is None
    assert not cache.exists()


@pytest.mark.parametrize("spoil", ["cut", "flip", "missing", "record missing", "record cut", "record a list"])
def test_a_damaged_or_half_copy_counts_as_none(spoil: str, stored: Path) -> None:
    record = stored.parent / "SOURCE.json"
    if spoil == "cut":
        stored.write_bytes(stored.read_bytes()[:-1])
    elif spoil == "flip":
        stored.write_bytes(b"O" + stored.read_bytes()[1:])
    elif spoil == "missing":
        stored.unlink()
    elif spoil == "record missing":
        record.unlink()
    else:
        record.write_bytes(record.read_bytes()[:-20] if spoil == "record cut" else b"[]")
    assert cached(CORPUS) is None
    assert store(CORPUS, CORPUS.source.read(lambda _: None)) == stored
    assert cached(CORPUS) is not None


@pytest.mark.parametrize(
    "newer",
    [
        replace(CORPUS, recipe=2),
        replace(CORPUS, source=Fixed(version="2")),
        replace(CORPUS, source=Fixed(sha256="1" * 64)),
        replace(CORPUS, source=Fixed(origin="elsewhere")),
    ],
    ids=["recipe", "version", "checksum", "origin"],
)
def test_a_copy_of_something_older_counts_as_none(newer: Corpus, stored: Path) -> None:
    assert cached(newer) is None


@pytest.mark.parametrize("name", ["../tale/tale.txt", "/etc/passwd", "SOURCE.json", "", 3])
def test_a_record_that_points_elsewhere_counts_as_none(name: object, stored: Path) -> None:
    record = stored.parent / "SOURCE.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"file": name}))
    assert cached(CORPUS) is None


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSPOOL_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("UNSPOOL_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "unspool"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "unspool"


def test_without_a_home_folder_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("UNSPOOL_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(CorpusError, match="set UNSPOOL_CACHE to a folder"):
        cache_folder()
