"""Texts without labels, for prediction: one text a line, or the text column of a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from unspool.text.readers import jsonl
from unspool.text.readers.encoding import Survey, lines, survey
from unspool.text.readers.labelled import read_examples, table_rows
from unspool.text.readers.labelled_lines import PREFIX
from unspool.text.readers.options import SUFFIXES, ReadOptions
from unspool.text.readers.source import Source, open_source
from unspool.text.readers.tables import unlimited_fields


@dataclass(frozen=True)
class Texts:
    """texts in the order of the file; notes: what was detected; labelling: a column beside them that looks like
    labels, None where there is none."""

    texts: list[str]
    notes: tuple[str, ...]
    labelling: str | None = None


def read_texts(path: Path | str, options: ReadOptions | None = None) -> Texts:
    """The texts of a file, "-" being standard input.

    A plain file has one text a line: lines end at "\\n" only, a "\\r" before it is dropped, an empty line is an
    empty text. CSV, TSV and JSON lines (by suffix or `options.format`) give their text column. Raises DataError,
    naming file and line, when the file cannot be read.
    """
    options = options or ReadOptions()
    with open_source(path) as source:
        return _read_source(source, options)


def _read_source(source: Source, options: ReadOptions) -> Texts:
    kind = options.format or SUFFIXES.get(source.suffix) or ("csv" if options.asks_for_table else "text")
    if kind == "tsv" and options.format is None and options.separator:
        kind = "csv"
    options.refuse_useless(kind)
    found = survey(source, options.encoding, refuse_nul=kind != "text")
    if found.empty:
        return Texts([], (found.note,))
    with unlimited_fields():
        if kind == "text":
            texts = _plain(source, found)
            return Texts(texts, ("format: one text a line", found.note, *_labels_seen(texts)))
        taken, note, labelling = _column(source, found, options, kind)
        return Texts(list(taken), (note, found.note), labelling)


def _plain(source: Source, found: Survey) -> list[str]:
    only_newlines = Survey(found.encoding, "\n", found.empty, found.note)
    texts = []
    for line in lines(source, only_newlines):
        texts.append(line[:-1].removesuffix("\r") if line.endswith("\n") else line)
    return texts


def _labels_seen(texts: list[str]) -> Iterable[str]:
    """What to tell when most lines begin with a fastText label, which would be taken for a word of the text."""
    if sum(text.startswith(PREFIX) for text in texts) > len(texts) / 2:
        yield f"most lines begin with {PREFIX}, which is read as text: --format fasttext leaves it out"


def _column(source: Source, found: Survey, options: ReadOptions, kind: str) -> tuple[Iterable[str], str, str | None]:
    if kind == "jsonl":
        return _json_texts(source, found, options)
    if kind in ("csv", "tsv"):
        return _table_texts(source, found, options)
    examples, note = read_examples(kind, source, found, options)
    return (text for _, _, text in examples), note, None


def _table_texts(source: Source, found: Survey, options: ReadOptions) -> tuple[Iterable[str], str, str | None]:
    rows, columns, note = table_rows(source, found, options, want_label=False)
    return (fields[columns.text] for _, fields in rows), note, columns.labelling


def _json_texts(source: Source, found: Survey, options: ReadOptions) -> tuple[Iterable[str], str, str | None]:
    first = [one for _, one in islice(jsonl.objects(source.name, lines(source, found)), jsonl.SAMPLE)]
    field, _, columns = jsonl.find_fields(source.name, first, options, want_label=False)
    rows = jsonl.objects(source.name, lines(source, found))
    texts = (jsonl.text_of(source.name, line, one, field) for line, one in rows)
    return texts, f"format: JSON lines; {columns.note}", columns.labelling
