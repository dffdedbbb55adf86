"""The cache of corpora: one folder each, holding the content and SOURCE.json, which is written last.

SOURCE.json says where the file is from and what its checksum is. A file that does not agree with it, a record that does
not agree with the table, or a missing one of the two means that the corpus is made anew.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unspool.corpora.entry import Content, Corpus, CorpusError
from unspool.errors import ModelFileError
from unspool.files import make_folder, publish, read_json, to_json

RECORD = "SOURCE.json"
RECORD_FORMAT = 1


def cache_folder() -> Path:
    """$UNSPOOL_CACHE, else $XDG_CACHE_HOME/unspool, else ~/.cache/unspool."""
    if own := os.environ.get("UNSPOOL_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():  # the XDG specification: a relative path is to be ignored
        return Path(base) / "unspool"
    try:
        return Path.home() / ".cache" / "unspool"
    except RuntimeError as error:
        raise CorpusError("there is no home folder to keep corpora in: set UNSPOOL_CACHE to a folder") from error


@dataclass(frozen=True)
class Cached:
    """A whole and current copy of a corpus on this disk."""

    path: Path
    record: dict[str, Any]  # SOURCE.json


def cached(corpus: Corpus) -> Cached | None:
    """The copy of the corpus on this disk, or None when there is none, or not a whole and current one."""
    try:
        record = read_json(_folder(corpus) / RECORD)
    except ModelFileError:
        return None
    if not isinstance(record, dict) or not _identity(corpus).items() <= record.items():
        return None
    name = record.get("file")
    if not isinstance(name, str) or name != Path(name).name or not name.startswith(corpus.name):
        return None
    path = _folder(corpus) / name
    return Cached(path, record) if _sha256(path) == record.get("sha256") else None


def store(corpus: Corpus, content: Content) -> Path:
    """Publish the content and its record; the record last, so that a half-written copy counts as none."""
    folder = _folder(corpus)
    make_folder(folder)
    path = folder / (corpus.name + content.suffix)
    publish(path, content.data)
    record = _identity(corpus) | {
        "about": corpus.about,
        "classes": content.classes,
        "examples": content.examples,
        "file": path.name,
        "licence": corpus.licence,
        "sha256": hashlib.sha256(content.data).hexdigest(),
        "size": len(content.data),
    }
    publish(folder / RECORD, to_json(record))
    return path


def _folder(corpus: Corpus) -> Path:
    return cache_folder() / "corpora" / corpus.name


def _identity(corpus: Corpus) -> dict[str, Any]:
    return {
        "format": RECORD_FORMAT,
        "name": corpus.name,
        "origin": corpus.origin,
        "recipe": corpus.recipe,
        "source_sha256": corpus.source.sha256,
        "version": corpus.source.version,
    }


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
