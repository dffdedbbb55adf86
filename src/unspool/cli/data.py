"""`unspool data list` and `unspool data get NAME`: the corpora known by name."""

from __future__ import annotations

import json as json_format
import sys
import textwrap
from typing import Any

from unspool import corpora


def list_corpora(*, json: bool = False) -> None:
    """List the corpora that can stand where a file could: task, size, licence, origin, and what is on this disk.

    Parameters
    ----------
    json
        Write one JSON array instead of text for people.
    """
    entries = [_entry(corpus) for corpus in corpora.known()]
    sys.stdout.write(_json(entries) if json else "\n".join(map(_paragraph, entries)))


def get(name: str, *, refresh: bool = False, json: bool = False) -> None:
    """Fetch a corpus into the cache and write the path of its file.

    Parameters
    ----------
    name
        A name of `unspool data list`, or https://…#sha256=HEX for a file from the web.
    refresh
        Make it anew although it is cached.
    json
        Write one JSON object: the path and what is known of the corpus.
    """
    path = corpora.fetch(name, refresh=refresh, notice=_note)
    sys.stdout.write(_json(_entry(corpora.resolve(name))) if json else f"{path}\n")


def _entry(corpus: corpora.Corpus) -> dict[str, Any]:
    """What is told about a corpus; the measured figures are there once it is cached."""
    copy = corpora.cached(corpus)
    record = {} if copy is None else copy.record
    return {
        "name": corpus.name,
        "task": corpus.task,
        "about": corpus.about,
        "size": corpus.size,
        "licence": corpus.licence,
        "origin": corpus.origin,
        "offline": corpus.offline,
        "path": None if copy is None else str(copy.path),
        "examples": record.get("examples"),
        "classes": record.get("classes"),
        "sha256": record.get("sha256"),
    }


def _paragraph(entry: dict[str, Any]) -> str:
    where = entry["path"] or ("needs no network" if entry["offline"] else "not fetched yet")
    details = [entry["about"], f"licence: {entry['licence']}", f"origin:  {entry['origin']}", f"file:    {where}"]
    lines = [textwrap.fill(line, 100, initial_indent="    ", subsequent_indent="      ") for line in details[:-1]]
    return "\n".join([f"{entry['name']} — {entry['task']}, {entry['size']}", *lines, f"    {details[-1]}"]) + "\n"


def _json(value: Any) -> str:
    return json_format.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _note(message: str) -> None:
    sys.stderr.write(message + "\n")
