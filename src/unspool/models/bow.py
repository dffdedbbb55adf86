"""The linear baseline: n-grams, TF-IDF, one-against-rest logistic regression; all of it
scikit-learn's.

n-grams are 1–2 words, or 1–3 characters where the texts are read by character.

Every training prints its figure beside the network's, and `--model bow` makes it a model of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from unspool.config import Settings

WORD = r"\w\w+"
INVERSE_REGULARISATION = 30.0
ABSENT = -20.0  # log-odds of a label that no text has


class Bow:
    """A fitted baseline.

    Attributes:
        ngrams: the n-grams in column order.
        idf: (n,) weights; coefficients: (1 or C, n); intercept: (1 or C,), all float32 (one row for two labels).
    """

    def __init__(
        self,
        ngrams: Sequence[str],
        idf: npt.NDArray[np.float32],
        coefficients: npt.NDArray[np.float32],
        intercept: npt.NDArray[np.float32],
        *,
        level: str,
        lowercase: bool,
    ) -> None:
        self.ngrams, self.idf, self.coefficients, self.intercept = ngrams, idf, coefficients, intercept
        self._vectorizer = _vectorizer(level, lowercase, vocabulary={ngram: i for i, ngram in enumerate(ngrams)})
        self._vectorizer.idf_ = idf.astype(np.float64)

    def log_probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """(N, C) natural logarithms of the label probabilities."""
        scores = np.asarray(self._vectorizer.transform(texts) @ self.coefficients.T.astype(np.float64)) + self.intercept
        if scores.shape[1] == 1:  # two labels: the log-odds of the second
            scores = np.concatenate([-scores, scores], axis=1)
        log_shares = -np.logaddexp(0.0, -scores)  # log σ of each one-against-rest score
        return np.asarray(log_shares - np.logaddexp.reduce(log_shares, axis=1, keepdims=True), dtype=np.float64)

    def contributions(self, text: str, label: int) -> tuple[list[str], npt.NDArray[np.float64]]:
        """The text's tokens, and what each adds to the score of `label` (its log-odds against the rest), (tokens,).

        What an n-gram adds is shared equally by its tokens; with the intercept it sums to the score exactly.
        """
        tokens = self._tokens(text)
        row = self._vectorizer.transform([text])
        columns, vocabulary = (
            dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)),
            self._vectorizer.vocabulary_,
        )
        weights = (
            self.coefficients[label] if len(self.coefficients) > 1 else self.coefficients[0] * (1 if label else -1)
        )
        joint = " " if self._vectorizer.analyzer == "word" else ""
        spans: dict[int, list[range]] = {}
        for size in range(1, self._vectorizer.ngram_range[1] + 1):
            for start in range(len(tokens) - size + 1):
                column = vocabulary.get(joint.join(tokens[start : start + size]))
                if column is not None:
                    spans.setdefault(column, []).append(range(start, start + size))
        added = np.zeros(len(tokens))
        for column, places in spans.items():
            for span in places:
                added[span] += columns.get(column, 0.0) * float(weights[column]) / len(places) / len(span)
        return tokens, added

    def score(self, text: str, label: int) -> float:
        """The log-odds of `label` against the rest, before the labels' shares are made to sum to 1."""
        scores = (
            np.asarray(self._vectorizer.transform([text]) @ self.coefficients.T.astype(np.float64))[0] + self.intercept
        )
        return float(scores[label] if len(scores) > 1 else scores[0] * (1 if label else -1))

    def _tokens(self, text: str) -> list[str]:
        """What the n-grams are made of: words, or characters with single spaces."""
        prepared = self._vectorizer.build_preprocessor()(text)
        if self._vectorizer.analyzer == "word":
            found: list[str] = self._vectorizer.build_tokenizer()(prepared)
            return found
        return list(re.sub(r"\s\s+", " ", prepared))

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """What goes into the safetensors file."""
        return {"idf": self.idf, "coefficients": self.coefficients, "intercept": self.intercept}


def fit(
    texts: Sequence[str],
    truth: npt.NDArray[np.int64],
    classes: int,
    *,
    level: str = "word",
    min_count: int = 2,
    lowercase: bool = True,
) -> Bow:
    """Fit on texts and label indices below `classes`, at least two of which occur; the others get next to no
    probability.

    n-grams in fewer than `min_count` texts are left out; when none is left, all are kept out and the classes'
    shares decide.
    """
    vectorizer = _vectorizer(level, lowercase, min_df=min_count)
    try:
        features: Any = vectorizer.fit_transform(texts)
    except ValueError:  # no n-gram is frequent enough
        vectorizer = _vectorizer(level, lowercase, vocabulary={"": 0})
        features = vectorizer.fit_transform(texts)
    binary = LogisticRegression(C=INVERSE_REGULARISATION, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    wanted = [1] if classes == 2 else range(classes)
    coefficients = np.zeros((len(wanted), features.shape[1]), np.float32)
    intercept = np.full(len(wanted), ABSENT, np.float32)
    for row, label in enumerate(wanted):
        if (truth == label).any():
            classifier = clone(binary).fit(features, truth == label)
            coefficients[row], intercept[row] = classifier.coef_[0], classifier.intercept_[0]
    ngrams, idf = list(vectorizer.get_feature_names_out()), vectorizer.idf_.astype(np.float32)
    return Bow(ngrams, idf, coefficients, intercept, level=level, lowercase=lowercase)


def reading(settings: Settings) -> dict[str, Any]:
    """`level` and `lowercase` of the baseline of a model with these settings; as a model it has its own."""
    if settings.model == "bow":
        return {"level": settings.level or "word", "lowercase": bool(settings.lowercase)}
    return {"level": "char" if settings.level in ("char", "byte") else "word", "lowercase": True}


def _vectorizer(level: str, lowercase: bool, **options: Any) -> TfidfVectorizer:
    if level == "word":
        return TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD, lowercase=lowercase, **options
        )
    return TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True, analyzer="char", lowercase=lowercase, **options)
