"""Sampling against plain loops and counted frequencies, over a step function that is no network."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unspool import native
from unspool.decoding import sampling
from unspool.decoding.sampling import Sampling
from unspool.errors import SettingError

ROWS = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-30, 0))


def chain(tokens: Any, state: Any) -> tuple[Any, Any]:
    """A made-up model over five tokens: log-probabilities from the last token and how many came before."""
    logits = np.sin(np.outer(tokens + 1.0, np.arange(5)) + state)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), state + 1


def start(rows: int) -> tuple[Any, Any]:
    return chain(np.zeros(rows, np.int64), 0)


def take(count: int, rows: int, how: Sampling, **more: int) -> Any:
    first, state = start(rows)
    return np.stack([c.tokens for c in itertools.islice(sampling.sample(chain, first, state, how, **more), count)])


@given(ROWS, st.integers(1, 12))
def test_top_k_keeps_the_k_likeliest(log_probs: Any, k: int) -> None:
    kept = np.isfinite(sampling.keep_top_k(log_probs, k))
    for row, keeps in zip(log_probs, kept, strict=True):
        bound = sorted(row, reverse=True)[min(k, len(row)) - 1]
        assert (keeps == (row >= bound)).all()


@given(ROWS, st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_that_reach_p(log_probs: Any, p: float) -> None:
    kept = np.isfinite(sampling.keep_top_p(log_probs, p))
    for row, keeps in zip(log_probs, kept, strict=True):
        shares = [math.exp(v - max(row)) for v in row]
        total = sum(shares)
        shares = [v / total for v in shares]
        inside = sum(v for v, keep in zip(shares, keeps, strict=True) if keep)
        smallest = min(v for v, keep in zip(shares, keeps, strict=True) if keep)
        largest_left = max([v for v, keep in zip(shares, keeps, strict=True) if not keep], default=0.0)
        assert inside >= p - 1e-9 and largest_left <= smallest
        assert inside - smallest < p + 1e-9  # one fewer would not do


def test_draw_follows_the_shares() -> None:
    shares = np.array([[0.0, 0.2, 0.5, 0.0, 0.3, 0.0]])
    uniform = (np.arange(1000) + 0.5) / 1000
    counts = np.bincount(sampling.draw(np.repeat(shares, 1000, 0), uniform), minlength=6)
    assert counts.tolist() == [0, 200, 500, 0, 300, 0]
    assert (
        sampling.draw(shares, np.array([1 - 1e-17])).item() == 4
    )  # a number rounded up to 1 chooses nothing impossible
    assert sampling.draw(shares, np.array([0.0])).item() == 1


def test_numbers_drawn_are_uniform_and_independent_of_their_neighbours() -> None:
    grid = np.stack([sampling.uniforms(7, np.arange(50), position) for position in range(200)])
    assert grid.min() >= 0 and grid.max() < 1
    assert np.histogram(grid, 10, (0, 1))[0] == pytest.approx(1000, abs=120)
    assert abs(np.corrcoef(grid[:-1].ravel(), grid[1:].ravel())[0, 1]) < 0.04
    assert np.unique(grid).size == grid.size
    assert not np.intersect1d(grid, sampling.uniforms(8, np.arange(50), 0)).size


def test_temperature_and_penalty_by_hand() -> None:
    log_probs = np.log(np.array([[0.6, 0.3, 0.1]]))
    hot = sampling.probabilities(log_probs / 2.0)
    assert hot == pytest.approx(np.sqrt([[0.6, 0.3, 0.1]]) / np.sqrt([0.6, 0.3, 0.1]).sum())
    penalised = sampling.penalise(log_probs, np.array([[0, 0]]), 3.0)
    assert penalised == pytest.approx(np.array([[3 * math.log(0.6), math.log(0.3), math.log(0.1)]]))
    choose = sampling.choose
    assert choose(log_probs, np.array([[0]]), Sampling(temperature=0, repetition_penalty=3), np.arange(1), 0) == [1]
    assert choose(log_probs, np.array([[0]]), Sampling(temperature=0), np.arange(1), 0) == [0]
    assert choose(log_probs, np.array([[0]]), Sampling(temperature=1e-300), np.arange(1), 5) == [0]
    single = log_probs.astype(np.float32)  # what a network gives; 1e-300 and 1e300 are beyond its range
    assert choose(single, np.array([[0]]), Sampling(temperature=1e-300), np.arange(1), 5) == [0]
    with np.errstate(all="raise"):
        drawn = {
            int(choose(single, np.array([[0]]), Sampling(temperature=1e300), np.arange(1), n)[0]) for n in range(99)
        }
    assert drawn == set(range(single.shape[1]))


def test_frequencies_of_a_long_sample_are_the_models() -> None:
    first, state = start(4000)
    tokens = next(sampling.sample(chain, first, state, Sampling(seed=3))).tokens
    assert np.bincount(tokens, minlength=5) / 4000 == pytest.approx(np.exp(first[0]), abs=0.03)


def test_a_sample_is_the_same_alone_and_beside_others() -> None:
    how = Sampling(temperature=1.3, top_k=4, top_p=0.9, repetition_penalty=1.2, seed=5)
    together = take(40, 6, how)
    assert (together == take(40, 6, how)).all()
    for row in range(6):
        assert (take(40, 1, how, first_sample=row)[:, 0] == together[:, row]).all()
    assert (take(40, 6, Sampling(seed=6)) != take(40, 6, Sampling(seed=7))).any()


def test_reported_log_probabilities_are_the_models_own() -> None:
    first, state = start(2)
    log_probs, tokens = first, None
    for chosen in itertools.islice(sampling.sample(chain, first, state, Sampling(0.5, top_k=2)), 10):
        if tokens is not None:
            log_probs, state = chain(tokens, state)
        tokens = chosen.tokens
        assert (chosen.log_probs == log_probs[np.arange(2), tokens]).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"temperature": -1.0}, "--temperature is -1.0: expected 0"),
        ({"temperature": math.nan}, "--temperature is nan"),
        ({"temperature": math.inf}, r"--temperature is inf: expected 0 .* or more, and finite"),
        ({"repetition_penalty": math.inf}, r"--repetition-penalty is inf: expected 1 .* or more, and finite"),
        ({"top_k": 0}, "--top-k is 0: expected 1 or more"),
        ({"top_p": 0.0}, "--top-p is 0.0: expected a probability above 0"),
        ({"top_p": 1.5}, "--top-p is 1.5"),
        ({"repetition_penalty": 0.5}, "--repetition-penalty is 0.5"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_what_has_no_meaning_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words.replace("(", r"\(")):
        Sampling(**wrong)


@pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")
@pytest.mark.parametrize("temperature", [1.0, 0.3, 5.0, 1e-300])
def test_the_compiled_draw_is_the_same(temperature: float) -> None:
    generator = np.random.default_rng(1)
    log_probs = (generator.normal(size=(500, 37)) * 4).astype(np.float32)
    log_probs[:, 5] = -np.inf
    how, samples = Sampling(temperature=temperature, seed=9), np.arange(500)
    with np.errstate(divide="ignore"):
        wanted = sampling.choose(log_probs, np.empty((500, 0), np.int64), how, samples, 3)
    found = sampling._choose_quickly(log_probs, how, sampling.uniforms(9, samples, 3))
    assert found is not None and (found.tokens == wanted).all()
    assert (found.log_probs == log_probs[np.arange(500), wanted]).all()
    spoiled = log_probs.copy()
    spoiled[499, 7] = np.nan
    assert sampling._choose_quickly(spoiled, how, sampling.uniforms(9, samples, 3)) is None
    last = np.array([1 - 2.0**-53])
    pair = np.array([[-0.7, -0.7, -np.inf]], np.float32)
    assert sampling._choose_quickly(pair, Sampling(), last).tokens == [1]  # type: ignore[union-attr]
