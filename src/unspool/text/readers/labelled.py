"""Texts with their labels, for training and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from unspool.errors import DataError, SettingError, plural, shorten
from unspool.text.readers import jsonl
from unspool.text.readers.columns import Columns
from unspool.text.readers.encoding import Survey, lines, survey
from unspool.text.readers.folders import Folder
from unspool.text.readers.labelled_lines import fasttext_lines, is_fasttext, is_label_lines, label_lines
from unspool.text.readers.layout import find_layout, is_table, settle_quotes
from unspool.text.readers.options import FORMATS, SUFFIXES, TAGGED_FORMATS, ReadOptions
from unspool.text.readers.source import Source, display_name, is_folder, open_source
from unspool.text.readers.tables import Dialect, Record, even_records, records, unlimited_fields

SAMPLE_LINES, SAMPLE_CHARACTERS = 2000, 2**22
LONGEST_LABEL = 1000

Example = tuple[int, str, str]


@dataclass(frozen=True)
class LabelledTexts:
    """texts and labels, equally many, as written; notes: what was detected; fingerprint: SHA-256 of the data."""

    texts: list[str]
    labels: list[str]
    notes: tuple[str, ...]
    fingerprint: str


def read_labelled(path: Path | str, options: ReadOptions | None = None) -> LabelledTexts:
    """All examples of a file or folder. Raises DataError, naming file and line, when they cannot be read."""
    options = options or ReadOptions()
    if options.format in TAGGED_FORMATS and options.format not in FORMATS:
        raise SettingError(f"--format {options.format} is of tagged tokens: it goes with --task tag")
    if options.format == "folder" or (options.format is None and is_folder(path)):
        return _read_folder(Path(path), options)
    with open_source(path) as source:
        return _read_file(source, options)


def _read_file(source: Source, options: ReadOptions) -> LabelledTexts:
    found = survey(source, options.encoding)
    if found.empty:
        raise DataError(f"{source.name} is empty")
    kind = options.format or detect_format(source, found, options)
    options.refuse_useless(kind)
    with unlimited_fields():
        examples, note = read_examples(kind, source, found, options)
        texts, labels, empty = _collect(source.name, examples)
    return LabelledTexts(texts, labels, (note, found.note, *empty), source.fingerprint())


def check_labels(labels: Sequence[str], origin: str, *, folder: bool = False) -> None:
    """Refuse what no classifier can learn from: no example, or only one label. folder: whether the origin is one."""
    distinct = sorted(set(labels))
    if not distinct:
        raise DataError(f"{origin} holds no examples")
    if len(distinct) == 1 and folder:
        raise DataError(
            f"{origin} has texts of only one label, {shorten(distinct[0])!r}; a classifier needs at least two, each a "
            "file or sub-folder. If this is running text to be learned, give --task generate"
        )
    if len(distinct) == 1:
        raise DataError(
            f"{origin} has only one label, {shorten(distinct[0])!r}; a classifier needs at least two. If that is not "
            "its label, say which column is with --label-column"
        )


def sample_lines(source: Source, found: Survey) -> list[str]:
    """The first lines: enough to judge by, few enough to hold."""
    sample, characters = [], 0
    for line in islice(lines(source, found), SAMPLE_LINES):
        sample.append(line)
        characters += len(line)
        if characters > SAMPLE_CHARACTERS:
            break
    return sample


def detect_format(source: Source, found: Survey, options: ReadOptions) -> str:
    """One of FORMATS, by the file's suffix or else by its first lines; raises DataError for text without labels."""
    if source.suffix in SUFFIXES:
        kind = SUFFIXES[source.suffix]
        return "csv" if kind == "tsv" and options.separator else kind
    sample = sample_lines(source, found)
    if next((line for line in sample if line.strip()), "").lstrip().startswith('{"'):
        return "jsonl"
    if is_fasttext(sample):
        return "fasttext"
    if options.asks_for_table or is_table(source.name, sample, options, found.line_end):
        return "csv"
    if is_label_lines(sample):
        return "lines"
    raise DataError(
        f"{source.name}: no labels were found in it. Expected a table with a label and a text column (name them with "
        "--label-column and --text-column), JSON lines, `label text` lines (--format lines), fastText lines, or a "
        "folder per class"
    )


