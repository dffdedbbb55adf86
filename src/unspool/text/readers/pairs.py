"""Pairs of sentences: two aligned files, a table, JSON lines, or a zip of a table (as Tatoeba's)."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from unspool.errors import DataError, UsageError, nearest, shorten
from unspool.files import sha256_of
from unspool.text.readers import jsonl
from unspool.text.readers.columns import known_name
from unspool.text.readers.encoding import Survey, lines, survey
from unspool.text.readers.options import SUFFIXES, ReadOptions
from unspool.text.readers.source import EXPANDED, EXPANSION, Source, display_name, open_source
from unspool.text.readers.tables import Dialect, Record, even_records, records, unlimited_fields
from unspool.text.readers.unlabelled import Texts, read_texts

SOURCE_NAMES = ("source", "src", "source_text", "input", "from", "original", "question")
TARGET_NAMES = ("target", "tgt", "target_text", "output", "to", "translation", "answer")
_CODES = (
    "ar bg ca cs da de el en es et eu fa fi fr ga he hi hr hu id is it ja ko lt lv nl no pl pt ro ru sk sl sq sr sv"
)
_NAMES = (
    "arabic bulgarian catalan chinese croatian czech danish dutch english estonian finnish french german greek hebrew "
    "hindi hungarian indonesian italian japanese korean latin norwegian persian polish portuguese romanian russian "
    "slovak slovenian spanish swedish thai turkish ukrainian vietnamese"
)
LANGUAGES = frozenset((*_CODES.split(), "th", "tr", "uk", "vi", "zh", *_NAMES.split()))
SURE_NAMES = 3  # so many of the names above are used for nothing but pairs
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
    sides = _named(names, SURE_NAMES)
    others = [name for column, name in enumerate(names) if column not in sides]
    return len(sides) == 2 and set(_languages(names)) <= set(sides) and not any(known_name(name) for name in others)


def read_sources(path: Path | str, options: ReadOptions | None = None) -> Texts:
    """The texts to translate: as `read_texts`, but of a table or JSON lines of pairs the source, by its name or else
    the first column, where no column is asked for."""
    options = options or ReadOptions()
    if options.text_column is None and str(path) != "-":
        names = _first_names(Path(path), options)
        if sides := _named(names):
            header = True if options.header is None and _kind(Path(path), options) != "jsonl" else options.header
            options = replace(options, text_column=names[sides[0]], header=header)
        elif len(names) > 1 and not any(known_name(name) for name in names):
            options = replace(options, text_column=1 if _kind(Path(path), options) != "jsonl" else names[0])
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
    header = options.header if options.header is not None else _is_header(head, options)
    names = head if header else None
    left, right = _columns(source.name, names, len(head), options)
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


def _is_header(head: Sequence[str], options: ReadOptions) -> bool:
    asked = {str(name) for name in (options.text_column, options.label_column) if name is not None}
    if asked and not all(name.isdigit() for name in asked):
        return True
    return bool(_named(head))


def _named(names: Sequence[str], usual: int | None = None) -> list[int]:
    """Positions of the source and the target among the names of columns: the usual names of both (all, or the first
    `usual` of them), or else the first two languages. Empty when there are not both."""
    plain = [name.strip().lower() for name in names]
    sides = [column for column in _usual(plain, usual) if column is not None]
    if len(sides) < 2:
        sides = _languages(names)[:2]
    return sides if len({plain[column] for column in sides}) == 2 else []


def _usual(plain: Sequence[str], most: int | None = None) -> list[int | None]:
    """Positions of the first usual name of a source and of a target, of all such names or the first `most`."""
    return [
        next((plain.index(name) for name in known[:most] if name in plain), None)
        for known in (SOURCE_NAMES, TARGET_NAMES)
    ]


def _languages(names: Sequence[str]) -> list[int]:
    """Positions of the names that are a language's, or its code as in en, en-GB or pt_br.

    "id" is Indonesian beside one other column, and a number among several.
    """
    plain = [re.sub(r"[-_][a-z]{2,4}$", "", name.strip().lower()) for name in names]
    return [k for k, name in enumerate(plain) if name in LANGUAGES and (name != "id" or len(names) == 2)]


def _kind(path: Path, options: ReadOptions) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return options.format or SUFFIXES.get(suffixes[-1] if suffixes else "")


def _first_names(path: Path, options: ReadOptions) -> list[str]:
    """The cells of a table's first line, or the names of the fields of text of the first JSON line; else nothing."""
    kind = _kind(path, options)
    if kind not in ("csv", "tsv", "jsonl"):
        return []
    try:
        with open_source(path) as source:
            head = next(source.chunks(), b"").decode("utf-8-sig", errors="replace").lstrip("\r\n").splitlines()[:1]
        if kind == "jsonl":
            return [name for _, one in jsonl.objects(str(path), head) for name, value in one.items() if _is_text(value)]
    except DataError:
        return []  # its reader says why
    separators = f"[{options.separator}]" if options.separator else r"[\t,;|]"
    return [cell.strip().strip('"') for cell in re.split(separators, head[0])] if head else []


def _columns(origin: str, names: Sequence[str] | None, width: int, options: ReadOptions) -> tuple[int, int]:
    """Positions of the source and the target: as asked, by name, else the first two that are free."""
    asked = [_asked(origin, names, width, options.text_column, "--text-column")]
    asked.append(_asked(origin, names, width, options.label_column, "--label-column"))
    for side, column in enumerate(_named(names or ()) or _usual([name.strip().lower() for name in names or ()])):
        if asked[side] is None and column not in asked:
            asked[side] = column
    for side in (0, 1):
        if asked[side] is None:
            asked[side] = next(column for column in range(width) if column not in asked)
    left, right = asked
    if left is None or right is None or left == right:
        raise DataError(f"{origin}: source and target cannot be the same column")
    return left, right


def _asked(origin: str, names: Sequence[str] | None, width: int, wanted: str | int | None, flag: str) -> int | None:
    if wanted is None:
        return None
    if names is not None and wanted in names:
        return list(names).index(str(wanted))
    text = str(wanted)
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= width:
        return int(text) - 1
    shown = ", ".join(repr(shorten(name, 40)) for name in (names or ())[:10]) or f"columns 1 to {width}"
    raise DataError(f"{origin} has no column {shorten(text)!r} ({flag}){nearest(text, names or ())}; it has {shown}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, jsonl.Written)


def _json(source: Source, found: Survey, options: ReadOptions) -> tuple[list[Pair], str]:
    sample = [one for _, one in islice(jsonl.objects(source.name, lines(source, found)), jsonl.SAMPLE)]
    names = list(dict.fromkeys(name for one in sample for name, value in one.items() if _is_text(value)))
    if len(names) < 2:
        have = ", ".join(repr(shorten(name, 40)) for name in names) or "none"
        raise DataError(f"{source.name}: its objects need two fields of text, a source and a target; they have {have}")
    left, right = _columns(source.name, names, len(names), options)
    pairs = [
        (jsonl.text_of(source.name, line, one, names[left]), jsonl.text_of(source.name, line, one, names[right]))
        for line, one in jsonl.objects(source.name, lines(source, found))
    ]
    return pairs, f"format: JSON lines; fields: source {shorten(names[left])!r}, target {shorten(names[right])!r}"
