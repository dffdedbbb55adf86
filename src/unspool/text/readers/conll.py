"""One token a line, columns between tabs or blanks, an empty line between sentences; and CoNLL-U."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

from unspool.errors import DataError, nearest, shorten
from unspool.text.readers.labelled_lines import without_end
from unspool.text.readers.options import ReadOptions

DOCUMENT = "-DOCSTART-"
CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")

Sentence = tuple[list[str], list[str]]
Sentences = Iterator[tuple[int, Sentence]]


def looks_like_columns(sample: Sequence[str], separator: str | None) -> bool:
    """Whether the lines are short sentences of a token a line: empty lines between blocks, as many columns in each
    line but for a few that are damaged, which the reader tells, and a last column that repeats its values."""
    sample = ["" if line.startswith(("#", DOCUMENT)) else line for line in sample]
    filled = [line for line in sample if line.strip(" \t")]
    blocks = sum(1 for before, line in pairwise(["", *sample]) if line.strip(" \t") and not before.strip(" \t"))
    if blocks < 2 or len(filled) < 2 * blocks:
        return False
    own = separator or ("\t" if "\t" in filled[0] else " ")
    rows = [cut(line, own) for line in filled]
    ((width, usual),) = Counter(map(len, rows)).most_common(1)
    if width < 2 or 10 * (len(rows) - usual) > len(rows) or any(" " in row[-1].strip() for row in rows):
        return False
    return len({row[-1] for row in rows}) <= max(20, len(rows) / 2)


def read_columns(origin: str, content: Iterable[str], options: ReadOptions) -> tuple[Sentences, str]:
    """(first line, tokens and tags) of each sentence, and a note; DataError naming the line that does not fit."""
    rows = _numbered(content)
    number, first = next(((number, line) for number, line in rows if line.strip(" \t")), (0, ""))
    if not number:
        raise DataError(f"{origin} holds no rows")
    separator = options.separator or ("\t" if "\t" in first else " ")
    names = cut(first, separator)
    width = len(names)
    if width < 2:
        raise DataError(
            f"{origin}, line {number}: expected a token and its tag between tabs or blanks, one token a line, got "
            f"{shorten(first, 60)!r}"
        )
    token = _column(origin, "--text-column", options.text_column, names if options.header else None, width, 1)
    tag = _column(origin, "--label-column", options.label_column, names if options.header else None, width, width)
    if token == tag:
        raise DataError(f"{origin}: token and tag are the same column, {token + 1}; give --text-column, --label-column")
    by = {"\t": "tabs", " ": "blanks"}.get(separator, repr(separator))
    note = f"format: a token a line, {width} columns between {by}; token {token + 1}, tag {tag + 1} (--label-column)"
    data = rows if options.header else chain([(number, first)], rows)
    checked = _even_blocks(f"{origin}, line", data, separator, width, f"{width} columns as in line {number}")
    return _picked(checked, origin, token, tag), note


def _even_blocks(
    place: str, rows: Iterable[tuple[int, str]], separator: str, width: int, expected: str
) -> Iterator[list[tuple[int, list[str]]]]:
    """The cells of each line of each sentence, `width` of them; marks of documents are left out."""
    for block in _blocks(rows):
        cells = [(line, cut(text, separator)) for line, text in block if not text.startswith(DOCUMENT)]
        for line, row in cells:
            if len(row) != width:
                raise DataError(f"{place} {line}: expected {expected}, got {len(row)}")
        if cells:
            yield cells


def _picked(blocks: Iterable[list[tuple[int, list[str]]]], origin: str, token: int, tag: int) -> Sentences:
    for cells in blocks:
        for line, row in cells:
            if not row[token]:
                raise DataError(f"{origin}, line {line}: the token is empty")
        yield cells[0][0], ([row[token] for _, row in cells], [row[tag] for _, row in cells])


def cut(line: str, separator: str = " ") -> list[str]:
    """The cells of a line; between blanks, which may be several, none is empty."""
    if separator != " ":
        return line.split(separator)
    return [part for part in line.replace("\t", " ").split(" ") if part]


def _column(origin: str, flag: str, asked: str | int | None, names: list[str] | None, width: int, usual: int) -> int:
    """The number of a column, from 0."""
    if isinstance(asked, str):
        if names is None:
            raise DataError(f"{flag} {shorten(asked)}: the columns of {origin} have no names; give a number from 1")
        if asked not in names:
            raise DataError(f"{origin} has no column {shorten(asked)!r}{nearest(asked, names)}")
        return names.index(asked)
    number = usual if asked is None else asked
    if number > width:
        raise DataError(f"{origin} has {width} columns, {flag} asks for column {number}")
    return number - 1


def read_conllu(origin: str, content: Iterable[str], options: ReadOptions) -> tuple[Sentences, str]:
    """Universal Dependencies: ten columns between tabs, comments from #. Ranges (1-2) and empty nodes (1.1) are left
    out."""
    names = list(CONLLU)
    token = _column(origin, "--text-column", _lower(options.text_column), names, len(names), 2)
    tag = _column(origin, "--label-column", _lower(options.label_column), names, len(names), 4)

    def sentences() -> Sentences:
        for block in _blocks(_numbered(content)):
            words, marks = [], []
            for line, text in block:
                if text.startswith("#"):
                    continue
                row = text.split("\t")
                if len(row) != len(CONLLU):
                    raise DataError(
                        f"{origin}, line {line}: expected the {len(CONLLU)} columns of CoNLL-U, got {len(row)}"
                    )
                if row[0].isdigit():
                    words.append(row[token])
                    marks.append(row[tag])
            if words:
                yield block[0][0], (words, marks)

    return sentences(), f"format: CoNLL-U; token {CONLLU[token]}, tag {CONLLU[tag]} (--label-column)"


def _lower(asked: str | int | None) -> str | int | None:
    return asked.lower() if isinstance(asked, str) else asked


def _blocks(rows: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Numbered lines between blank ones."""
    block: list[tuple[int, str]] = []
    for number, line in rows:
        if line.strip(" \t"):
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _numbered(content: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((number, without_end(line)) for number, line in enumerate(content, start=1))
