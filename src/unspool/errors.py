"""The error family. Each carries one sentence that says what was expected, what came, and what to do.

UnspoolError                 exit code 1: the work failed
├── UsageError               exit code 2: the request or the input is wrong
│   ├── DataError            a data file cannot be used; names file and row
│   ├── SettingError         a setting is unknown, out of range, or does not fit the model
│   └── ModelFileError       a model folder or checkpoint is damaged, foreign or too new
├── TrainingError            training cannot go on (loss not finite, disk full, memory)
└── Interrupted              a signal asked for the end; carries its number
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

MESSAGE_LIMIT = 1000


def shorten(text: object, limit: int = 80) -> str:
    """`text` on one printable line of at most `limit` characters, for use inside a message."""
    line = str(text)[: 4 * limit]
    if not line.isprintable():  # control characters, bidi overrides and lone surrogates must not reach a terminal
        line = line.encode("unicode_escape").decode("ascii")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def nearest(name: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" when a known name is close, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def some(names: Iterable[object], most: int = 5) -> str:
    """The first `most` names, each shortened, and … where there are more."""
    shown = [shorten(name, 30) for name in names]
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")


def plural(count: float, thing: str) -> str:
    """The number and the thing, with an s unless there is one: "1 epoch", "2,000 texts"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


class UnspoolError(Exception):
    """Base of everything unspool raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…")


class UsageError(UnspoolError):
    """The request or the input is wrong; nothing was done."""

    exit_code = 2


class DataError(UsageError):
    """A data file cannot be used."""


class SettingError(UsageError, ValueError):
    """A setting is unknown, out of range, or does not fit the chosen model."""


class ModelFileError(UsageError):
    """A model folder or checkpoint is damaged, foreign, or from a newer version."""


class TrainingError(UnspoolError):
    """Training cannot go on."""


class Interrupted(UnspoolError):
    """A signal asked for the end."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
