"""Pairs of sentences: two aligned files, a table, JSON lines, or a zip of a table (as Tatoeba's)."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from unspool.errors import DataError, UsageError, shorten
from unspool.files import sha256_of
from unspool.text.readers import jsonl
from unspool.text.readers.columns import known_name
from unspool.text.readers.encoding import Survey, lines, survey
from unspool.text.readers.options import SUFFIXES, ReadOptions
from unspool.text.readers.sides import SURE_NAMES, choose_sides, is_header, languages, named_sides
from unspool.text.readers.source import EXPANDED, EXPANSION, Source, display_name, open_source
from unspool.text.readers.tables import Dialect, Record, even_records, records, unlimited_fields
from unspool.text.readers.unlabelled import Texts, read_texts

MEMBER_LIMIT = 2**30  # bytes of the text inside a zip

Pair = tuple[str, str]


@dataclass(frozen=True)
class Pairs:
    """sources and targets, equally many, as written and in order; notes: what was detected; fingerprint: SHA-256."""

    sources: list[str]
    targets: list[str]
    notes: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.sources)


def read_pairs(paths: Sequence[Path], options: ReadOptions | None = None) -> Pairs:
    """All pairs of one file, or of two that have one sentence a line each.

    Of a table the first column is the source and the second the target, unless its header or the options (text_column
    for the source, label_column for the target) say otherwise. A pair with an empty side is left out, and told.
    Raises DataError, naming file and line, when the data cannot be read, and both counts when two files differ.
    """
    options = options or ReadOptions()
    if len(paths) > 2:
        raise UsageError(f"pairs come as one file or as two aligned ones, got {len(paths)} files")
    if len(paths) == 2:
        pairs, notes, fingerprint = _aligned(paths[0], paths[1], options)
    elif is_zip(paths[0]):
        pairs, notes, fingerprint = _zip(paths[0], options)
    else:
        with open_source(paths[0]) as source:
            (pairs, notes), fingerprint = _one_file(source, options), source.fingerprint()
    full = [(source, target) for source, target in pairs if source.strip() and target.strip()]
    if left := len(pairs) - len(full):
        notes = (*notes, f"left out: {left:,} pair{'s' if left > 1 else ''} with an empty side")
    if not full:
        raise DataError(f"{display_name(paths[0])} holds no pairs of sentences")
    return Pairs([source for source, _ in full], [target for _, target in full], notes, fingerprint)


def is_zip(path: Path) -> bool:
    """Whether there is a zip archive at `path`."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except (OSError, ValueError):
        return False  # its reader says why


def looks_paired(path: Path, options: ReadOptions) -> bool:
    """Whether `path` is a zip, or a table or JSON lines that name a source and a target, or two languages, and nothing
    that is usual in labelled texts."""
    if is_zip(path):
        return True
    asked = options.text_column, options.label_column, options.header
    if options.format not in (None, "csv", "tsv", "jsonl") or asked != (None, None, None):
        return False
    names = _first_names(path, options)
    sides = named_sides(names, SURE_NAMES)
    others = [name for column, name in enumerate(names) if column not in sides]
    return len(sides) == 2 and set(languages(names)) <= set(sides) and not any(known_name(name) for name in others)


def read_sources(path: Path | str, options: ReadOptions | None = None) -> Texts:
    """The texts to translate: as `read_texts`, but of a table or JSON lines of pairs the source, by its name or else
    the first column, where no column is asked for."""
    options = options or ReadOptions()
    if options.text_column is None and str(path) != "-":
        names = _first_names(Path(path), options)
        if sides := named_sides(names):
            header = True if options.header is None and table_kind(Path(path), options) != "jsonl" else options.header
            options = replace(options, text_column=names[sides[0]], header=header)
        elif len(names) > 1 and not any(known_name(name) for name in names):
            options = replace(options, text_column=1 if table_kind(Path(path), options) != "jsonl" else names[0])
    return read_texts(path, options)


def _aligned(first: Path, second: Path, options: ReadOptions) -> tuple[list[Pair], tuple[str, ...], str]:
    options.refuse_useless("text")
    if options.format not in (None, "text"):
        raise UsageError(f"--format {options.format} has no effect on two aligned files: they have one sentence a line")
    as_text = ReadOptions(encoding=options.encoding, format="text")
    sides = [read_texts(path, as_text) for path in (first, second)]
    counts = [len(side.texts) for side in sides]
    if counts[0] != counts[1]:
        raise DataError(
            f"{display_name(first)} has {counts[0]:,} lines and {display_name(second)} has {counts[1]:,}: aligned "
            "files have one sentence a line, line by line the same"
        )
    digests = "".join(sha256_of(path) for path in (first, second))
    notes = ("format: two aligned files, one sentence a line", *dict.fromkeys(side.notes[-1] for side in sides))
    pairs = list(zip(sides[0].texts, sides[1].texts, strict=True))
    return pairs, notes, hashlib.sha256(digests.encode()).hexdigest()


