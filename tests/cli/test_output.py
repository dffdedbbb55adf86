"""What reaches a terminal: lines stay lines, nothing steers it, nothing is lost."""

from __future__ import annotations

import json

import pytest

from unspool.cli.output import result, result_json, shown

STRANGE = [
    "line\nbreak", "\x1b[31mred\x07", "left\u202eright", "a\tb", "next\u2028line\x85", "\x9b2J",
    "\ud800", "\U000e0001", "a\x00b",
]  # fmt: skip


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_strange_text_is_escaped_and_ordinary_text_beside_it_is_not(
    text: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert shown("straße 😀 " + text).startswith("straße 😀 ")
    result(shown(text))
    (line, rest) = capsysbinary.readouterr().out.decode().split("\n")
    assert rest == ""
    assert line.isprintable()
    assert [character for character in text if character.isprintable() and character not in line] == []


@pytest.mark.parametrize("text", ["👩\u200d💻", "می\u200cروم", "Ça va\u202f?", "10\xa0kg", "日本\u3000語"], ids=ascii)
def test_what_words_are_written_with_stays(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize("text", [*STRANGE, "👩\u200d💻"], ids=ascii)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_comes_back_as_it_was(text: str, indent: int | None, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    value = {text: ["straße", {"x": text}]}
    result_json(value, indent=indent)
    out = capsysbinary.readouterr().out.decode()
    assert all(line.isprintable() for line in out.removesuffix("\n").split("\n"))
    assert json.loads(out) == value
    assert "straße" in out
    assert indent or out.count("\n") == 1


def test_json_never_holds_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        result_json({"loss": float("nan")})
