"""Which column holds the text and which the label: as asked, else by name, else by what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unspool.errors import DataError, nearest, shorten
from unspool.text.readers.options import ReadOptions

TEXT_NAMES = (
    *("text", "texts", "review", "sentence", "content", "message", "comment", "tweet", "body", "document"),
    *("question", "utterance", "description", "headline", "title", "phrase", "sms", "sequence", "name"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "polarity", "language"),
    *("genre", "rating", "stars", "score", "tag", "spam", "y"),
)
LONGEST_LABEL = 60

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Columns:
    """Positions from 0. label is None when only texts are wanted; then `labelling` names a column that looks like
    labels. note says what was chosen."""

    text: int
    label: int | None
    note: str
    labelling: str | None = None


def choose(origin: str, names: Sequence[str] | None, rows: Rows, options: ReadOptions, want_label: bool) -> Columns:
    """The columns to read. `names` is None for a table without header; `rows` is a sample.

    A label column asked for where only texts are wanted is kept from being taken for the text. Raises DataError
    naming the columns there are, and the flags, when one is missing, doubled or not to be found.
    """
    width = len(names) if names is not None else len(rows[0])
    text = asked_column(origin, names, width, options.text_column, "--text-column")
    label = asked_column(origin, names, width, options.label_column, "--label-column")
    if label is None and want_label:
        label = _by_name(names, LABEL_NAMES, text)
    if text is None:
        text = _guess_text(names, rows, width, label)
    if label is None and want_label and text is not None:
        label = _label_by_values(rows, width, text)
    if text is None or (label is None and want_label):
        raise _not_found(origin, "text" if text is None else "label", names, width)
    if text == label:
        raise DataError(f"{origin}: the text and the label cannot be the same column, {_title(names, text)}")
    labelling = None
    if not want_label:
        labelling, label = _labelling(names, rows, width, text), None
    _refuse_doubled(origin, names, [text] if label is None else [text, label])
    chosen = f"text {_title(names, text)}" + (f", label {_title(names, label)}" if label is not None else "")
    others = [_title(names, column) for column in range(width) if column not in (text, label)]
    left = f"; not read: {', '.join(others[:5])}{', …' if len(others) > 5 else ''}" if others else ""
    return Columns(text, label, f"columns: {chosen}{left}", labelling)


def known_name(cell: str) -> bool:
    """Whether a cell is one of the usual names of a text or label column."""
    return cell.strip().lower() in {*TEXT_NAMES, *LABEL_NAMES}


def asked_column(
    origin: str, names: Sequence[str] | None, width: int, wanted: str | int | None, flag: str
) -> int | None:
    """The position of a column that is asked for by its name or its number from 1; None when none is.

    Raises DataError naming the columns there are when it is not among them.
    """
    if wanted is None:
        return None
    if names is not None and wanted in names:
        return list(names).index(str(wanted))
    text = str(wanted)
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= width:
        return int(text) - 1
    close = nearest(shorten(text), names or ())
    raise DataError(f"{origin} has no column {shorten(text)!r} ({flag}){close}; {_existing(names, width)}")


def _by_name(names: Sequence[str] | None, known: Sequence[str], taken: int | None) -> int | None:
    plain = [name.strip().lower() for name in names or ()]
    for name in known:
        found = [position for position, other in enumerate(plain) if other == name and position != taken]
        if found:
            return found[0]
    return None


def _guess_text(names: Sequence[str] | None, rows: Rows, width: int, label: int | None) -> int | None:
    named = _by_name(names, TEXT_NAMES, label)
    if named is not None:
        return named
    others = [column for column in range(width) if column != label]
    return max(others, key=lambda column: sum(len(row[column]) for row in rows), default=None)


def _label_by_values(rows: Rows, width: int, text: int) -> int | None:
    """The column with the fewest distinct values, if these repeat and are short; one with empty cells only after the
    others, a constant at the last."""
    best: tuple[bool, bool, int, int] | None = None
    for column in range(width):
        values = [row[column] for row in rows if row[column].strip()]
        distinct = set(values)
        repeats = len(distinct) <= max(len(values) / 2, min(len(values) - 1, 5))
        filled = 2 * len(values) >= len(rows)
        if column == text or not (repeats and filled) or any(len(value) > LONGEST_LABEL for value in distinct):
            continue
        candidate = (len(distinct) == 1, len(values) < len(rows), len(distinct), column)
        best = candidate if best is None else min(best, candidate)
    return best[-1] if best else None


def _labelling(names: Sequence[str] | None, rows: Rows, width: int, text: int) -> str | None:
    """A column beside the text that looks like labels, as it can be asked for: its name, or its number from 1."""
    column = _by_name(names, LABEL_NAMES, text)
    if column is None:
        column = _label_by_values(rows, width, text)
    if column is None:
        return None
    return str(column + 1) if names is None or list(names).count(names[column]) > 1 else names[column]


def _refuse_doubled(origin: str, names: Sequence[str] | None, chosen: Sequence[int]) -> None:
    for column in chosen:
        if names is not None and list(names).count(names[column]) > 1:
            raise DataError(f"{origin}: the column {shorten(names[column])!r} stands twice; choose one by its number")


def _not_found(origin: str, what: str, names: Sequence[str] | None, width: int) -> DataError:
    return DataError(
        f"{origin}: no {what} column was found; {_existing(names, width)}. Say which with --label-column and "
        "--text-column; pairs of sentences are of --task translate"
    )


def _existing(names: Sequence[str] | None, width: int) -> str:
    if names is None:
        return f"it has no header, its columns are 1 to {width}"
    shown = ", ".join(repr(shorten(name, 40)) for name in names[:10]) + (" …" if len(names) > 10 else "")
    return f"it has {shown}"


def _title(names: Sequence[str] | None, column: int) -> str:
    return repr(shorten(names[column], 40)) if names is not None else str(column + 1)
