"""Spans and their tags: both ways, against conlleval's rules written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.text.spans import (
    SCHEMES,
    Scheme,
    Span,
    convert,
    detect_scheme,
    find_spans,
    first_break,
    follow_tables,
    may_follow,
    write_tags,
)

TAGS = ["O", *[f"{prefix}-{kind}" for prefix in "BIES" for kind in ("x", "y-z")]]


@st.composite
def spans(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Spans that do not overlap, and the number of tokens."""
    found, position = [], 0
    for gap, length, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["x", "y-z"])), max_size=5)
    ):
        found.append(Span(position + gap, position + gap + length, kind))
        position += gap + length
    return found, position + draw(st.integers(0, 2))


@given(spans(), st.sampled_from(SCHEMES))
def test_spans_come_back_from_their_tags_without_a_break(drawn: tuple[list[Span], int], scheme: Scheme) -> None:
    tags = write_tags(*drawn, scheme)
    assert len(tags) == drawn[1]
    assert find_spans(tags) == drawn[0]
    assert first_break(tags, scheme) is None
    assert convert(convert(tags, "bioes"), scheme) == tags


@given(st.lists(st.sampled_from(TAGS), max_size=8), st.sampled_from(SCHEMES))
def test_whatever_is_written_is_mended_and_keeps_its_spans(tags: list[str], scheme: Scheme) -> None:
    mended = convert(tags, scheme)
    assert len(mended) == len(tags)
    assert first_break(mended, scheme) is None
    assert find_spans(mended) == find_spans(tags)
    assert (first_break(tags, "bioes") is None) <= (find_spans(convert(tags, "bioes")) == find_spans(tags))


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("O B-x I-x O", [(1, 3, "x")]),
        ("B-x B-x", [(0, 1, "x"), (1, 2, "x")]),
        ("I-x I-x O I-y", [(0, 2, "x"), (3, 4, "y")]),  # nothing went before: conlleval begins a span
        ("B-x I-y", [(0, 1, "x"), (1, 2, "y")]),
        ("S-x E-x", [(0, 1, "x"), (1, 2, "x")]),
        ("B-x E-x E-x", [(0, 2, "x"), (2, 3, "x")]),
        ("B-x I-x", [(0, 2, "x")]),
        ("NOUN VERB", []),
        ("", []),
    ],
)
def test_spans_as_conlleval_reads_them(tags: str, wanted: list[tuple[int, int, str]]) -> None:
    assert find_spans(tags.split()) == wanted


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O", "B-x", "I-x"], "bio"),
        (["O", "I-x"], "bio"),
        (["O", "B-x", "I-x", "S-y"], "bioes"),
        (["O", "B-from.city", "E-from.city"], "bioes"),
        (["NOUN", "VERB"], None),
        (["O"], None),
        (["O", "B-x", "NOUN"], None),
        (["B-", "O"], None),
        (["S-noun", "X-y"], None),
    ],
)
def test_the_scheme_is_seen_in_the_tags(tags: list[str], scheme: str | None) -> None:
    assert detect_scheme(tags) == scheme


@pytest.mark.parametrize(
    ("tags", "scheme", "place"),
    [
        ("O I-x", "bio", 1),
        ("B-x I-y", "bio", 1),
        ("B-x I-x", "bioes", 2),
        ("B-x O", "bioes", 1),
        ("E-x", "bioes", 0),
        ("S-x I-x", "bioes", 1),
        ("B-x E-x S-y O", "bioes", None),
    ],
)
def test_the_first_break_is_named(tags: str, scheme: Scheme, place: int | None) -> None:
    assert first_break(tags.split(), scheme) == place


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_tables_are_the_rule(scheme: Scheme) -> None:
    follows, begins, ends = follow_tables(TAGS, scheme)
    np.testing.assert_array_equal(follows, [[may_follow(a, b, scheme) for b in TAGS] for a in TAGS])
    np.testing.assert_array_equal(begins, [may_follow(None, tag, scheme) for tag in TAGS])
    np.testing.assert_array_equal(ends, [may_follow(tag, None, scheme) for tag in TAGS])
