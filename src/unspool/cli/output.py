"""Where a command writes: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console


def note(line: str) -> None:
    """One line about what was decided or done, to stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def result(line: str) -> None:
    """One line of the answer, to stdout; what a terminal cannot show is escaped, not lost."""
    sys.stdout.buffer.write((line + "\n").encode("utf-8", errors="backslashreplace"))


def result_json(value: Any, *, indent: int | None = None) -> None:
    """One JSON value, to stdout."""
    result(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent))


def stderr_console() -> Console:
    """rich's console on stderr."""
    return Console(stderr=True, soft_wrap=True)
