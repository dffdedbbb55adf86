"""`unspool inspect` on the small gru, through the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, list[str], str]]


def test_text_on_the_terminal_and_as_a_page(
    model: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, lines, err = command("inspect", model, "a fine film")
    assert code == 0 and "inspection.html" in err
    shown = "\n".join(lines)
    assert "good\\x1b[31m" in shown and "\x1b" not in shown
    assert "completeness error" in shown and "gate z" in shown and "half of the gradient" in shown
    assert "forwards, state h: largest in unit" in shown
    assert "Inside m" in (tmp_path / "inspection.html").read_text()
    command("inspect", model, "dull")
    assert (tmp_path / "inspection-2.html").exists()


def test_corpus_as_json(model: Path, command: Command, tmp_path: Path) -> None:
    corpus = tmp_path / "texts.txt"
    corpus.write_text("fine film\ndull film\n\nfine\n")
    page = tmp_path / "page.html"
    code, lines, _ = command("inspect", model, "fine", "--corpus", corpus, "--out", page, "--json")
    found = json.loads(lines[0])
    assert code == 0 and page.exists()
    assert found["corpus"]["texts"] == 4 and sum(found["corpus"]["answered"].values()) == 4
    assert found["texts"][0]["tokens"] == ["fine"] and found["texts"][0]["completeness_error"] <= 0.01
    assert len(found["corpus"]["selectivity"]["forwards, z"]) == 6


def test_refusals(model: Path, command: Command, tmp_path: Path) -> None:
    code, _, err = command("inspect", model)
    assert code == 2 and "nothing to look at" in err
    (tmp_path / "page.html").touch()
    code, _, err = command("inspect", model, "x", "--out", tmp_path / "page.html")
    assert code == 2 and "exists: choose another --out" in err
