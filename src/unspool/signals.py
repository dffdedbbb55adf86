"""Ctrl-C and SIGTERM as a flag that a loop polls, so that a step is never cut in half.

Outside of `listening()` a signal raises `Interrupted` at once: there is nothing to save there. Inside, the first
one sets the flag and a second Ctrl-C ends the process without touching what is on disk.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from unspool.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """What `listening` hands out: `requested` is the number of the signal that came, or None."""

    requested: int | None = None


def raise_on_signal() -> None:
    """Let both signals raise Interrupted; the command installs this first of all."""

    def handler(number: int, _frame: FrameType | None) -> None:
        raise Interrupted("stopped before training began; nothing was written", number)

    for number in SIGNALS:
        signal.signal(number, handler)


@contextmanager
def listening() -> Iterator[Stop]:
    """Collect signals in a flag while the block runs; does nothing outside the main thread."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handler(number: int, _frame: FrameType | None) -> None:
        if stop.requested is not None and number == signal.SIGINT:
            raise Interrupted("stopped at once; the last checkpoint is whole", number)
        stop.requested = number

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
