"""Ctrl-C and SIGTERM as a flag that a loop polls, so that a step is never cut in half.

Outside of `listening()` the first signal raises `Interrupted`: there is nothing to save there. It is kept as well, for
a library may swallow an exception, and then `listening()` starts with its flag set. Inside, the first one sets the
flag and a second Ctrl-C ends the process without touching what is on disk.
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


_before_listening = Stop()


def raise_on_signal() -> None:
    """Let both signals raise Interrupted; the command installs this first of all.

    A second one ends the process as if there were no handler: the first may be waiting for a library to return.
    """
    _before_listening.requested = None

    def handler(number: int, _frame: FrameType | None) -> None:
        _before_listening.requested = number
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted("stopped", number)

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

    stop.requested = _before_listening.requested
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
