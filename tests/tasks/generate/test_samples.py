"""Samples end where they should, and keep their tokens' figures."""

from __future__ import annotations

import pytest

from unspool.predictors.generator import Token
from unspool.tasks.generate.samples import Sample


@pytest.mark.parametrize(
    ("pieces", "stop", "kept"),
    [
        (["the", " cat", " sat"], "at", ["the", " c"]),  # a token that begins before the stop has what is before it
        (["the", " cat", " sat"], "e c", ["th"]),
        (["a", "b", "a", "c"], "ac", ["a", "b"]),
        (["a", "b"], "a", []),
        (["a", "", "é"], "é", ["a"]),  # the first byte of what is cut goes with it
        (["a", "", "é", "b"], "b", ["a", "", "é"]),
        (["a", "b"], "c", ["a", "b"]),
        (["a", "aab", "b"], "aab", ["a"]),
    ],
)
def test_a_sample_ends_before_its_stop_text(pieces: list[str], stop: str, kept: list[str]) -> None:
    sample = Sample(stop)
    for number, text in enumerate(pieces):
        sample.add(Token(number, text, -float(number)))
    assert [token.text for token in sample.tokens] == kept and sample.text == "".join(kept)
    assert [token.log_probability for token in sample.tokens] == [-float(number) for number in range(len(kept))]
    assert sample.finish == (None if stop == "c" else "stop")


def test_a_sample_ends_where_its_document_does() -> None:
    sample = Sample(None)
    for token in (Token(5, "a", -1.0), None, Token(6, "b", -1.0)):
        sample.add(token)
    assert (sample.text, sample.finish) == ("a", "end")
