"""A small trained model that the commands are tried on, and the commands themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unspool import SequenceClassifier
from unspool.cli import run

TEXTS = [f"{word} film {n % 5}" for n in range(20) for word in ("fine", "dull")]
LABELS = ["good\x1b[31m", "bad\nlabel"] * 20  # labels that would colour a terminal and break a line


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny gru that tells "fine" from "dull"."""
    folder = tmp_path_factory.mktemp("cli") / "m"
    settings: dict[str, Any] = {"model": "gru", "hidden": 6, "embedding": 6, "level": "word"}
    SequenceClassifier(**settings, epochs=15, learning_rate=0.03).fit(TEXTS, LABELS).save(folder)
    return folder


@pytest.fixture
def command(capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, list[str], str]]:
    """command(*arguments) -> exit code, the lines of stdout (ended by "\\n" alone), stderr."""

    def call(*arguments: object) -> tuple[int, list[str], str]:
        code = run([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        assert out == b"" or out.endswith(b"\n")
        return code, out.decode().split("\n")[:-1], err.decode()

    return call


@pytest.fixture
def installed() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """installed(*arguments, stdin=bytes) runs the command in a process of its own."""

    def call(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-m", "unspool", *map(str, arguments)]
        return subprocess.run(words, input=stdin, capture_output=True, check=False)

    return call


@pytest.fixture
def strict() -> Callable[[str], Any]:
    """strict(line) reads JSON without NaN or Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return lambda line: json.loads(line, parse_constant=refuse)
