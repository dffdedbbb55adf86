"""n-grams of token ids by hash: how new a sample is, and an n-gram model to compare with.

The key of an n-gram is a polynomial of its ids modulo 2^64, mixed; that of a long one comes from those of its halves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from unspool.text.ragged import Int64
from unspool.text.shuffling import mixed_keys

Keys = npt.NDArray[np.uint64]

_BASE = 0x9E3779B97F4A7C15 | 1
_MASK = 2**64 - 1
PIECE = 2**18  # ids, whose keys stay in the second-level cache
_SIEVE = 2**16 - 1
DISCOUNT = 0.75


def ngram_keys(ids: Int64, n: int) -> Keys:
    """A key for the n ids from each place on, uint64 (len(ids) - n + 1,); equal n-grams have equal keys."""
    count = len(ids) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    with np.errstate(over="ignore"):
        part, width = ids.astype(np.uint64) + np.uint64(1), 1  # keys of all `width`-grams
        done, covered = np.zeros(count, np.uint64), 0
        while covered < n:
            if n & width:
                shift = np.uint64(pow(_BASE, width, _MASK + 1))
                done = done * shift + part[covered : covered + count]
                covered += width
            if covered < n:
                shift = np.uint64(pow(_BASE, width, _MASK + 1))
                part, width = part[:-width] * shift + part[width:], 2 * width
    return mixed_keys(done, n, 3)


def seen_share(sample: Int64, pieces: Callable[[], Iterator[Int64]], n: int) -> float:
    """The share of the sample's n-grams that also stand in the corpus; 0 when the sample is shorter than n."""
    seen = np.zeros(max(0, len(sample) - n + 1), bool)
    for piece in pieces():
        seen |= _seen(sample, piece, n)
    return float(seen.mean()) if seen.size else 0.0


def longest_run(sample: Int64, pieces: Callable[[], Iterator[Int64]]) -> tuple[int, int]:
    """(length, place in the sample) of the longest run of ids that also stands in the corpus, read once."""
    length, place = 0, 0
    for piece in pieces():
        if not _seen(sample, piece, length + 1).any():
            continue
        low, high = length + 1, min(len(sample), len(piece))
        while low <= high:  # runs of length n are there whenever longer ones are
            middle = (low + high) // 2
            places = np.flatnonzero(_seen(sample, piece, middle))
            if places.size:
                length, place, low = middle, int(places[0]), middle + 1
            else:
                high = middle - 1
    return length, place


def ngram_nats(train: Int64, text: Int64, order: int, vocabulary_size: int) -> float:
    """Mean negative log-probability of `text` (without its first id) under an n-gram model of `train`.

    Interpolated absolute discounting (Ney, Essen & Kneser 1994, discount .75) down to the uniform distribution.
    """
    probability = np.full(len(text) - 1, 1.0 / vocabulary_size)
    for n in range(1, order + 1):
        grams, counts = np.unique(ngram_keys(train, n), return_counts=True)
        firsts = ngram_keys(train[: len(train) - 1], n - 1) if n > 1 else np.zeros(len(train), np.uint64)
        contexts, context_counts = np.unique(firsts, return_counts=True)
        kinds = _continuations(train, n, contexts)
        # places of `text` that have n - 1 ids before them; the first few keep the lower order
        own = ngram_keys(text, n)[int(n == 1) :]
        before = ngram_keys(text[:-1], n - 1) if n > 1 else np.zeros(len(own), np.uint64)
        here = slice(max(0, n - 2), None)
        total = _look_up(contexts, context_counts, before)
        known = total > 0
        share = DISCOUNT * _look_up(contexts, kinds, before) / np.maximum(total, 1)
        direct = np.maximum(_look_up(grams, counts, own) - DISCOUNT, 0) / np.maximum(total, 1)
        probability[here] = np.where(known, direct + share * probability[here], probability[here])
    return float(-np.log(probability).mean())


def _continuations(train: Int64, n: int, contexts: Keys) -> Int64:
    """How many different ids follow each context."""
    _, first = np.unique(ngram_keys(train, n), return_index=True)
    firsts = ngram_keys(train[: len(train) - 1], n - 1)[first] if n > 1 else np.zeros(len(first), np.uint64)
    found: Int64 = np.bincount(np.searchsorted(contexts, firsts), minlength=len(contexts)).astype(np.int64)
    return found


def _look_up(keys: Keys, values: Int64, wanted: Keys) -> Int64:
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0).astype(np.int64)


def _seen(sample: Int64, piece: Int64, n: int) -> npt.NDArray[np.bool_]:
    """Which of the sample's n-grams stand in the piece."""
    wanted, keys = ngram_keys(sample, n), ngram_keys(piece, n)
    likely = np.zeros(_SIEVE + 1, bool)  # all but a few keys of a long piece fall through, so that none need be sorted
    likely[wanted & np.uint64(_SIEVE)] = True
    return np.isin(wanted, keys[likely[keys & np.uint64(_SIEVE)]])
