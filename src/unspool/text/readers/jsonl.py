"""JSON Lines: one object a line. Numbers keep the form they were written in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from unspool.errors import DataError, shorten
from unspool.text.readers.columns import Columns, choose
from unspool.text.readers.options import ReadOptions

SAMPLE = 1000


class Written(str):
    """A number (or true, false) as it stands in the file: a label may be one, a text may not."""

    __slots__ = ()


def objects(origin: str, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line that is not blank. Raises DataError naming a line that is no object."""
    decoder = json.JSONDecoder(
        parse_int=Written, parse_float=Written, parse_constant=Written, object_pairs_hook=_without_doubles
    )
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = decoder.decode(line.strip(" \t\r\n"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{origin}, line {number}: not valid JSON: {shorten(error, 120)}") from error
        if not isinstance(found, dict):
            hint = "; write one object a line, not one array" if isinstance(found, list) or line[0] == "[" else ""
            raise DataError(f"{origin}, line {number}: not a JSON object with fields{hint}")
        yield number, found


def find_fields(
    origin: str, sample: list[dict[str, Any]], options: ReadOptions, want_label: bool
) -> tuple[str, str | None, Columns]:
    """The name of the text field, of the label field (None unless wanted), and what was chosen."""
    if not sample:
        raise DataError(f"{origin} holds no rows")
    names = list(dict.fromkeys(name for one in sample for name in one))
    rows = [[_cell(one.get(name)) for name in names] for one in sample]
    if not names:
        raise DataError(f"{origin}: its objects have no fields")
    columns = choose(origin, names, rows, options, want_label)
    label = None if columns.label is None else names[columns.label]
    return names[columns.text], label, columns


def text_of(origin: str, line: int, found: dict[str, Any], field: str) -> str:
    """The text field's string; raises DataError when it is missing or no string."""
    value = _field(origin, line, found, field)
    if not isinstance(value, str) or isinstance(value, Written):
        raise DataError(f"{origin}, line {line}: the text field {shorten(field)!r} is not a string")
    return value


def label_of(origin: str, line: int, found: dict[str, Any], field: str) -> str:
    """The label as written: a string, a number, true or false; raises DataError for anything else."""
    value = _field(origin, line, found, field)
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise DataError(f"{origin}, line {line}: the label field {shorten(field)!r} is not a string or a number")
    return str(value)


def _field(origin: str, line: int, found: dict[str, Any], field: str) -> Any:
    if field not in found:
        raise DataError(f"{origin}, line {line}: the field {shorten(field)!r} is missing")
    return found[field]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice in one object")
    return found
