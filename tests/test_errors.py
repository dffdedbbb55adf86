"""Messages fit on one line, whatever stands in them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool import errors
from unspool.errors import nearest, plural, shorten, some


@given(st.text(st.characters(), max_size=300), st.integers(2, 120))
def test_shortened_text_is_one_printable_line_of_the_length(text: str, limit: int) -> None:
    line = shorten(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    line.encode()  # no lone surrogate is left


@given(st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=80))
def test_a_short_printable_text_stays_itself(text: str) -> None:
    assert shorten(text) == text


@pytest.mark.parametrize("hidden", ["\x1b[31m", "\x00", "\n", "\r", "\u202e", "\u2066", "\u2028", "\x85", "\ud800"])
def test_what_could_move_a_terminal_is_spelt_out(hidden: str) -> None:
    line = shorten(f"a{hidden}b")
    assert line.startswith("a\\")
    assert hidden not in line


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert shorten("x" * 81) == "x" * 79 + "…"
    assert shorten("x" * 80) == "x" * 80


def test_a_message_is_cut() -> None:
    assert len(str(errors.DataError("x" * 5000))) == errors.MESSAGE_LIMIT


def test_nearest_suggests_only_what_is_close_and_is_quick_on_long_names() -> None:
    assert nearest("hiden", ["hidden", "layers"]) == " (did you mean 'hidden'?)"
    assert nearest("zzzz", ["hidden", "layers"]) == ""
    started = time.process_time()
    assert nearest("ab" * 2**19, ["ab" * 50, "cd"]) in ("", f" (did you mean {'ab' * 50!r}?)")
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("UnspoolError", 1),
        ("UsageError", 2),
        ("DataError", 2),
        ("SettingError", 2),
        ("ModelFileError", 2),
        ("TrainingError", 1),
        ("Interrupted", 1),
    ],
)
def test_the_family_is_the_one_drawn_in_the_docstring(kind: str, code: int) -> None:
    assert issubclass(getattr(errors, kind), errors.UnspoolError)
    assert getattr(errors, kind).exit_code == code
    assert kind in str(errors.__doc__)


def test_a_wrong_setting_is_a_value_error_too_and_interrupted_knows_its_signal() -> None:
    assert issubclass(errors.SettingError, ValueError)
    assert errors.Interrupted("stopped", 15).signal_number == 15


def test_some_names_and_that_there_are_more() -> None:
    assert some("abc", 3) == "a, b, c"
    assert some(iter("abcd"), 3) == "a, b, c, …"
    assert some([]) == ""
    assert some(["\x1b[31m", "x" * 40]) == "\\x1b[31m, " + "x" * 29 + "…"


def test_one_has_no_plural() -> None:
    assert [plural(count, "epoch") for count in (0, 1, 1.0, 1.5, 2000)] == [
        "0 epochs", "1 epoch", "1.0 epoch", "1.5 epochs", "2,000 epochs",
    ]  # fmt: skip
