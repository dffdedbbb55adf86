"""From what a user gives — a path, a name, an address — to a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from unspool import corpora
from unspool.corpora import standard_library


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard library of one file, so that the offline corpora are made at once."""
    monkeypatch.setattr(standard_library, "LEAST_CHARACTERS", 1)
    monkeypatch.setattr(standard_library, "library_files", lambda: iter([Path(standard_library.__file__)]))


def test_a_path_that_exists_stands_for_itself(tmp_path: Path, no_network: None) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("text,label\n")
    assert corpora.locate(str(file)) == file
    assert corpora.locate(str(tmp_path)) == tmp_path


def test_a_name_stands_for_its_corpus(no_network: None, cache: Path) -> None:
    assert corpora.locate("python-source") == cache / "corpora" / "python-source" / "python-source.txt"


def test_a_users_file_is_never_hidden_by_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("names").write_text("text,label\n")
    notes: list[str] = []
    assert corpora.locate("names", notice=notes.append) == Path("names")
    assert notes == ["names is a file here and also a corpus: the file is used"]


@pytest.mark.parametrize("given", ["shakespere", "a\0b", "x" * 5000, ""])
def test_what_is_neither_is_told_with_the_nearest_name(given: str, no_network: None) -> None:
    with pytest.raises(corpora.CorpusError) as caught:
        corpora.locate(given)
    message = str(caught.value)
    assert "does not exist as a file, and no corpus is called" in message and len(message) < 1000
    assert ("did you mean 'shakespeare'?" in message) == (given == "shakespere")


def test_refresh_makes_it_anew_and_a_damaged_copy_is_made_anew_unasked() -> None:
    notes: list[str] = []
    path = corpora.fetch("python-source", notice=notes.append)
    whole, told = path.read_bytes(), len(notes)
    corpora.fetch("python-source", notice=notes.append)
    assert len(notes) == told
    corpora.fetch("python-source", refresh=True, notice=notes.append)
    assert len(notes) == 2 * told
    path.write_bytes(whole[:100])
    assert corpora.fetch("python-source").read_bytes() == whole
