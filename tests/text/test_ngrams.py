"""n-gram keys, novelty and the n-gram model against plain Python over tuples."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.text import ngrams

IDS = st.lists(st.integers(0, 2), min_size=1, max_size=30)


@given(IDS, st.integers(1, 9))
def test_equal_ngrams_alone_have_equal_keys(ids: list[int], n: int) -> None:
    keys = ngrams.ngram_keys(np.array(ids), n)
    grams = [tuple(ids[k : k + n]) for k in range(len(ids) - n + 1)]
    assert len(keys) == len(grams)
    assert len(set(zip(grams, keys.tolist(), strict=True))) == len(set(grams)) == len(set(keys.tolist()))


@given(IDS, IDS, st.integers(1, 5))
def test_novelty_is_what_a_search_finds(sample: list[int], corpus: list[int], n: int) -> None:
    pieces = lambda: iter([np.array(corpus)])  # noqa: E731
    inside = {tuple(corpus[k : k + n]) for k in range(len(corpus) - n + 1)}
    own = [tuple(sample[k : k + n]) for k in range(len(sample) - n + 1)]
    assert ngrams.seen_share(np.array(sample), pieces, n) == pytest.approx(
        sum(gram in inside for gram in own) / len(own) if own else 0.0
    )
    text = "".join(map(str, corpus))
    runs = [
        j - i for i in range(len(sample)) for j in range(i + 1, len(sample) + 1)
        if "".join(map(str, sample[i:j])) in text
    ]  # fmt: skip
    length, place = ngrams.longest_run(np.array(sample), pieces)
    assert length == max(runs, default=0)
    assert "".join(map(str, sample[place : place + length])) in text


def by_hand(train: list[int], text: list[int], order: int, size: int) -> float:
    def probability(context: tuple[int, ...], token: int) -> float:
        n = len(context) + 1
        lower = probability(context[1:], token) if context else 1 / size
        grams = Counter(tuple(train[k : k + n]) for k in range(len(train) - n + 1))
        total = sum(count for gram, count in grams.items() if gram[:-1] == context)
        kinds = sum(gram[:-1] == context for gram in grams)
        if not total:
            return lower
        return max(grams[(*context, token)] - 0.75, 0) / total + 0.75 * kinds / total * lower

    nats = [
        -math.log(probability(tuple(text[max(0, k - order + 1) : k]), text[k])) for k in range(1, len(text))
    ]  # fmt: skip
    return sum(nats) / len(nats)


@given(st.lists(st.integers(0, 3), min_size=6, max_size=25), st.lists(st.integers(0, 3), min_size=2, max_size=12))
def test_the_ngram_model_is_interpolated_absolute_discounting(train: list[int], text: list[int]) -> None:
    for order in (1, 2, 3):
        found = ngrams.ngram_nats(np.array(train), np.array(text), order, 4)
        assert found == pytest.approx(by_hand(train, text, order, 4), rel=1e-9)
