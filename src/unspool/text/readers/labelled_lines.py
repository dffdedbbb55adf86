"""One example a line with its label in front: fastText's `__label__x text`, and plain `label text`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from unspool.errors import DataError, shorten

PREFIX = "__label__"
MOST_LABELS = 100  # more different first words than this look like prose

Example = tuple[int, str, str]


def fasttext_lines(origin: str, lines: Iterable[str]) -> Iterator[Example]:
    """(line number, label, text) of each line that is not blank; one label a line, else DataError."""
    for number, line in _not_blank(lines):
        first, text = _cut(line)
        if not first.startswith(PREFIX):
            raise DataError(f"{origin}, line {number}: expected {PREFIX}… at its start, got {shorten(line, 60)!r}")
        if text.startswith(PREFIX):
            raise DataError(f"{origin}, line {number}: several labels on one line; keep one, a text has one label here")
        yield number, first.removeprefix(PREFIX), text


def label_lines(lines: Iterable[str]) -> Iterator[Example]:
    """(line number, label, text) of each line that is not blank: the first word is the label."""
    for number, line in _not_blank(lines):
        label, text = _cut(line)
        yield number, label, text


def is_fasttext(sample: Sequence[str]) -> bool:
    """Whether the first line that is not blank begins with `__label__`."""
    return next((line.startswith(PREFIX) for line in sample if line.strip()), False)


def is_label_lines(sample: Sequence[str]) -> bool:
    """Whether first words look like labels: few, repeated, none a hapax beyond chance, and text behind them.

    Prose fails: about half of the words that begin its lines do so once.
    """
    cut = [_cut(line.rstrip("\r\n")) for line in sample if line.strip()]
    counts = Counter(first for first, _ in cut)
    if not cut or "" in counts or len(counts) > min(MOST_LABELS, len(cut) / 2):
        return False
    once = sum(count == 1 for count in counts.values())
    behind = sum(bool(text.strip()) for _, text in cut)
    return once <= len(counts) / 4 and behind >= 0.9 * len(cut)


def _not_blank(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        body = without_end(line)
        if body.strip():
            yield number, body


def without_end(line: str) -> str:
    """The line without its "\\n", "\\r\\n" or "\\r"."""
    return line.removesuffix("\n").removesuffix("\r")


def _cut(line: str) -> tuple[str, str]:
    """The first word, and what stands behind the one blank or tab that ends it."""
    positions = [at for at in (line.find(" "), line.find("\t")) if at >= 0]
    end = min(positions, default=len(line))
    return line[:end], line[end + 1 :]
