"""JSON lines of tagged tokens: one object a line, with a list of tokens and a list of tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from unspool.errors import DataError, nearest, shorten
from unspool.text.readers import jsonl
from unspool.text.readers.conll import Sentences
from unspool.text.readers.options import ReadOptions

TOKEN_FIELDS = ("tokens", "words", "token", "text", "sentence")
TAG_FIELDS = ("tags", "ner_tags", "pos_tags", "chunk_tags", "labels", "slots", "upos", "tag", "label")


def looks_like_lists(sample: Sequence[str]) -> bool:
    """Whether the first line that is not blank is an object with two lists or more of equal length."""
    first = next((line for line in sample if line.strip()), "")
    if not first.lstrip().startswith("{"):
        return False
    try:
        _, found = next(jsonl.objects("sample", [first]))
    except DataError:
        return False
    sizes = [len(value) for value in found.values() if isinstance(value, list)]
    return len(sizes) >= 2 and len(set(sizes)) < len(sizes)


def read_lists(origin: str, content: Callable[[], Iterable[str]], options: ReadOptions) -> tuple[Sentences, str]:
    """(line, tokens and tags) of each object, and a note; `content` gives the lines anew each time."""
    sample = [one for _, one in islice(jsonl.objects(origin, content()), jsonl.SAMPLE)]
    if not sample:
        raise DataError(f"{origin} holds no rows")
    lists = list(dict.fromkeys(name for one in sample for name, value in one.items() if isinstance(value, list)))
    token = _list_field(origin, "--text-column", options.text_column, TOKEN_FIELDS, lists)
    others = [name for name in lists if name != token]
    tag = _list_field(origin, "--label-column", options.label_column, TAG_FIELDS, others)

    def sentences() -> Sentences:
        for line, one in jsonl.objects(origin, content()):
            words = _strings(origin, line, one, token, numbers=False)
            marks = _strings(origin, line, one, tag, numbers=True)
            if len(words) != len(marks):
                raise DataError(f"{origin}, line {line}: {len(words)} tokens but {len(marks)} tags")
            yield line, (words, marks)

    return sentences(), f"format: JSON lines; tokens {shorten(token)!r}, tags {shorten(tag)!r} (--label-column)"


def _list_field(origin: str, flag: str, asked: str | int | None, usual: tuple[str, ...], lists: list[str]) -> str:
    if isinstance(asked, int):
        raise DataError(f"{flag} {asked}: the fields of {origin} have names, give one")
    if asked is not None:
        if asked not in lists:
            raise DataError(f"{origin} has no list {shorten(asked)!r}{nearest(asked, lists)}")
        return asked
    if found := [name for name in usual if name in lists]:
        return found[0]
    if len(lists) == 1:
        return lists[0]
    shown = ", ".join(shorten(name, 30) for name in lists[:8]) or "none"
    raise DataError(f"{origin}: expected a list of tokens and a list of tags, its lists are: {shown}; say with {flag}")


def _strings(origin: str, line: int, one: dict[str, Any], field: str, *, numbers: bool) -> list[str]:
    values = one.get(field)
    if not isinstance(values, list):
        raise DataError(f"{origin}, line {line}: the field {shorten(field)!r} is missing or no list")
    for value in values:
        if not isinstance(value, str) or (isinstance(value, jsonl.Written) and not numbers) or not value:
            what = "strings or numbers" if numbers else "strings"
            raise DataError(f"{origin}, line {line}: {shorten(field)!r} must hold {what}, none of them empty")
    return [str(value) for value in values]
