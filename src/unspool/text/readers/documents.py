"""Running text, for language models: documents one after the other, read in pieces, never held whole.

A text file is one document, and a folder of them as many as it has files; a table, or a file with one text a line,
has a document a row. A piece is at most about a mebibyte of characters, so a corpus may be larger than memory.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from unspool.errors import DataError, plural, shorten
from unspool.text.readers.encoding import Survey, survey
from unspool.text.readers.labelled import read_labelled
from unspool.text.readers.options import SUFFIXES, ReadOptions
from unspool.text.readers.source import Source, display_name, is_folder, open_source, reading
from unspool.text.readers.unlabelled import read_texts

PIECE = 2**20
NAMED = 3  # files that are told by name


@dataclass(frozen=True)
class Piece:
    """A part of a document; `first` where the document begins. label: the document's, or None."""

    text: str
    first: bool = True
    label: str | None = None


@dataclass(frozen=True)
class Documents:
    """Documents that can be read again and again.

    pieces: gives a new pass over them. running: whether they are running text (files), not rows of a table.
    characters: in all. labels: distinct, sorted; empty when the documents have none. notes: what was detected.
    fingerprint: SHA-256 of the data, "" when unknown. labelling: a column, not read, that looks like labels, or None.
    """

    pieces: Callable[[], Iterator[Piece]]
    running: bool
    characters: int
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    labelling: str | None = None

    @classmethod
    def of(cls, texts: Iterable[str], labels: Iterable[str] | None = None, *, running: bool = False) -> Documents:
        """Documents that are in memory already."""
        kept = list(texts)
        own: list[str | None] = [None] * len(kept) if labels is None else list(labels)
        if len(own) != len(kept):
            raise DataError(f"there are {len(kept)} texts but {len(own)} labels")
        pieces = [Piece(text, True, label) for text, label in zip(kept, own, strict=True)]
        names = tuple(sorted({label for label in own if label is not None}))
        return cls(lambda: iter(pieces), running, sum(map(len, kept)), names)


def read_documents(path: Path | str, options: ReadOptions | None = None) -> Documents:
    """The documents of a text file, a folder of text files, a table's text column, or JSON lines.

    Labels are read when they are asked for: by `options.label_column`, or a format that has labels. Format "text"
    makes every line a document. Line ends become "\\n". Raises DataError when nothing can be read.
    """
    options = options or ReadOptions()
    if options.label_column is not None or options.format in ("folder", "lines", "fasttext"):
        found = read_labelled(path, options)
        return replace(Documents.of(found.texts, found.labels), notes=found.notes, fingerprint=found.fingerprint)
    if is_folder(path):
        return _read_files(sorted(_text_files(Path(path))), Path(path), options)
    with open_source(path) as source:
        table = options.format or SUFFIXES.get(source.suffix) or ("csv" if options.asks_for_table else None)
        fingerprint = source.fingerprint()
    if table is None:
        return _read_files([Path(path)], None, options)
    texts = read_texts(path, options)
    documents = Documents.of(filter(None, texts.texts))
    return replace(documents, notes=texts.notes, fingerprint=fingerprint, labelling=texts.labelling)


def blocks(source: Source, found: Survey) -> Iterator[str]:
    """The decoded text in blocks that end with a line where one does; "\\r\\n" and "\\r" become "\\n"."""
    with reading(source.name):
        wrapper = io.TextIOWrapper(source.open(), found.encoding)
    with reading(source.name), wrapper:
        held = ""
        try:
            while block := wrapper.read(PIECE):
                held += block
                cut = held.rfind("\n") + 1 or len(held) * (len(held) >= 4 * PIECE)
                if cut:
                    yield held[:cut]
                    held = held[cut:]
        except UnicodeDecodeError as error:
            raise DataError(f"{source.name} is not {found.encoding} all through") from error
        if held:
            yield held


def _read_files(paths: list[Path], folder: Path | None, options: ReadOptions) -> Documents:
    """Each file one document, read anew in every pass."""
    options.refuse_useless("text")
    if folder is not None and not paths:
        raise DataError(f"{display_name(folder)} holds no text files (.txt, .text, .md, also .gz)")
    digest, encodings, characters = hashlib.sha256(), Counter[str](), 0
    surveyed: list[tuple[Source, Survey]] = []
    for path in paths:
        with open_source(path) as source:
            found = survey(source, options.encoding)
            characters += sum(map(len, blocks(source, found)))
            digest.update(source.fingerprint().encode())
        encodings[found.note] += 1
        surveyed.append((source, found))

    def pieces() -> Iterator[Piece]:
        for source, found in surveyed:
            with source:
                for number, block in enumerate(blocks(source, found)):
                    yield Piece(block, number == 0)

    format_note = f"format: running text{'' if folder is None else _named(paths, folder)}"
    notes = (format_note, *(note for note, _ in encodings.most_common(3)))
    return Documents(pieces, True, characters, (), notes, digest.hexdigest())


def _named(paths: list[Path], folder: Path) -> str:
    names = [shorten(path.relative_to(folder), 60) for path in paths[:NAMED]]
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return f", {plural(len(paths), 'file')}: {', '.join(names)}{more}"


def _text_files(folder: Path) -> Iterator[Path]:
    with reading(display_name(folder)):
        for path in folder.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if not hidden and path.is_file() and path.name.removesuffix(".gz").endswith((".txt", ".text", ".md")):
                yield path
