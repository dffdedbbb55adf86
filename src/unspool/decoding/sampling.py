"""Sampling: pure functions of log-probabilities, and the loop that feeds each choice back in.

The loop knows one thing of a model: `step(tokens, state) -> (log_probs, state)`, tokens (S,) int64 and log_probs
(S, V) float. What a sample draws depends on (seed, number of the sample, position) alone, so a sample is the same by
itself and beside others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unspool import native
from unspool.errors import SettingError
from unspool.text.shuffling import mixed_keys

Floats = npt.NDArray[np.floating[Any]]
Int64 = npt.NDArray[np.int64]
Step = Callable[[Int64, Any], tuple[Floats, Any]]

PENALTY_WINDOW = 64
DRAWN_AT_ONCE = 64  # positions whose random numbers are made together


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Raises SettingError for a value out of range.

    temperature: log-probabilities are divided by it; 0 always takes the likeliest token.
    top_k: only the k likeliest tokens may be chosen (Fan et al. 2018); None: all.
    top_p: only the fewest tokens whose probabilities sum to p or more (Holtzman et al. 2020); 1: all.
    repetition_penalty: the log-probability of a token among the last `PENALTY_WINDOW` of the sample is multiplied by
    it (after Keskar et al. 2019); 1: nothing is penalised.
    seed: of everything random.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (_is_number(self.temperature) and 0 <= self.temperature < np.inf):
            raise SettingError(
                f"--temperature is {self.temperature!r}: expected 0 (always the likeliest) or more, and finite"
            )
        if self.top_k is not None and not (is_whole(self.top_k) and self.top_k >= 1):
            raise SettingError(f"--top-k is {self.top_k!r}: expected 1 or more tokens to choose from")
        if not (_is_number(self.top_p) and 0 < self.top_p <= 1):
            raise SettingError(f"--top-p is {self.top_p!r}: expected a probability above 0, at most 1")
        if not (_is_number(self.repetition_penalty) and 1 <= self.repetition_penalty < np.inf):
            raise SettingError(
                f"--repetition-penalty is {self.repetition_penalty!r}: expected 1 (none) or more, and finite"
            )
        if not (is_whole(self.seed) and 0 <= self.seed < 2**32):
            raise SettingError(f"--seed is {self.seed!r}: expected a whole number from 0 to {2**32 - 1}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Whether it is a whole number, Python's or numpy's."""
    return isinstance(value, Integral) and not isinstance(value, bool)


class Chosen(NamedTuple):
    """One step of all samples: tokens (S,), and the model's own log-probabilities of them (S,)."""

    tokens: Int64
    log_probs: Floats


def penalise(log_probs: Floats, seen: Int64, penalty: float) -> Floats:
    """log_probs (S, V) with those of each row's `seen` tokens (S, N) multiplied by `penalty`."""
    if penalty == 1 or not seen.size:
        return log_probs
    changed = log_probs.copy()
    rows = np.arange(len(changed))[:, None]
    changed[rows, seen] = log_probs[rows, seen] * penalty
    return changed


def keep_top_k(log_probs: Floats, k: int) -> Floats:
    """log_probs (S, V) with -inf for all but the k likeliest of each row; what ties with the last one stays."""
    if k >= log_probs.shape[1]:
        return log_probs
    last = np.partition(log_probs, -k, axis=1)[:, -k, None]
    return np.where(log_probs >= last, log_probs, -np.inf)


def keep_top_p(log_probs: Floats, p: float) -> Floats:
    """log_probs (S, V) with -inf for all but the fewest tokens of each row whose shares sum to p or more."""
    if p == 1:
        return log_probs
    order = np.argsort(-log_probs, axis=1, kind="stable")
    shares = np.take_along_axis(probabilities(log_probs), order, axis=1)
    before = np.cumsum(shares, axis=1) - shares
    kept = np.empty(log_probs.shape, bool)
    np.put_along_axis(kept, order, before < p, axis=1)
    kept[np.arange(len(kept)), order[:, 0]] = True  # rounding may leave nothing before the first
    return np.where(kept, log_probs, -np.inf)


