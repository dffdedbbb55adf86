"""Spans of tokens (names, slots, chunks) and the tags that write them down.

BIO (IOB2): B-X begins a span of type X, I-X goes on, O is outside. BIOES: a span of one token is S-X, the last token of
a longer one E-X. A sequence that breaks the rules is read as `conlleval` of the CoNLL shared tasks reads it: an I-X or
E-X that nothing went before begins a span.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Scheme = Literal["bio", "bioes"]
SCHEMES: tuple[str, ...] = get_args(Scheme)
OUTSIDE = "O"

_PREFIXES = {"bio": frozenset("BI"), "bioes": frozenset("BIES")}


class Span(NamedTuple):
    """Tokens start … end - 1 are of type `kind`."""

    start: int
    end: int
    kind: str


def detect_scheme(tags: Iterable[str]) -> Scheme | None:
    """The scheme that some distinct tags are written in, or None when they are tags of single tokens.

    Every tag must be O or a prefix, a hyphen and a type, and one of them must begin a span; E- or S- means BIOES.
    """
    prefixes = set()
    for tag in tags:
        if tag != OUTSIDE:
            prefix, kind = _parts(tag)
            if prefix not in _PREFIXES["bioes"] or not kind:
                return None
            prefixes.add(prefix)
    if not prefixes & {"B", "S", "I"}:
        return None
    return "bio" if prefixes <= _PREFIXES["bio"] else "bioes"


def find_spans(tags: Sequence[str]) -> list[Span]:
    """The spans of one sequence, in order. A tag without a known prefix is outside."""
    found: list[Span] = []
    start, kind, closed = 0, "", True
    for position, tag in enumerate(tags):
        prefix, own = _parts(tag)
        begins = prefix in ("B", "S") or (prefix in ("I", "E") and (closed or own != kind))
        if not closed and (begins or prefix not in ("I", "E")):
            found.append(Span(start, position, kind))
            closed = True
        if begins:
            start, kind, closed = position, own, False
        if prefix in ("S", "E"):
            found.append(Span(start, position + 1, kind))
            closed = True
    if not closed:
        found.append(Span(start, len(tags), kind))
    return found


def write_tags(spans: Iterable[Span], length: int, scheme: Scheme) -> list[str]:
    """The tags of spans that do not overlap, for a sequence of `length` tokens."""
    tags = [OUTSIDE] * length
    for start, end, kind in spans:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
        if scheme == "bioes":
            tags[end - 1] = f"E-{kind}" if end - start > 1 else f"S-{kind}"
    return tags


def convert(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The same spans in `scheme`, every break of its rules mended."""
    return write_tags(find_spans(tags), len(tags), scheme)


def in_scheme(sentences: Sequence[Sequence[str]], scheme: Scheme) -> tuple[Scheme | None, Sequence[Sequence[str]]]:
    """The scheme that the tags of sentences are found to be written in, and they in `scheme`: the same when that is
    theirs, or they are no tags of spans."""
    own = detect_scheme({tag for tags in sentences for tag in tags})
    return own, sentences if own in (None, scheme) else [convert(tags, scheme) for tags in sentences]


def may_follow(previous: str | None, following: str | None, scheme: Scheme) -> bool:
    """Whether `following` may stand behind `previous`; None is the edge of the sequence."""
    before, opened = _parts(previous or OUTSIDE)
    after, wanted = _parts(following or OUTSIDE)
    goes_on = before in ("B", "I") and after in ("I", "E") and opened == wanted
    if scheme == "bio":
        return goes_on or after not in ("I", "E")
    return goes_on or (before not in ("B", "I") and after not in ("I", "E"))


def follow_tables(tags: Sequence[str], scheme: Scheme) -> tuple[Flags, Flags, Flags]:
    """`may_follow` for all pairs of `tags`: (C, C) from row to column, (C,) at the beginning, (C,) at the end."""
    parts = [_parts(tag) for tag in tags]
    numbers = {kind: number for number, kind in enumerate(sorted({kind for _, kind in parts}))}
    kinds = np.array([numbers[kind] for _, kind in parts], np.int64)
    opens = np.array([prefix in ("B", "I") for prefix, _ in parts], np.bool_)
    inner = np.array([prefix in ("I", "E") for prefix, _ in parts], np.bool_)
    same = kinds[:, None] == kinds
    goes_on = opens[:, None] & inner & same
    if scheme == "bio":
        return goes_on | ~inner, ~inner, np.ones(len(parts), np.bool_)
    return goes_on | (~opens[:, None] & ~inner), ~inner, ~opens


def first_break(tags: Sequence[str], scheme: Scheme) -> int | None:
    """The position of the first tag that may not follow the one before it (their number, for a span left open)."""
    for position, (previous, following) in enumerate(pairwise([None, *tags, None])):
        if not may_follow(previous, following, scheme):
            return position
    return None


@lru_cache(maxsize=4096)
def _parts(tag: str) -> tuple[str, str]:
    """(prefix, type); ("", "") for O and for what is no tag of a span."""
    prefix, hyphen, kind = tag.partition("-")
    return (prefix, kind) if hyphen and prefix in _PREFIXES["bioes"] else ("", "")
