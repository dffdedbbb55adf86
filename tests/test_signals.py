"""Signals as a flag inside a loop, as an exception outside."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from unspool.errors import Interrupted
from unspool.signals import SIGNALS, Stop, listening, raise_on_signal


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_inside_the_first_signal_is_only_a_flag(number: int) -> None:
    with listening() as stop:
        assert stop.requested is None
        send(number)
        assert stop.requested == number
    assert Stop.requested is None


@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_ctrl_c_ends_at_once(first: int) -> None:
    with pytest.raises(Interrupted, match="stopped at once; the last checkpoint is whole") as error, listening():
        send(first)
        send(signal.SIGINT)
    assert error.value.signal_number == signal.SIGINT


def test_a_second_sigterm_waits_for_the_step() -> None:
    with listening() as stop:
        send(signal.SIGINT)
        send(signal.SIGTERM)
        assert stop.requested == signal.SIGTERM


@pytest.mark.parametrize("number", SIGNALS)
def test_outside_a_signal_raises(number: int) -> None:
    raise_on_signal()
    with pytest.raises(Interrupted, match=r"^stopped$") as error:
        send(number)
    assert error.value.signal_number == number


def test_a_signal_that_a_library_swallowed_still_stops() -> None:
    raise_on_signal()
    with contextlib.suppress(Interrupted):
        send(signal.SIGTERM)
    with listening() as stop:
        assert stop.requested == signal.SIGTERM
    raise_on_signal()
    with listening() as stop:
        assert stop.requested is None


@pytest.mark.parametrize("number", SIGNALS)
def test_outside_a_second_signal_does_what_it_does_without_us(number: int) -> None:
    raise_on_signal()
    with pytest.raises(Interrupted):
        send(number)
    assert [signal.getsignal(each) for each in SIGNALS] == [signal.SIG_DFL, signal.SIG_DFL]


def test_the_handlers_come_back_also_after_an_error() -> None:
    raise_on_signal()
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyError), listening():
        assert [signal.getsignal(number) for number in SIGNALS] != before
        raise KeyError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_in_another_thread_nothing_is_installed() -> None:
    before, seen = [signal.getsignal(number) for number in SIGNALS], []

    def work() -> None:
        with listening() as stop:
            seen.extend([stop.requested, [signal.getsignal(number) for number in SIGNALS]])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None, before]
