"""The manual runs: the Python of each tutorial, and its commands, in order, in an empty folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unspool import cli

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_commands(text: str) -> None:
    for line in text.splitlines():
        if line.startswith("$ "):
            program, *arguments = shlex.split(line.removeprefix("$ "))
            assert program == "unspool"
            assert cli.run(arguments) == 0, line


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "raise_on_signal", lambda: None)  # the test runner keeps its own
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    names: dict[str, Any] = {"__name__": "tutorial"}
    run_python: Callable[[str], None] = lambda text: exec(compile(text, page.name, "exec"), names)  # noqa: E731
    for kind, text in blocks:
        (run_python if kind == "python" else run_commands)(text)


def test_every_tutorial_is_in_the_table_of_contents() -> None:
    index = (TUTORIALS[0].parents[1] / "index.md").read_text(encoding="utf-8")
    assert [page.stem for page in TUTORIALS if f"tutorials/{page.stem}\n" not in index] == []
