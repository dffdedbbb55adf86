"""What a corpus is: an entry of the table, and the content that its reader makes of the source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from unspool.errors import DataError

Task = Literal["classify", "generate", "translate"]


class CorpusError(DataError):
    """A corpus cannot be had: unknown name, no network, wrong checksum, or a source that is not as expected."""


@dataclass(frozen=True)
class Content:
    """The one file of a corpus, ready for the readers of `unspool.text`, and its measure."""

    suffix: str  # ".jsonl" with the keys text and label, ".tsv" of pairs, ".txt", or that of a file taken as it is
    data: bytes
    examples: int | None = None  # rows of a labelled corpus, pairs; None for a text
    classes: dict[str, int] = field(default_factory=dict)  # label -> rows, most frequent first

    @property
    def size(self) -> str:
        """The size in words for people: "12,752 texts, 2 classes", "117,000 pairs" or "4,936,713 bytes"."""
        if self.examples is None:
            return f"{len(self.data):,} bytes"
        if not self.classes:
            return f"{self.examples:,} pairs"
        return f"{self.examples:,} texts, {len(self.classes)} classes"


class Source(Protocol):
    """Where the bytes of a corpus come from."""

    @property
    def origin(self) -> str:
        """One line for people: the wheel, the address, or Python itself."""
        ...

    @property
    def version(self) -> str:
        """Changes when the bytes do; a cached corpus of another version is made anew."""
        ...

    @property
    def sha256(self) -> str:
        """The checksum that the fetched bytes must have; empty when nothing is fetched."""
        ...

    def read(self, notice: Callable[[str], None]) -> Content:
        """Fetch what must be fetched, check it, and make the content. Raises CorpusError."""
        ...


@dataclass(frozen=True)
class Corpus:
    """One entry of the table."""

    name: str
    task: Task | None  # None: found out from the file, as for a file of the user's own
    about: str  # what it holds and how it was cleaned, one sentence
    size: str  # measured when the entry was written; a corpus of the interpreter says "about"
    licence: str
    source: Source
    recipe: int = 1  # raised when the reader changes, so that an older cached file is made anew

    @property
    def origin(self) -> str:
        return self.source.origin

    @property
    def offline(self) -> bool:
        """True when the corpus needs no network."""
        return not self.source.sha256


def labelled_content(rows: Iterable[tuple[str, str]]) -> Content:
    """JSON lines with the keys text and label, in the order of `rows`."""
    lines = [(json.dumps({"text": text, "label": label}, ensure_ascii=False), label) for text, label in rows]
    classes = Counter(label for _, label in lines)
    data = "".join(line + "\n" for line, _ in lines).encode("utf-8")
    return Content(".jsonl", data, len(lines), dict(classes.most_common()))


def paired_content(pairs: Iterable[tuple[str, str]]) -> Content:
    """A table with the columns source and target, in the order of `pairs`; no side holds a tab or a line end."""
    lines = [f"{source}\t{target}\n" for source, target in pairs]
    return Content(".tsv", "".join(["source\ttarget\n", *lines]).encode("utf-8"), len(lines))


def text_content(text: str) -> Content:
    """A plain text in UTF-8."""
    return Content(".txt", text.encode("utf-8"))
