"""How a table is laid out: its separator, quoting, header, and columns; found from its first rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from unspool.errors import DataError
from unspool.text.readers.columns import Columns, choose, known_name
from unspool.text.readers.options import SEPARATORS, ReadOptions
from unspool.text.readers.tables import Dialect, Record, UnclosedQuote, even_records, records, unlimited_fields

ENOUGH_ROWS = 100  # before a quote still open where the sample ends: a field that goes on is likelier than damage
CONVINCING = 0.9  # the share of rows that must agree in width before a file of unknown kind is taken for a table


@dataclass(frozen=True)
class Layout:
    """dialect; names of the columns, None without header; columns chosen; width: fields in a row."""

    dialect: Dialect
    names: tuple[str, ...] | None
    columns: Columns
    width: int

    @property
    def note(self) -> str:
        """The layout in a few words."""
        head = "with" if self.names is not None else "without"
        plain = "" if self.dialect.quoted else ", double quotes are ordinary characters"
        return f"format: {SEPARATORS[self.dialect.separator]}-separated table {head} header{plain}"


@dataclass(frozen=True)
class _Candidate:
    dialect: Dialect
    rows: list[list[str]]
    agreement: float  # the share of rows as wide as the first
    layout: Layout | None

    @property
    def splits(self) -> bool:
        return self.agreement >= 0.5 and len(self.rows[0]) > 1

    @property
    def convinces(self) -> bool:
        return self.layout is not None and self.agreement >= CONVINCING


def find_layout(origin: str, sample: Sequence[str], options: ReadOptions, line_end: str, want_label: bool) -> Layout:
    """The best layout of the sampled lines. Raises DataError when no text or label column is to be found."""
    found = _candidates(origin, sample, options, line_end, want_label)
    best = max(found, key=lambda one: (one.splits, one.convinces, one.agreement))
    if best.layout is not None:
        return best.layout
    _refuse_damaged(origin, sample, best)  # the likelier reason, and the better message
    return _layout(origin, best.dialect, best.rows, options, want_label)


def _refuse_damaged(origin: str, sample: Sequence[str], best: _Candidate) -> None:
    with unlimited_fields():
        try:
            for _ in even_records(origin, records(origin, sample, best.dialect), len(best.rows[0]) if best.rows else 0):
                pass
        except UnclosedQuote:
            if len(best.rows) < ENOUGH_ROWS:  # else it is the sample that ends inside a field
                raise


def settle_quotes(layout: Layout, read: Callable[[Dialect], Iterable[Record]]) -> Layout:
    """In a tab-separated file quotes may be quoting or just characters; a whole reading decides.

    Quoting stands unless it leads to a broken row somewhere and taking quotes as characters does not.
    """
    dialect = layout.dialect
    if dialect.separator != "\t" or not dialect.quoted or _reads(layout, read(dialect)):
        return layout
    plain = replace(layout, dialect=replace(dialect, quoted=False))
    return plain if _reads(plain, read(plain.dialect)) else layout


def _reads(layout: Layout, found: Iterable[Record]) -> bool:
    try:
        return all(len(fields) == layout.width for _, fields in found)
    except DataError:
        return False


def is_table(origin: str, sample: Sequence[str], options: ReadOptions, line_end: str) -> bool:
    """Whether lines of unknown kind read as a table with a text and a label column."""
    found = _candidates(origin, sample, options, line_end, want_label=True)
    return any(one.convinces for one in found)


def _candidates(
    origin: str, sample: Sequence[str], options: ReadOptions, line_end: str, want_label: bool
) -> list[_Candidate]:
    separators = [options.separator] if options.separator else ["\t", ",", ";", "|"]
    if options.format == "tsv":
        separators = ["\t"]
    dialects = [Dialect(separator, True, line_end) for separator in separators]
    if "\t" in separators:
        dialects.append(Dialect("\t", False, line_end))
    return [_judge(origin, sample, dialect, options, want_label) for dialect in dialects]


def _judge(origin: str, sample: Sequence[str], dialect: Dialect, options: ReadOptions, want_label: bool) -> _Candidate:
    rows: list[list[str]] = []
    broken = False
    try:
        with unlimited_fields():
            rows.extend(fields for _, fields in records(origin, sample, dialect))
    except UnclosedQuote:
        pass  # the sample may end inside a field
    except DataError:
        broken = True
    width = len(rows[0]) if rows else 0
    if width < 2 and (want_label or broken):
        return _Candidate(dialect, rows, 0.0, None)
    agreement = 0.0 if broken or not rows else sum(len(row) == width for row in rows) / len(rows)
    even = [row for row in rows if len(row) == width]
    try:
        layout = _layout(origin, dialect, even, options, want_label)
    except DataError:
        layout = None
    return _Candidate(dialect, rows, agreement, layout)


def _layout(origin: str, dialect: Dialect, rows: list[list[str]], options: ReadOptions, want_label: bool) -> Layout:
    if not rows:
        raise DataError(f"{origin} holds no rows")
    first, rest = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    header = options.header if options.header is not None else looks_like_header(first, rest, options)
    names = tuple(first) if header else None
    columns = choose(origin, names, rest if header else [first, *rest], options, want_label)
    return Layout(dialect, names, columns, len(first))


def looks_like_header(first: Sequence[str], rest: Sequence[Sequence[str]], options: ReadOptions) -> bool:
    """Whether a table's first row names its columns rather than being data."""
    asked = {str(name) for name in (options.text_column, options.label_column) if name is not None}
    if asked & set(first) and not all(name.isdigit() for name in asked):
        return True
    if any(len(cell) > 60 for cell in first) or any(
        cell and rest and sum(row[column] == cell for row in rest) > 0 for column, cell in enumerate(first)
    ):
        return False
    if any(known_name(cell) for cell in first):
        return True
    return any(_unlike(first[column], [row[column] for row in rest]) for column in range(len(first)))


def _unlike(cell: str, values: Sequence[str]) -> bool:
    """The first cell is no number over a column of numbers, or stands over a few values that repeat."""
    if len(values) < 4 or not cell:
        return False
    if all(_is_number(value) for value in values):
        return not _is_number(cell)
    return len(set(values)) <= len(values) / 4


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