def table_rows(
    source: Source, found: Survey, options: ReadOptions, want_label: bool
) -> tuple[Iterable[Record], Columns, str]:
    """The data rows of a table (with the line where each starts), the columns to take, and a note."""

    def read(dialect: Dialect) -> Iterable[Record]:
        return records(source.name, lines(source, found), dialect)

    layout = find_layout(source.name, sample_lines(source, found), options, found.line_end, want_label)
    layout = settle_quotes(layout, read)
    rows = even_records(source.name, read(layout.dialect), layout.width)
    data = rows if layout.names is None else islice(rows, 1, None)
    return data, layout.columns, f"{layout.note}; {layout.columns.note}"


def _read_table(source: Source, found: Survey, options: ReadOptions) -> tuple[Iterable[Example], str]:
    rows, columns, note = table_rows(source, found, options, want_label=True)
    text, label = columns.text, columns.label or 0
    return ((line, fields[label], fields[text]) for line, fields in rows), note


def _read_jsonl(source: Source, found: Survey, options: ReadOptions) -> tuple[Iterable[Example], str]:
    first = [one for _, one in islice(jsonl.objects(source.name, lines(source, found)), jsonl.SAMPLE)]
    text, label, columns = jsonl.find_fields(source.name, first, options, want_label=True)

    def examples() -> Iterator[Example]:
        for line, one in jsonl.objects(source.name, lines(source, found)):
            yield (
                line,
                jsonl.label_of(source.name, line, one, label or ""),
                jsonl.text_of(source.name, line, one, text),
            )

    return examples(), f"format: JSON lines; {columns.note}"


def read_examples(kind: str, source: Source, found: Survey, options: ReadOptions) -> tuple[Iterable[Example], str]:
    """The examples of one file, lazily, and a note on its format; `kind` is one of FORMATS save folder."""
    if kind in ("csv", "tsv"):
        return _read_table(source, found, options)
    if kind == "jsonl":
        return _read_jsonl(source, found, options)
    if kind == "fasttext":
        return fasttext_lines(source.name, lines(source, found)), "format: fastText lines (__label__x text)"
    if kind == "lines":
        return label_lines(lines(source, found)), "format: lines of a label and a text"
    raise DataError(f"{source.name}: format {kind} has no labels; labelled examples are needed here")


def _collect(origin: str, examples: Iterable[Example]) -> tuple[list[str], list[str], tuple[str, ...]]:
    texts: list[str] = []
    labels: list[str] = []
    same: dict[str, str] = {}
    unlabelled: list[int] = []  # lines
    for line, label, text in examples:
        if not label.strip():
            unlabelled.append(line)
        elif label not in same:
            _check_label(f"{origin}, line {line}", label)
        texts.append(text)
        labels.append(same.setdefault(label, label))  # one string object a label, not one a row
    if not texts:
        raise DataError(f"{origin} has a header or blank lines but no rows")
    if unlabelled:
        others = f", as in {plural(len(unlabelled) - 1, 'more row')}" if len(unlabelled) > 1 else ""
        hint = ". If that is not its label, say which column is with --label-column" if others else ""
        raise DataError(
            f"{origin}, line {unlabelled[0]}: the label is empty{others}; give it one or leave the row out{hint}"
        )
    empty = sum(not text.strip() for text in texts)
    return texts, labels, (f"empty texts: {empty}",) if empty else ()


def _check_label(place: str, label: str) -> None:
    if not label.strip():
        raise DataError(f"{place}: the label is empty; give it one or leave it out")
    if any("\ud800" <= character <= "\udfff" for character in label):
        raise DataError(f"{place}: the label {shorten(label)!r} holds half of a surrogate pair")
    if len(label) > LONGEST_LABEL:
        raise DataError(
            f"{place}: a label of {len(label)} characters, {shorten(label, 60)!r}; at most "
            f"{LONGEST_LABEL} are allowed. Is this the text? Say which column is the label with --label-column"
        )


def _read_folder(path: Path, options: ReadOptions) -> LabelledTexts:
    options.refuse_useless("folder")
    folder = Folder(path, options)
    texts: list[str] = []
    labels: list[str] = []
    for label, text in folder.examples():
        if not labels or labels[-1] != label:
            _check_label(display_name(path), label)
        texts.append(text)
        labels.append(label)
    if not texts:
        raise DataError(f"{display_name(path)} holds no texts: its files are all empty")
    return LabelledTexts(texts, labels, folder.notes, folder.fingerprint)
