"""What scikit-learn's users hand in, checked: texts, labels, sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unspool.errors import DataError

_NUMBERS = str.maketrans("uf", "ii")  # numpy's kinds of numbers, as one


def labels(y: Iterable[Any], count: int) -> npt.NDArray[Any]:
    """One label a text, as an array; checked."""
    if not isinstance(y, Iterable):
        raise DataError(f"y must be a list of labels, got {type(y).__name__}")
    given = list(y)
    try:
        labels = np.asarray(given)
    except ValueError as error:  # lists of different lengths
        raise DataError("y must hold one label a text, not lists") from error
    if labels.ndim != 1 or len(labels) != count:
        raise DataError(f"y must hold one label for each of the {count} texts, its shape is {labels.shape}")
    if labels.dtype.kind not in "USbiuf" or (labels.dtype.kind == "f" and not np.isfinite(labels).all()):
        raise DataError("y must hold texts, finite numbers or booleans, and none may be missing")
    if len({np.asarray(label).dtype.kind.translate(_NUMBERS) for label in given}) > 1:  # 1 and "1" would become one
        raise DataError("y must hold labels of one kind: all texts, all numbers, or all booleans")
    return labels


def texts(X: Iterable[str], name: str = "X") -> list[str]:
    """A list of strings, checked."""
    if isinstance(X, str):
        raise DataError(f"{name} must be a list of texts, not one text")
    if isinstance(X, Mapping) or getattr(X, "ndim", 1) != 1:
        raise DataError(f"{name} must be a list of texts, not a table: give the column that holds the texts")
    if not isinstance(X, Iterable):
        raise DataError(f"{name} must be a list of texts, got {type(X).__name__}")
    texts = list(X)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"{name} must hold strings; item {row} is of type {type(text).__name__}")
    return [str(text) for text in texts]


def sentences(rows: Iterable[Sequence[str]], name: str) -> list[list[str]]:
    """Lists of strings that are not empty, checked."""
    if isinstance(rows, str | Mapping) or not isinstance(rows, Iterable):
        raise DataError(f"{name} must be a list of sentences, each a list of strings")
    found = []
    for row, sentence in enumerate(rows):
        known = isinstance(sentence, Iterable) and not isinstance(sentence, str)
        if not known or not all(isinstance(part, str) and part for part in sentence):
            raise DataError(f"{name} must hold lists of strings, none of them empty; item {row} is something else")
        found.append([str(part) for part in sentence])
    return found