def _zip(path: Path, options: ReadOptions) -> tuple[list[Pair], tuple[str, ...], str]:
    name = display_name(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                one for one in archive.infolist()
                if one.filename.endswith((".txt", ".tsv", ".csv")) and not one.filename.split("/")[-1].startswith("_")
            ]  # fmt: skip
            if len(members) != 1:
                raise DataError(f"{name} holds {len(members)} files of text, expected one: unpack the one you want")
            if members[0].file_size > MEMBER_LIMIT:
                raise DataError(f"{name}: {shorten(members[0].filename)} would have {members[0].file_size:,} bytes")
            if members[0].file_size > max(EXPANDED, EXPANSION * path.stat().st_size):
                raise DataError(f"{name} swells more than {EXPANSION}-fold when unpacked; refused")
            with archive.open(members[0]) as file:
                content = file.read(MEMBER_LIMIT)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise DataError(f"{name} is a damaged or encrypted zip archive: {shorten(error, 200)}") from error
    with Source(f"{name}: {shorten(members[0].filename)}", None, content) as source:
        pairs, notes = _one_file(source, options)
    return pairs, notes, sha256_of(path)


def _one_file(source: Source, options: ReadOptions) -> tuple[list[Pair], tuple[str, ...]]:
    found = survey(source, options.encoding)
    if found.empty:
        raise DataError(f"{source.name} is empty")
    kind = options.format or SUFFIXES.get(source.suffix) or "tsv"
    if kind not in ("csv", "tsv", "jsonl"):
        raise DataError(f"{source.name}: format {kind} has no pairs; use tsv, csv, jsonl, or two aligned files")
    with unlimited_fields():
        if kind == "jsonl":
            options.refuse_useless("jsonl")
            pairs, note = _json(source, found, options)
        else:
            pairs, note = _table(source, found, options)
    return pairs, (note, found.note)


def _table(source: Source, found: Survey, options: ReadOptions) -> tuple[list[Pair], str]:
    first = next((line for line in lines(source, found) if line.strip()), "")
    separator = options.separator or next((mark for mark in "\t,;|" if mark in first), "\t")

    def read(quoted: bool) -> Iterator[Record]:
        return records(source.name, lines(source, found), Dialect(separator, quoted, found.line_end))

    even = _is_even(source.name, read(True))
    guessed = separator not in ("\t", options.separator) and options.format is None and source.suffix not in SUFFIXES
    if guessed and not even:
        raise DataError(
            f"{source.name}: its lines have no tab, and what else separates does so unevenly: where are the pairs? Of "
            "two aligned files both are given; --separator and --format csv read a table"
        )
    quoted = separator != "\t" or even
    rows = _even(source.name, read(quoted))
    number, head = next(rows, (0, []))
    if not head:
        raise DataError(f"{source.name} holds no rows")
    if len(head) < 2:
        raise DataError(f"{source.name}: its first line has no tab, comma, semicolon or pipe: where are the pairs?")
    header = options.header if options.header is not None else is_header(head, options)
    names = head if header else None
    left, right = choose_sides(source.name, names, len(head), options)
    data = rows if header else chain([(number, head)], rows)
    titles = [repr(shorten(head[one], 40)) if header else str(one + 1) for one in (left, right)]
    note = f"format: table {'with' if header else 'without'} header; columns: source {titles[0]}, target {titles[1]}"
    return [(fields[left], fields[right]) for _, fields in data], note


def _is_even(origin: str, rows: Iterable[Record]) -> bool:
    try:
        return all(True for _ in _even(origin, rows))
    except DataError:
        return False


def _even(origin: str, rows: Iterable[Record]) -> Iterator[Record]:
    iterator = iter(rows)
    first = next(iterator, None)
    if first is not None:
        yield first
        yield from even_records(origin, iterator, len(first[1]))


def table_kind(path: Path, options: ReadOptions) -> str | None:
    """The format as asked, or csv, tsv or jsonl by the suffix; None when that tells nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return options.format or SUFFIXES.get(suffixes[-1] if suffixes else "")


def _first_names(path: Path, options: ReadOptions) -> list[str]:
    """The cells of a table's first line, or the names of the fields of text of the first JSON line; else nothing."""
    kind = table_kind(path, options)
    if kind not in ("csv", "tsv", "jsonl"):
        return []
    try:
        with open_source(path) as source:
            head = next(source.chunks(), b"").decode("utf-8-sig", errors="replace").lstrip("\r\n").splitlines()[:1]
        if kind == "jsonl":
            return [name for _, one in jsonl.objects(str(path), head) for name, value in one.items() if _is_text(value)]
    except DataError:
        return []  # its reader says why
    for mark in options.separator or ",;|":
        head = [line.replace(mark, "\t") for line in head]
    return [cell.strip().strip('"') for cell in head[0].split("\t")] if head else []


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, jsonl.Written)


def _json(source: Source, found: Survey, options: ReadOptions) -> tuple[list[Pair], str]:
    sample = [one for _, one in islice(jsonl.objects(source.name, lines(source, found)), jsonl.SAMPLE)]
    names = list(dict.fromkeys(name for one in sample for name, value in one.items() if _is_text(value)))
    if len(names) < 2:
        have = ", ".join(repr(shorten(name, 40)) for name in names) or "none"
        raise DataError(f"{source.name}: its objects need two fields of text, a source and a target; they have {have}")
    left, right = choose_sides(source.name, names, len(names), options)
    pairs = [
        (jsonl.text_of(source.name, line, one, names[left]), jsonl.text_of(source.name, line, one, names[right]))
        for line, one in jsonl.objects(source.name, lines(source, found))
    ]
    return pairs, f"format: JSON lines; fields: source {shorten(names[left])!r}, target {shorten(names[right])!r}"
