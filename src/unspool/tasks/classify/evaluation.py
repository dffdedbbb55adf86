"""The figures of a loaded model on labelled texts, with what could make them misleading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from unspool.predictors import ClassifierPredictor
from unspool.text.duplicates import duplicates, overlap_with_hashes
from unspool.training import metrics


def evaluate(predictor: ClassifierPredictor, texts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """`metrics.report` of the predictor on these texts, and besides:

    unseen_labels: label → texts, for labels the model cannot answer; they count as wrong.
    seen_in_training: texts whose hash is among those of the training texts.
    copies, conflicting: see `text.duplicates`.
    unknown_rate: share of unknown tokens, None for the linear baseline.
    """
    known = set(predictor.labels)
    unseen = Counter(label for label in labels if label not in known)
    names = [*predictor.labels, *sorted(unseen)]
    index = {name: i for i, name in enumerate(names)}
    truth = np.array([index[label] for label in labels], dtype=np.int64)
    figures = metrics.report(predictor.log_probabilities(texts), truth, names)
    found = duplicates(texts, labels)
    tokenizer = predictor.tokenizer
    return {
        **figures,
        "unseen_labels": dict(unseen),
        "seen_in_training": overlap_with_hashes(predictor.seen, texts),
        "copies": found.copies,
        "conflicting": found.conflicting,
        "unknown_rate": tokenizer.unknown_rate(predictor.encode(texts)) if tokenizer else None,
    }
