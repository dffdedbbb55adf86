"""`unspool data list` and `unspool data get`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from unspool import corpora
from unspool.cli import data
from unspool.corpora import standard_library


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNSPOOL_CACHE", str(tmp_path))
    monkeypatch.setattr(standard_library, "LEAST_CHARACTERS", 1)
    monkeypatch.setattr(standard_library, "library_files", lambda: iter([Path(standard_library.__file__)]))
    return tmp_path


def test_list_shows_licence_and_origin_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    data.list_corpora()
    shown = capsys.readouterr()
    assert shown.err == ""
    text = " ".join(shown.out.split())
    for corpus in corpora.known():
        assert f"{corpus.name} — {corpus.task}, {corpus.size}" in shown.out
        assert f"licence: {corpus.licence} origin: {corpus.origin} file:" in text


def test_list_tells_what_is_on_this_disk(capsys: pytest.CaptureFixture[str]) -> None:
    path = corpora.fetch("python-source")
    data.list_corpora(json=True)
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["python-source"]["path"] == str(path) and len(entries["python-source"]["sha256"]) == 64
    assert entries["names"]["path"] is None and entries["names"]["licence"] == "MIT"
    data.list_corpora()
    shown = capsys.readouterr().out
    assert f"file:    {path}\n" in shown and "not fetched yet" in shown and "needs no network" in shown


def test_get_writes_the_path_alone_to_stdout(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    data.get("python-source")
    shown = capsys.readouterr()
    assert shown.out == f"{cache / 'corpora' / 'python-source' / 'python-source.txt'}\n"
    assert "licence PSF-2.0; from standard library of" in shown.err


def test_get_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    data.get("python-reference", json=True)
    entry = json.loads(capsys.readouterr().out)
    assert (entry["name"], entry["task"], entry["offline"]) == ("python-reference", "generate", True)
    assert Path(entry["path"]).is_file()


def test_get_of_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(corpora.CorpusError, match="did you mean 'film-reviews'"):
        data.get("film-review")


def test_torch_is_not_imported() -> None:
    code = "import sys, unspool.cli.data; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
