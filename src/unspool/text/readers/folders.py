"""A folder of texts: a sub-folder per class with one text a file, or one file per class with one text a line."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unspool.errors import DataError, shorten
from unspool.text.readers.encoding import Survey, lines, survey
from unspool.text.readers.labelled_lines import without_end
from unspool.text.readers.options import ReadOptions
from unspool.text.readers.source import Source, display_name, open_source, reading


class Folder:
    """Reads one folder; `notes` and `fingerprint` are complete once `examples` has been run through."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._name = display_name(path)
        self._options = options
        self._encodings: Counter[str] = Counter()
        self._digest = hashlib.sha256()
        with reading(self._name):
            entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        self._folders = [entry for entry in entries if entry.is_dir()]
        self._files = [entry for entry in entries if entry.is_file() and _class_of(entry) is not None]
        others = len(entries) - len(self._folders) - len(self._files)
        self._left_out = others + (len(self._files) if self._folders else 0)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted names and the SHA-256 of each file read."""
        return self._digest.hexdigest()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, a line each."""
        kind = "one sub-folder a class, one text a file" if self._folders else "one file a class, one text a line"
        left = (f"left out: {self._left_out} other files in the folder",) if self._left_out else ()
        usual = [note for note, _ in self._encodings.most_common(3)]
        return (f"format: folder, {kind}", *usual, *left)

    def examples(self) -> Iterator[tuple[str, str]]:
        """(label, text) of every example, classes and files in the order of their names."""
        if self._folders:
            for folder in self._folders:
                yield from self._texts_of(folder)
        elif self._files:
            for file in self._files:
                yield from self._lines_of(file)
        else:
            raise DataError(
                f"{self._name} holds no sub-folders and no .txt files: a classifier learns from one of them per class, "
                "--task generate from .txt, .text and .md files"
            )

    def _texts_of(self, folder: Path) -> Iterator[tuple[str, str]]:
        with reading(display_name(folder)):
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        files = [entry for entry in entries if entry.is_file()]
        if not files and entries:
            raise DataError(
                f"{display_name(folder)} holds folders where texts are expected; give the folder whose sub-folders "
                f"are the classes, perhaps {display_name(folder)} itself"
            )
        for file in files:
            source, found = self._survey(file)
            yield folder.name, "".join(lines(source, found))

    def _lines_of(self, file: Path) -> Iterator[tuple[str, str]]:
        source, found = self._survey(file)
        label = _class_of(file) or ""
        for line in lines(source, found):
            text = without_end(line)
            if text.strip():
                yield label, text

    def _survey(self, file: Path) -> tuple[Source, Survey]:
        source = open_source(file)
        found = survey(source, self._options.encoding)
        title = found.note if "because of" not in found.note else f"{found.note} of {shorten(file.name, 60)}"
        self._encodings[title] += 1
        name = str(file.relative_to(self._path)).encode("utf-8", "surrogateescape")
        self._digest.update(len(name).to_bytes(8, "little") + name + bytes.fromhex(source.fingerprint()))
        return source, found


def _class_of(file: Path) -> str | None:
    """The class a file stands for by its name: Class.txt or Class.txt.gz, else None."""
    for suffix in (".txt", ".txt.gz"):
        if file.name.endswith(suffix) and file.name != suffix:
            return file.name.removesuffix(suffix)
    return None
