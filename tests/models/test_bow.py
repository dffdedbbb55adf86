"""The linear baseline against a pipeline written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from unspool.models import bow

WORDS = ("Fine", "warm", "grim", "flat", "odd", "the", "film", "a1", "ÄRGER")
RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size=5)) for _ in range(60)]
NEW = ["fine warm film", "", "never seen", "grim, GRIM flat", "the odd film"]


def by_hand(texts: list[str], truth: Any, **options: Any) -> Any:
    classifier = LogisticRegression(C=30.0, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    whole = classifier if max(truth) == 1 else OneVsRestClassifier(classifier)
    return make_pipeline(TfidfVectorizer(sublinear_tf=True, **options), whole).fit(texts, truth)


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("min_count", [1, 8])
@pytest.mark.parametrize("level", ["word", "char"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_answers_are_the_pipelines(classes: int, level: str, min_count: int, lowercase: bool) -> None:
    truth = np.arange(60) % classes
    kinds = {"word": {"ngram_range": (1, 2)}, "char": {"ngram_range": (1, 3), "analyzer": "char"}}
    reference = by_hand(TEXTS, truth, min_df=min_count, lowercase=lowercase, **kinds[level])
    found = bow.fit(TEXTS, truth, classes, level=level, min_count=min_count, lowercase=lowercase)
    expected = reference.predict_proba([*TEXTS, *NEW])
    np.testing.assert_allclose(np.exp(found.log_probabilities([*TEXTS, *NEW])), expected, atol=1e-5)


@given(
    st.lists(st.text("ab ıİß\u0301.\n\t", max_size=30), min_size=1, max_size=8),
    st.sampled_from(["word", "char"]),
    st.booleans(),
    st.integers(1, 3),
)
def test_ngrams_and_counts_are_the_vectorizers(texts: list[str], level: str, lowercase: bool, least: int) -> None:
    words = {"ngram_range": (1, 2), "token_pattern": bow.WORD}
    kind: Any = words if level == "word" else {"ngram_range": (1, 3), "analyzer": "char"}
    reference = CountVectorizer(lowercase=lowercase, **kind)
    try:
        expected = reference.fit_transform(texts).toarray()
    except ValueError:  # no n-gram at all
        expected = np.zeros((len(texts), 0))
    columns = {ngram: expected[:, place] for ngram, place in getattr(reference, "vocabulary_", {}).items()}
    columns = {ngram: column for ngram, column in columns.items() if (column > 0).sum() >= least}
    ngrams, found = bow._counted(texts, level, lowercase, least)
    if not columns:
        assert ngrams == [""]
        assert not found.toarray().any()
        return
    assert sorted(ngrams) == sorted(columns)
    assert all(np.array_equal(found.toarray()[:, i], columns[ngram]) for i, ngram in enumerate(ngrams))


@pytest.mark.parametrize("truth", [[0, 0, 0, 1], [0, 0, 2, 1]])
@pytest.mark.parametrize("texts", [["a b", "c d", "e f", "g h"], ["", "", "", ""], ["aa", "bb", "cc", "dd"]])
def test_without_a_frequent_ngram_the_shares_decide(texts: list[str], truth: list[int]) -> None:
    found = bow.fit(texts, np.array(truth), max(truth) + 1, min_count=2)
    answers = found.log_probabilities(["aa", "something else"])
    assert answers.argmax(axis=1).tolist() == [0, 0]
    assert np.array_equal(answers[0], answers[1])


@pytest.mark.parametrize("classes", [3, 4])
def test_a_label_without_a_text_gets_next_to_nothing_and_the_others_answers_stay(classes: int) -> None:
    truth = np.arange(60) % 2
    both, found = bow.fit(TEXTS, truth, 2), bow.fit(TEXTS, truth * (classes - 1), classes)
    answers = np.exp(found.log_probabilities(NEW))
    assert (answers[:, 1:-1] < 1e-7).all()
    np.testing.assert_allclose(answers[:, [0, -1]], np.exp(both.log_probabilities(NEW)), atol=1e-3)


def test_log_probabilities_stay_finite_for_certain_answers() -> None:
    for rows in (1, 3):
        certain = bow.Bow(
            ["fine"],
            np.ones(1, np.float32),
            np.full((rows, 1), -1e6, np.float32),
            np.zeros(rows, np.float32),
            level="word",
            lowercase=True,
        )
        answers = certain.log_probabilities(["fine fine"])
        assert np.isfinite(answers).all()
        assert np.exp(answers).sum() == pytest.approx(1)


def test_the_fit_does_not_depend_on_numpys_generator() -> None:
    fitted = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 - the state that scikit-learn falls back to
        fitted.append(bow.fit(TEXTS, np.arange(60) % 3, 3))
    assert all(np.array_equal(fitted[0].tensors()[name], fitted[1].tensors()[name]) for name in fitted[0].tensors())


def test_tensors_and_ngrams_make_the_same_baseline_again() -> None:
    found = bow.fit(TEXTS, np.arange(60) % 3, 3, level="char")
    again = bow.Bow(found.ngrams, **found.tensors(), level="char", lowercase=True)
    assert np.array_equal(again.log_probabilities(NEW), found.log_probabilities(NEW))
