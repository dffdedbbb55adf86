"""Training and validation parts: stratified by label, copies of one text never on both sides.

The choice depends on the seed and on the texts' own hashes, not on Python's hash seed nor on any generator.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from unspool.errors import SettingError
from unspool.text.duplicates import text_hashes
from unspool.text.ragged import Int64
from unspool.text.shuffling import mixed_keys

Group = list[int]


def split(texts: Sequence[str], labels: Sequence[str], share: float, seed: int) -> tuple[Int64, Int64]:
    """Row numbers of the training and of the validation part, each ascending int64.

    About `share` of the rows of every label go to validation; equal texts go together; a label with a single
    distinct text stays in training, and so does one whose only texts stand with other labels too. When the share
    rounds to nothing, one text of each label that can spare it is taken. Raises SettingError unless 0 < share < 1.
    """
    if not 0 < share < 1:
        raise SettingError(f"the validation share must lie between 0 and 1, got {share}")
    by_label = _groups_by_label(texts, labels, seed)
    chosen = _proportional(by_label, share)
    if not chosen:
        chosen = [groups[0] for groups in by_label.values() if len(groups) > 1]
    chosen = _sparable(chosen, labels)
    validation = np.sort(np.array([row for group in chosen for row in group], np.int64))
    return np.setdiff1d(np.arange(len(texts)), validation), validation


def folds(texts: Sequence[str], labels: Sequence[str], k: int, seed: int) -> list[tuple[Int64, Int64]]:
    """`k` pairs (training rows, test rows) for cross-validation; every row is in exactly one test part.

    Labels are spread evenly, equal texts share a fold. Raises SettingError when k < 2 or there are fewer
    distinct texts than folds.
    """
    by_label = _groups_by_label(texts, labels, seed)
    if k < 2 or sum(map(len, by_label.values())) < k:
        raise SettingError(f"cross-validation needs at least 2 folds and as many distinct texts as folds, got {k}")
    parts: list[list[int]] = [[] for _ in range(k)]
    for groups in by_label.values():
        of_label = [0] * k
        for group in groups:
            fold = min(range(k), key=lambda index: (of_label[index], len(parts[index]), index))
            parts[fold] += group
            of_label[fold] += len(group)
    everything = np.arange(len(texts))
    tests = [np.sort(np.array(part, np.int64)) for part in parts]
    return [(np.setdiff1d(everything, test), test) for test in tests]


def _groups_by_label(texts: Sequence[str], labels: Sequence[str], seed: int) -> dict[str, list[Group]]:
    """Rows of equal text, gathered under their commonest label, labels in sorted order, groups shuffled."""
    if len(texts) != len(labels):
        raise ValueError(f"{len(texts)} texts but {len(labels)} labels")
    hashes = text_hashes(texts)
    rows_of: dict[int, Group] = {}
    for row, key in enumerate(hashes.tolist()):
        rows_of.setdefault(key, []).append(row)
    by_label: dict[str, list[Group]] = {label: [] for label in sorted(set(labels))}
    distinct = np.unique(hashes)
    for key in distinct[np.argsort(mixed_keys(distinct, seed, 0))].tolist():
        counts = Counter(labels[row] for row in rows_of[key])
        by_label[min(counts, key=lambda label: (-counts[label], label))].append(rows_of[key])
    return by_label


def _sparable(groups: list[Group], labels: Sequence[str]) -> list[Group]:
    """The groups that can be taken one after the other while every label still stands somewhere else."""
    left = Counter(labels)
    taken: list[Group] = []
    for group in groups:
        own = Counter(labels[row] for row in group)
        if all(left[label] > count for label, count in own.items()):
            taken.append(group)
            left.subtract(own)
    return taken


def _proportional(by_label: dict[str, list[Group]], share: float) -> list[Group]:
    """Groups for validation; what one label's rounding leaves over is carried to the next label."""
    chosen: list[Group] = []
    carry = 0.0
    for groups in by_label.values():
        wanted = share * sum(map(len, groups)) + carry
        taken = 0
        for group in groups[: max(len(groups) - 1, 0)]:
            if taken + len(group) > math.floor(wanted + 0.5):
                break
            chosen.append(group)
            taken += len(group)
        carry = max(-1.0, min(1.0, wanted - taken))
    return chosen
