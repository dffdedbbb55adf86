from __future__ import annotations

from typing import Any

import pytest

from unspool.errors import SettingError
from unspool.text.readers import FORMATS, ReadOptions


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"format": "cvs"}, r"format must be one of csv, .*; got 'cvs' \(did you mean 'csv'\?\)"),
        ({"separator": "comm"}, "separator must be one of comma, tab, semicolon, pipe; got 'comm'"),
        ({"separator": "ab"}, "separator must be one of"),
        ({"encoding": "utf-9"}, "encoding must be one of utf-8"),
        ({"encoding": "rot13"}, "encoding must be one of"),
        ({"encoding": "a\0b"}, "encoding must be one of"),
        ({"text_column": 0}, "text_column must be a column's name or its number from 1, got 0"),
        ({"label_column": ""}, "label_column must be"),
        ({"format": "tsv", "separator": ","}, "format tsv is separated by tabs"),
    ],
)
def test_a_wrong_value_is_refused_with_the_known_ones(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        ReadOptions(**given)


@pytest.mark.parametrize(
    ("given", "meant"), [("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), ("comma", ","), (";", ";"), ("pipe", "|")]
)
def test_a_separator_has_a_name_and_a_sign(given: str, meant: str) -> None:
    assert ReadOptions(separator=given).separator == meant


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["text_column", "label_column", "separator", "header"])
def test_an_option_without_effect_is_refused(kind: str, name: str) -> None:
    value: Any = {"separator": "\t", "header": False}.get(name, "a")
    options = ReadOptions(**{name: value})
    useful = kind in ("csv", "tsv") or (kind == "jsonl" and name.endswith("column"))
    if useful:
        options.refuse_useless(kind)
        return
    with pytest.raises(SettingError, match=f"--{name.replace('_', '-')} has no effect on a file of format {kind}"):
        options.refuse_useless(kind)