def probabilities(log_probs: Floats) -> npt.NDArray[np.float64]:
    """Shares (S, V) that sum to 1 in each row, from log-probabilities up to a constant."""
    shares = np.exp(np.subtract(log_probs, log_probs.max(axis=1, keepdims=True), dtype=np.float64))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def draw(shares: npt.NDArray[np.float64], uniform: Floats) -> Int64:
    """The token of each row where the running sum of its shares passes `uniform` (S,), in [0, 1), times their sum."""
    running = np.cumsum(shares, axis=1)
    passed = uniform * running[:, -1]
    if len(running) == 1:
        chosen = running[0].searchsorted(passed, side="right")
    else:
        chosen = (running > passed[:, None]).argmax(axis=1)
    for row in np.flatnonzero(passed >= running[:, -1]):  # rounding must not pass the last possible one
        chosen[row] = np.flatnonzero(shares[row])[-1]
    return np.asarray(chosen, np.int64)


def uniforms(seed: int, samples: Int64, position: int | Int64) -> Floats:
    """A number in [0, 1) for each sample at a position, or (P, S) at positions (P, 1); equal arguments give equal
    numbers for ever."""
    positions = np.asarray(position, np.uint64)
    keys = mixed_keys(samples.astype(np.uint64) << np.uint64(40) | positions, seed, 1)
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53


def choose(log_probs: Floats, seen: Int64, how: Sampling, samples: Int64, position: int) -> Int64:
    """The next token of each row of log_probs (S, V); seen (S, N): the last tokens, for the penalty."""
    return _choose(log_probs, seen, how, uniforms(how.seed, samples, position))


def _choose(log_probs: Floats, seen: Int64, how: Sampling, uniform: Floats) -> Int64:
    log_probs = penalise(log_probs, seen, how.repetition_penalty)
    if how.temperature == 0:
        return np.asarray(log_probs.argmax(axis=1), np.int64)
    if how.top_k is not None:
        log_probs = keep_top_k(log_probs, how.top_k)
    away = np.subtract(log_probs, log_probs.max(axis=1, keepdims=True), dtype=np.float64)
    with np.errstate(over="ignore"):  # a tiny temperature makes far tokens -inf, which is what it means
        log_probs = away / how.temperature
    return draw(np.exp(keep_top_p(log_probs, how.top_p)), uniform)


def _choose_quickly(log_probs: Floats, how: Sampling, uniform: Floats) -> Chosen | None:
    """The same and what goes with it from the compiled core, where nothing but the temperature is to be regarded."""
    plain = how.repetition_penalty == 1 and how.top_k is None and how.top_p == 1 and how.temperature > 0
    core = native.core() if plain and log_probs.dtype == np.float32 and log_probs.flags.c_contiguous else None
    if core is None:
        return None
    chosen = Chosen(np.empty(len(log_probs), np.int64), np.empty(len(log_probs), np.float32))
    return chosen if core.draw(log_probs, uniform, how.temperature, *chosen) else None


def sample(step: Step, first: Floats, state: Any, how: Sampling, *, first_sample: int = 0) -> Iterator[Chosen]:
    """Choices without end, one step of all samples at a time; the caller stops.

    first: log-probabilities (S, V) of the first token; state: the model's state that goes with them.
    first_sample: number of the first row, where samples are made in several batches.
    """
    log_probs = first
    rows = np.arange(len(first))
    samples = np.arange(first_sample, first_sample + len(first), dtype=np.int64)
    recent: deque[Int64] = deque(maxlen=PENALTY_WINDOW)
    nothing = np.empty((len(first), 0), np.int64)
    for begin in count(0, DRAWN_AT_ONCE):
        for uniform in uniforms(how.seed, samples, np.arange(begin, begin + DRAWN_AT_ONCE)[:, None]):
            chosen = _choose_quickly(log_probs, how, uniform)
            if chosen is None:
                seen = np.stack(recent, axis=1) if recent and how.repetition_penalty != 1 else nothing
                tokens = _choose(log_probs, seen, how, uniform)
                chosen = Chosen(tokens, log_probs[rows, tokens])
            yield chosen
            recent.append(chosen.tokens)
            log_probs, state = step(chosen.tokens, state)
