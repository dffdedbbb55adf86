"""Sentences of tokens with a tag each: CoNLL columns, CoNLL-U, a seq.in beside its seq.out, JSON lines of two lists."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from unspool.errors import DataError, SettingError, shorten
from unspool.text.readers.conll import Sentence, cut, looks_like_columns, read_columns, read_conllu
from unspool.text.readers.encoding import lines, survey
from unspool.text.readers.labelled_lines import without_end
from unspool.text.readers.options import SUFFIXES, TAGGED_FORMATS, ReadOptions
from unspool.text.readers.source import Source, is_folder, open_source
from unspool.text.readers.token_lists import looks_like_lists, read_lists

LONGEST_TAG = 200
SAMPLE_LINES = 2000


@dataclass(frozen=True)
class TaggedSentences:
    """tokens and tags, a list each for every sentence, equally long; notes: what was detected; fingerprint: SHA-256."""

    tokens: list[list[str]]
    tags: list[list[str]]
    notes: tuple[str, ...]
    fingerprint: str


def read_tagged(paths: Sequence[Path | str], options: ReadOptions | None = None) -> TaggedSentences:
    """All sentences of a file, of a folder with seq.in and seq.out, or of these two files in this order.

    Raises DataError, naming file and line, when they cannot be read; sentences without a token are left out.
    """
    options = options or ReadOptions()
    if options.format is not None and options.format not in TAGGED_FORMATS:
        raise SettingError(
            f"--format {options.format} has no tags; for tagged tokens it is one of {', '.join(TAGGED_FORMATS)}"
        )
    if len(paths) == 2:
        return _read_pair(paths[0], paths[1], options)
    if len(paths) != 1:
        raise DataError(f"tagged tokens come as one file, or as seq.in and seq.out; {len(paths)} files were given")
    path = Path(paths[0])
    if is_folder(path):
        return _read_pair(path / "seq.in", path / "seq.out", options)
    if options.format == "seq" or (options.format is None and path.name == "seq.in"):
        return _read_pair(path, path.with_name("seq.out"), options)
    with open_source(paths[0]) as source:
        return _read_file(source, options)


def looks_tagged(paths: Sequence[Path], options: ReadOptions) -> str | None:
    """Why this data looks like tagged tokens, by its names and its first lines; None when it does not."""
    path = paths[0]
    if options.format is not None:
        known = options.format in TAGGED_FORMATS and options.format != "jsonl"
        return f"one tag for each token (format {options.format})" if known else None
    if is_folder(path):
        return "one tag for each token (seq.in, seq.out)" if _is_pair(path / "seq.in", path / "seq.out") else None
    if path.name == "seq.in" or len(paths) == 2:
        other = paths[1] if len(paths) == 2 else path.with_name("seq.out")
        return "one tag for each token (seq.in, seq.out)" if _is_pair(path, other) else None
    if len(paths) > 1:
        return None
    try:
        with open_source(path) as source:
            return _file_looks_tagged(source, options)
    except DataError:  # the reader that is asked next says it
        return None


def _is_pair(words: Path, marks: Path) -> bool:
    return words.name == "seq.in" and marks.name == "seq.out" and marks.is_file()


def _file_looks_tagged(source: Source, options: ReadOptions) -> str | None:
    if source.suffix in (".csv", ".db"):
        return None
    found = survey(source, options.encoding)
    sample = [without_end(line) for line in islice(lines(source, found), SAMPLE_LINES)]
    if source.suffix == ".conllu":
        return "one tag for each token (CoNLL-U)"
    if looks_like_lists(sample):
        return "one tag for each token (lists of tokens and tags)"
    if looks_like_columns(sample, options.separator):
        return "one tag for each token (a token a line, an empty line between sentences)"
    return None


def _read_file(source: Source, options: ReadOptions) -> TaggedSentences:
    found = survey(source, options.encoding)
    if found.empty:
        raise DataError(f"{source.name} is empty")
    kind = options.format or _kind(source)
    options.refuse_useless(kind)
    if kind == "jsonl":
        sentences, note = read_lists(source.name, lambda: lines(source, found), options)
    elif kind == "conllu":
        sentences, note = read_conllu(source.name, lines(source, found), options)
    else:
        sentences, note = read_columns(source.name, lines(source, found), options)
    return _collect(source.name, sentences, (note, found.note), source.fingerprint())


def _kind(source: Source) -> str:
    if source.suffix == ".conllu":
        return "conllu"
    return "jsonl" if SUFFIXES.get(source.suffix) == "jsonl" else "conll"


def _collect(
    origin: str, sentences: Iterable[tuple[int, Sentence]], notes: tuple[str, ...], fingerprint: str
) -> TaggedSentences:
    tokens, tags, empty = [], [], 0
    known: dict[str, str] = {}  # each distinct string once: a corpus repeats its words
    for line, (words, marks) in sentences:
        if not words:
            empty += 1
            continue
        for tag in marks:
            if tag not in known:
                _check_tag(f"{origin}, line {line}", tag)
        tokens.append([known.setdefault(word, word) for word in words])
        tags.append([known.setdefault(tag, tag) for tag in marks])
    if not tokens:
        raise DataError(f"{origin} holds no tagged tokens")
    left = (f"empty sentences: {empty:,}, left out",) if empty else ()
    return TaggedSentences(tokens, tags, (*notes, *left), fingerprint)


def _check_tag(place: str, tag: str) -> None:
    if not tag.strip():
        raise DataError(f"{place}: a tag is empty")
    if any("\ud800" <= character <= "\udfff" for character in tag):
        raise DataError(f"{place}: the tag {shorten(tag)!r} holds half of a surrogate pair")
    if len(tag) > LONGEST_TAG:
        raise DataError(
            f"{place}: a tag of {len(tag)} characters, {shorten(tag, 60)!r}; at most {LONGEST_TAG} are allowed. Say "
            "which column is the tag with --label-column"
        )


def _read_pair(words: Path | str, marks: Path | str, options: ReadOptions) -> TaggedSentences:
    """Two files with one sentence a line: tokens, and as many tags, between blanks."""
    options.refuse_useless("seq")
    with open_source(words) as first, open_source(marks) as second:
        surveys = [survey(source, options.encoding) for source in (first, second)]
        if surveys[0].empty:
            raise DataError(f"{first.name} is empty")
        rows = [
            [cut(without_end(line)) for line in lines(source, found)]
            for source, found in zip((first, second), surveys, strict=True)
        ]
        digest = hashlib.sha256((first.fingerprint() + second.fingerprint()).encode()).hexdigest()
    if len(rows[0]) != len(rows[1]):
        raise DataError(
            f"{first.name} has {len(rows[0]):,} lines, {second.name} has {len(rows[1]):,}: they must have one each"
        )
    for line, (tokens, tags) in enumerate(zip(*rows, strict=True), start=1):
        if len(tokens) != len(tags):
            raise DataError(f"line {line}: {first.name} has {len(tokens)} tokens, {second.name} has {len(tags)} tags")
    sentences = ((line, pair) for line, pair in enumerate(zip(*rows, strict=True), start=1))
    note = "format: one sentence a line, tokens and tags in two files"
    return _collect(first.name, sentences, (note, surveys[0].note), digest)
