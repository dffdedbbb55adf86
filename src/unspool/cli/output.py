"""Where a command writes: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Any

from rich.console import Console


def note(line: str) -> None:
    """One line about what was decided or done, to stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


JOINERS = "\u200c\u200d"  # of Persian and Indian scripts, and of emoji: part of how a word is written


def shown(text: str) -> str:
    """`text` with everything that could break or steer a line (line ends, escape codes, direction marks) as an escape.

    Spaces of any width and the joiners inside words stay: a translation with them is not the same without.
    """
    return "".join(
        character
        if character.isprintable() or character in JOINERS or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def result(line: str) -> None:
    """One line of the answer, to stdout; what a terminal cannot show is escaped, not lost."""
    sys.stdout.buffer.write((line + "\n").encode("utf-8", errors="backslashreplace"))


def result_json(value: Any, *, indent: int | None = None) -> None:
    """One JSON value, to stdout; characters that are not printable stand as JSON escapes, so a line stays a line."""
    content = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    result(
        "".join(
            character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
            for character in content
        )
    )


def stderr_console() -> Console:
    """rich's console on stderr."""
    return Console(stderr=True, soft_wrap=True)
