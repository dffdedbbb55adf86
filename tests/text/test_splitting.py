from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.errors import SettingError
from unspool.text.duplicates import Duplicates, duplicates, overlap, overlap_with_hashes, text_hash, text_hashes
from unspool.text.splitting import folds, split

DATA = st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.sampled_from("xyz")), min_size=1, max_size=50)
EVEN = [f"text {i}" for i in range(1000)]
EVEN_LABELS = ["rare" if i % 10 == 0 else "common" for i in range(1000)]


@given(data=DATA, share=st.floats(0.01, 0.9), seed=st.integers(0, 1000))
def test_parts_cover_all_rows_and_share_no_text(data: list[tuple[str, str]], share: float, seed: int) -> None:
    texts, labels = [text for text, _ in data], [label for _, label in data]
    train, validation = split(texts, labels, share, seed)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(len(data)))
    assert not {texts[row] for row in train} & {texts[row] for row in validation}
    again = split(texts, labels, share, seed)
    assert np.array_equal(train, again[0]) and np.array_equal(validation, again[1])


@given(data=DATA, seed=st.integers(0, 1000))
def test_a_label_with_one_text_stays_in_training(data: list[tuple[str, str]], seed: int) -> None:
    texts = [*(text for text, _ in data), "only", "only"]
    labels = [*(label for _, label in data), "alone", "alone"]
    train, _ = split(texts, labels, 0.5, seed)
    assert {len(texts) - 1, len(texts) - 2} <= set(train.tolist())


@given(data=DATA, share=st.floats(0.01, 0.9), seed=st.integers(0, 1000))
def test_every_label_stands_in_training(data: list[tuple[str, str]], share: float, seed: int) -> None:
    texts, labels = [text for text, _ in data], [label for _, label in data]
    train, _ = split(texts, labels, share, seed)
    assert {labels[row] for row in train} == set(labels)


def test_labels_keep_their_proportions() -> None:
    _, validation = split(EVEN, EVEN_LABELS, 0.1, 0)
    assert Counter(EVEN_LABELS[row] for row in validation) == {"common": 90, "rare": 10}


def test_the_share_holds_over_many_small_labels() -> None:
    labels = [str(i // 3) for i in range(1000)]
    _, validation = split(EVEN, labels, 0.1, 0)
    assert len(validation) == pytest.approx(100, abs=2)


def test_seeds_differ_and_row_order_does_not_matter() -> None:
    chosen = [frozenset(split(EVEN, EVEN_LABELS, 0.1, seed)[1].tolist()) for seed in range(5)]
    assert len(set(chosen)) == 5
    turned = split(EVEN[::-1], EVEN_LABELS[::-1], 0.1, 0)[1]
    assert frozenset((999 - turned).tolist()) == chosen[0]


def test_a_handful_of_texts_still_gives_a_validation_part() -> None:
    _, validation = split(["a", "b", "c", "d"], ["x", "x", "y", "y"], 0.01, 0)
    assert len(validation) == 2
    assert len(split(["a", "b"], ["x", "y"], 0.5, 0)[1]) == 0


@given(data=DATA, k=st.integers(2, 5), seed=st.integers(0, 1000))
def test_folds_test_every_row_once_and_share_no_text(data: list[tuple[str, str]], k: int, seed: int) -> None:
    texts, labels = [text for text, _ in data], [label for _, label in data]
    if len(set(texts)) < k:
        with pytest.raises(SettingError, match="as many distinct texts as folds"):
            folds(texts, labels, k, seed)
        return
    found = folds(texts, labels, k, seed)
    assert sorted(row for _, test in found for row in test.tolist()) == list(range(len(data)))
    for train, test in found:
        assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(data)))
        assert not {texts[row] for row in train} & {texts[row] for row in test}


def test_folds_are_even() -> None:
    for _, test in folds(EVEN, EVEN_LABELS, 10, 0):
        assert Counter(EVEN_LABELS[row] for row in test) == {"common": 90, "rare": 10}


def test_wrong_arguments() -> None:
    with pytest.raises(SettingError, match=r"between 0 and 1, got 1\.0"):
        split(EVEN, EVEN_LABELS, 1.0, 0)
    with pytest.raises(SettingError, match="at least 2 folds"):
        folds(EVEN, EVEN_LABELS, 1, 0)
    with pytest.raises(ValueError, match="1000 texts but 1 labels"):
        split(EVEN, ["a"], 0.5, 0)


def test_duplicates_are_counted() -> None:
    assert duplicates(["a", "b", "a", "a", "c"], ["x", "x", "y", "x", "z"]) == Duplicates(copies=2, conflicting=3)
    assert duplicates([], []) == Duplicates(0, 0)


def test_overlap_is_counted_in_the_other_texts() -> None:
    assert overlap(["a", "b", "b"], ["b", "b", "c", ""]) == 2
    assert overlap([], ["a"]) == 0
    assert overlap_with_hashes(text_hashes(["a"]), ["a", "A"]) == 1


def test_hashes_are_the_same_for_ever() -> None:
    assert text_hash("") == 0xB4B2797457A0A6E4
    assert text_hashes(["a", "\ud800", "é"]).dtype == np.uint64
    assert len(set(text_hashes(["a", "\ud800", "é"]).tolist())) == 3
