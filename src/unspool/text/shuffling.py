"""Random order without a random generator: keys from a hash, to be sorted by.

SplitMix64 (Steele, Lea and Flood 2014) turns (seed, stream, position) into a key. An order made so depends on no
generator state, no library version and no machine, which makes resuming in the middle of an epoch arithmetic.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def random_keys(count: int, seed: int, stream: int) -> Keys:
    """`count` keys, uint64; equal (seed, stream) give equal keys for ever."""
    return mixed_keys(np.arange(1, count + 1, dtype=np.uint64), seed, stream)


def mixed_keys(values: Keys, seed: int, stream: int) -> Keys:
    """One key for each value, uint64, a one-to-one map of the values for each (seed, stream)."""
    return _mix(_start(int(seed), stream) + values * np.uint64(_GOLDEN))


@lru_cache(64)
def _start(seed: int, stream: int) -> Keys:
    return _mix(np.array([(seed * _GOLDEN + stream) & _MASK], np.uint64))


def _mix(value: Keys) -> Keys:
    """Arrays wrap around without a warning, which is meant."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
