"""Equal texts: how many there are, how many disagree in label, how many of a test file were trained on.

A text is known by a 64-bit BLAKE2b hash of its UTF-8 bytes, the same in every process and on every machine, so a
model folder can remember which texts it was trained on without containing them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Duplicates:
    """copies: texts that stood earlier already; conflicting: texts (rows) that also stand with another label."""

    copies: int
    conflicting: int


def text_hash(text: str) -> int:
    """The stable 64-bit hash of one text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def text_hashes(texts: Sequence[str]) -> Hashes:
    """The stable 64-bit hash of each text, uint64 (texts,)."""
    return np.fromiter((text_hash(text) for text in texts), np.uint64, len(texts))


def seen_hashes(texts: Sequence[str]) -> NDArray[np.uint32]:
    """32 bits of each text's hash, sorted, each once: enough to count copies, too little to confirm a guessed text."""
    return np.unique(text_hashes(texts).astype(np.uint32))


def duplicates(texts: Sequence[str], labels: Sequence[str]) -> Duplicates:
    """Count the copies among `texts` and the texts that stand with more than one label; empty ones do not count."""
    labels_of: dict[int, set[str]] = {}
    rows = [(text, label) for text, label in zip(texts, labels, strict=True) if text.strip()]
    hashes = text_hashes([text for text, _ in rows]).tolist()
    for key, (_, label) in zip(hashes, rows, strict=True):
        labels_of.setdefault(key, set()).add(label)
    conflicting = sum(len(labels_of[key]) > 1 for key in hashes)
    return Duplicates(copies=len(rows) - len(labels_of), conflicting=conflicting)


def overlap(train_texts: Sequence[str], other_texts: Sequence[str]) -> int:
    """How many of `other_texts` also stand in `train_texts`."""
    return overlap_with_hashes(text_hashes(train_texts), other_texts)


def overlap_with_hashes(train_hashes: NDArray[np.unsignedinteger], other_texts: Sequence[str]) -> int:
    """How many of `other_texts`, the empty ones left out, have a hash among `train_hashes`."""
    hashes = text_hashes([text for text in other_texts if text.strip()])
    return int(np.isin(hashes.astype(train_hashes.dtype), train_hashes).sum())
