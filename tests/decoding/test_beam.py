"""Beam search against all sequences there are, over a small made-up language."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unspool.decoding.beam import LEAST_COVERAGE, BeamOptions, Hypothesis, State, beam_search
from unspool.errors import SettingError

END, KINDS, STEPS, WIDTH = 0, 4, 4, 3


class Language:
    """log P(next | row, all tokens before) drawn once for every prefix; the state carries the row and the prefix."""

    def __init__(self, seed: int, rows: int) -> None:
        self.seed, self.rows = seed, rows

    def log_probabilities(self, row: int, prefix: tuple[int, ...]) -> np.ndarray:
        generator = np.random.default_rng([self.seed, row, *(token + 1 for token in prefix)])
        logits = generator.normal(size=KINDS) * 1.5
        return logits - np.logaddexp.reduce(logits)

    def attention(self, row: int, prefix: tuple[int, ...]) -> np.ndarray:
        shares = np.random.default_rng([7, self.seed, row, *(token + 1 for token in prefix)]).random(WIDTH)
        return (shares / shares.sum()).astype(np.float32)

    def start(self, beams: int) -> State:
        rows = torch.arange(self.rows).repeat_interleave(beams)
        return {"row": rows, "prefix": torch.full((len(rows), 0), -1)}

    def step(self, tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        prefix = torch.cat([state["prefix"], tokens[:, None]], 1)  # begins with the token of the beginning
        places = [(int(r), tuple(p[1:].tolist())) for r, p in zip(state["row"], prefix, strict=True)]
        values = np.stack([self.log_probabilities(*place) for place in places])
        looks = np.stack([self.attention(*place) for place in places])
        after = {"row": state["row"], "prefix": prefix, "attention": torch.from_numpy(looks)}
        return torch.from_numpy(values).double(), after

    def all(self, row: int, limit: int, options: BeamOptions) -> list[Hypothesis]:
        found = []
        for length in range(limit + 1):
            for tokens in itertools.product(range(1, KINDS), repeat=length):
                total, looks = 0.0, np.zeros(WIDTH)
                for t, token in enumerate((*tokens, END)):
                    total += float(self.log_probabilities(row, tokens[:t])[token])
                    looks += self.attention(row, tokens[:t])
                score = total / ((5 + length + 1) / 6) ** options.length_penalty
                coverage = sum(math.log(min(max(look, LEAST_COVERAGE), 1.0)) for look in looks)
                found.append(Hypothesis(tokens, total, score + options.coverage_penalty * coverage))
        return sorted(found, key=lambda one: -one.score)


def repeats(tokens: tuple[int, ...], n: int) -> bool:
    grams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
    return len(set(grams)) < len(grams)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.7, 2.0]), st.sampled_from([0.0, 0.4]), st.sampled_from([0, 1, 2]))
@settings(max_examples=12, deadline=None)
def test_as_many_beams_as_prefixes_find_the_best_of_all_sequences(
    seed: int, length: float, coverage: float, no_repeat: int
) -> None:
    beams = 3**3 + 30
    options = BeamOptions(beams, 5, length, coverage, no_repeat)
    language, limits = Language(seed, 2), [3, 2]
    found = beam_search(language.step, language.start(beams), limits, begin=9, end=END, options=options)
    for row, limit in enumerate(limits):
        every = [one for one in language.all(row, limit, options) if not (no_repeat and repeats(one.tokens, no_repeat))]
        assert [one.tokens for one in found[row]] == [one.tokens for one in every[:5]]
        for got, want in zip(found[row], every, strict=False):
            assert math.isclose(got.score, want.score, abs_tol=1e-5)
            assert math.isclose(got.log_probability, want.log_probability, abs_tol=1e-9)


def test_one_beam_takes_the_likeliest_token_each_time() -> None:
    language = Language(4, 3)
    found = beam_search(language.step, language.start(1), [STEPS] * 3, begin=9, end=END, options=BeamOptions(1))
    for row in range(3):
        tokens: tuple[int, ...] = ()
        while len(tokens) < STEPS and (best := int(language.log_probabilities(row, tokens).argmax())) != END:
            tokens = (*tokens, best)
        assert found[row][0].tokens == tokens


@pytest.mark.parametrize("beams", [1, 3])
def test_a_row_alone_gets_what_it_gets_among_others(beams: int) -> None:
    options = BeamOptions(beams, 1, 0.6, 0.2)
    whole = Language(11, 4)
    together = beam_search(whole.step, whole.start(beams), [1, 4, 2, 3], begin=9, end=END, options=options)
    for row, limit in enumerate([1, 4, 2, 3]):
        alone = Language(11, 4)
        state = {name: part[row * beams : (row + 1) * beams] for name, part in alone.start(beams).items()}
        assert beam_search(alone.step, state, [limit], begin=9, end=END, options=options)[0] == together[row]


def test_attention_is_that_of_the_sequence_and_ends_at_the_width() -> None:
    language = Language(2, 1)
    (found,) = beam_search(language.step, language.start(4), [3], begin=9, end=END, options=BeamOptions(4), widths=[2])
    tokens = found[0].tokens
    expected = np.stack([language.attention(0, tokens[:t]) for t in range(len(tokens) + 1)])[:, :2]
    assert found[0].attention is not None
    np.testing.assert_array_equal(found[0].attention, expected)


def test_no_row_no_answer_and_no_number_no_sequence() -> None:
    assert beam_search(Language(0, 0).step, {}, [], begin=9, end=END) == []
    nothing = lambda tokens, state: (torch.full((len(tokens), KINDS), math.nan), state)  # noqa: E731
    assert beam_search(nothing, {}, [2], begin=9, end=END) == [[]]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"beams": 0}, "between 1 and 1000"),
        ({"beams": 2, "n_best": 3}, "n-best is 3, with 2 beams"),
        ({"length_penalty": -1.0}, "penalty must lie between 0 and 10"),
        ({"no_repeat": 101}, "no-repeat must lie between 0 and 100"),
    ],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        BeamOptions(**wrong)  # type: ignore[arg-type]
