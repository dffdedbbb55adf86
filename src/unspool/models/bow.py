"""The linear baseline: n-grams, TF-IDF, one-against-rest logistic regression; all of it scikit-learn's, but for the
counting of n-grams before the fit.

n-grams are 1–2 words, or 1–3 characters where the texts are read by character.

Every training prints its figure beside the network's, and `--model bow` makes it a model of its own.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, hstack
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
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

    def knows(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text holds any of the n-grams: then it also holds one of a single token."""
        split, known = _splitter(self._vectorizer), self._vectorizer.vocabulary_
        return [any(token in known for token in split(text)) for text in texts]

    def contributions(self, text: str, label: int) -> tuple[list[str], npt.NDArray[np.float64]]:
        """The text's tokens, and what each adds to the score of `label` (its log-odds against the rest), (tokens,).

        What an n-gram adds is shared equally by its tokens; with the intercept it sums to the score exactly.
        """
        tokens = _splitter(self._vectorizer)(text)
        row = self._vectorizer.transform([text])
        columns, vocabulary = (
            dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)),
            self._vectorizer.vocabulary_,
        )
        weights = (
            self.coefficients[label] if len(self.coefficients) > 1 else self.coefficients[0] * (1 if label else -1)
        )
        joint = _joint(self._vectorizer)
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
    ngrams, counts = _counted(texts, level, lowercase, min_count)
    weighting = TfidfTransformer(sublinear_tf=True)
    features: Any = weighting.fit_transform(counts)
    binary = LogisticRegression(C=INVERSE_REGULARISATION, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    wanted = [1] if classes == 2 else range(classes)
    coefficients = np.zeros((len(wanted), features.shape[1]), np.float32)
    intercept = np.full(len(wanted), ABSENT, np.float32)
    for row, label in enumerate(wanted):
        if (truth == label).any():
            classifier = clone(binary).fit(features, truth == label)
            coefficients[row], intercept[row] = classifier.coef_[0], classifier.intercept_[0]
    idf = weighting.idf_.astype(np.float32)
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


def _splitter(vectorizer: TfidfVectorizer) -> Callable[[str], list[str]]:
    """What makes a text into that of which n-grams are made: words, or characters with single spaces."""
    prepare, words = vectorizer.build_preprocessor(), vectorizer.build_tokenizer()
    if vectorizer.analyzer == "word":
        return lambda text: words(prepare(text))
    return lambda text: list(re.sub(r"\s\s+", " ", prepare(text)))


def _joint(vectorizer: TfidfVectorizer) -> str:
    return " " if vectorizer.analyzer == "word" else ""


def _counted(texts: Sequence[str], level: str, lowercase: bool, min_count: int) -> tuple[list[str], Any]:
    """The n-grams that stand in `min_count` texts or more, and how often each stands in each text, sparse (N, n).

    They are what the vectorizer would count, by numbers in place of strings: of IMDB's 5 million bigrams each would be
    a string of its own. An n-gram is frequent only if what precedes its last token is, so rare ones are left early.
    When none is frequent, one stands there that is in no text.
    """
    vectorizer = _vectorizer(level, lowercase)
    tokens, row, kinds = _numbered(texts, _splitter(vectorizer))
    places, found, column = np.arange(len(tokens)), np.arange(len(kinds)), tokens  # of n-grams of one token
    names, joint, ngrams, counts = [""], "", list[str](), list[Any]()
    for size in range(1, vectorizer.ngram_range[1] + 1):
        entries = np.ones(len(places)), (row[places], column.astype(np.int32))
        count = csr_array(entries, shape=(len(texts), len(found)))  # those of one place in it are summed
        frequent = np.bincount(count.indices, minlength=len(found)) >= min_count
        parts = np.divmod(found[frequent], len(kinds))  # what stands before the last token, and that token
        names = [names[before] + joint + kinds[last] for before, last in np.transpose(parts).tolist()]
        ngrams += names
        counts.append(count[:, frequent])
        if size == vectorizer.ngram_range[1]:
            break
        kept = frequent[column] & (places + size < len(tokens))
        kept[kept] = row[places[kept]] == row[places[kept] + size]
        number, places, joint = np.cumsum(frequent) - 1, places[kept], _joint(vectorizer)
        keys = number[column[kept]] * len(kinds) + tokens[places + size]
        found, column = np.unique(keys, return_inverse=True)
    if not ngrams:
        return [""], csr_array((len(texts), 1))
    return ngrams, hstack(counts, format="csr")


def _numbered(
    texts: Sequence[str], split: Callable[[str], list[str]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], list[str]]:
    """The number of each token of all texts, that of its text, and the kinds of tokens by number."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    tokens, lengths = array("q"), []
    for text in texts:
        found = split(text)
        tokens.extend(map(numbers.__getitem__, found))
        lengths.append(len(found))
    row = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
    return np.array(tokens, np.int64), row, list(numbers)
