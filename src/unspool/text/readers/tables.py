"""Tables: comma-, tab-, semicolon- or pipe-separated, quoted as in RFC 4180, read record by record.

Python's csv module does the parsing, strictly; what it lets pass (rows with a wrong number of fields) is checked
here, and what it refuses (long fields, lone carriage returns) is allowed here.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from unspool.errors import DataError, shorten

# A lone carriage return inside a field would end the record. It is swapped for a lone surrogate, which no decoded
# file can contain, and swapped back.
_RETURN, _STAND_IN = "\r", "\udc0d"


class UnclosedQuote(DataError):
    """The data ended inside a quoted field; harmless when the data is only a sample."""


@dataclass(frozen=True)
class Dialect:
    """separator: one character; quoted: whether a field may be in double quotes; line_end: "\\n" or "\\r"."""

    separator: str
    quoted: bool
    line_end: str


Record = tuple[int, list[str]]


def records(origin: str, lines: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """(number of the line where it starts, fields) of each record that is not blank.

    Raises DataError naming the line for a quote that is not closed or not doubled.
    """
    reader = csv.reader(
        _guarded(lines, dialect.line_end),
        delimiter=dialect.separator,
        quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        strict=True,
    )
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _quote_error(origin, start, error) from error
        if fields:
            yield start, [field.replace(_STAND_IN, _RETURN) if _STAND_IN in field else field for field in fields]


def even_records(origin: str, found: Iterable[Record], width: int) -> Iterator[Record]:
    """The same records; raises DataError naming the line at the first one that has not `width` fields."""
    for line, fields in found:
        if len(fields) != width:
            shown = shorten(" | ".join(field[:40] for field in fields[:4]), 100)
            raise DataError(
                f"{origin}, line {line}: {len(fields)} fields where the first row has {width}: {shown!r}; "
                "quote a field that contains the separator"
            )
        yield line, fields


@contextmanager
def unlimited_fields() -> Iterator[None]:
    """The csv module refuses fields above 131,072 characters unless told otherwise; told so for a while."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _guarded(lines: Iterable[str], line_end: str) -> Iterator[str]:
    if line_end == _RETURN:
        yield from lines
        return
    for line in lines:
        if _RETURN not in line:
            yield line
            continue
        body = line.removesuffix("\n").removesuffix("\r")
        yield body.replace(_RETURN, _STAND_IN) + line[len(body) :]


def _quote_error(origin: str, line: int, error: csv.Error) -> DataError:
    if "unexpected end of data" in str(error):
        return UnclosedQuote(f"{origin}, line {line}: a double quote is opened here and never closed")
    return DataError(
        f"{origin}, line {line}: text follows a closing quote; inside a quoted field a quote is written twice"
    )
