"""Beam search for the likeliest sequences, over a step function; one beam is greedy search.

The search knows no model. It calls step(tokens (B·K,), state) -> (log-probabilities (B·K, V) of the next token, state)
for B rows of K beams side by side; a state is a mapping of tensors that have B·K rows. When it holds `attention`
(B·K, S), the weights of the last step, they are kept for alignments and for the coverage penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unspool.errors import SettingError

State = dict[str, Tensor]
Step = Callable[[Tensor, State], tuple[Tensor, State]]

LEAST_COVERAGE = 1e-3  # a memory step never looked at costs at most this logarithm


@dataclass(frozen=True)
class BeamOptions:
    """How to search. Raises SettingError for a value out of range.

    beams: prefixes kept a row. n_best: sequences wanted a row. length_penalty α and coverage_penalty β rank finished
    sequences of n tokens by log P / ((5 + n) / 6)^α + β Σ_s log min(Σ_t a_ts, 1) (Wu et al. 2016, eq. 14; n counts the
    end token). no_repeat: no n-gram of this length comes twice in a sequence; 0: anything may.
    """

    beams: int = 5
    n_best: int = 1
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    no_repeat: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.beams <= 1000:
            raise SettingError(f"the number of beams must lie between 1 and 1000, got {self.beams}")
        if not 1 <= self.n_best <= self.beams:
            raise SettingError(
                f"n-best is {self.n_best}, with {self.beams} beams it must lie between 1 and {self.beams}"
            )
        if not 0 <= self.length_penalty <= 10 or not 0 <= self.coverage_penalty <= 10:
            raise SettingError("the length and the coverage penalty must lie between 0 and 10")
        if not 0 <= self.no_repeat <= 100:
            raise SettingError(f"no-repeat must lie between 0 and 100, got {self.no_repeat}")


@dataclass(frozen=True)
class Hypothesis:
    """A finished sequence: tokens without the end, log P, the score of its rank, attention (tokens + 1, S)."""

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    attention: npt.NDArray[np.float32] | None = field(default=None, compare=False)


def beam_search(
    step: Step,
    state: State,
    limits: Sequence[int],
    *,
    begin: int,
    end: int,
    options: BeamOptions | None = None,
    widths: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """The n best sequences of each row, best first; fewer when there are not so many with a probability above 0.

    state: of B·beams rows, the beams of a row alike. limits: the most tokens a row's sequences may have before the
    end, which is then the only choice. begin, end: token ids. widths: how many memory steps of each row are real,
    for the coverage penalty; all by default. The rows do not influence each other.
    """
    options = options or BeamOptions()
    rows, beams = len(limits), options.beams
    searches = [_Row(limit, end, options, None if widths is None else widths[b]) for b, limit in enumerate(limits)]
    tokens = torch.full((rows * beams,), begin, dtype=torch.int64)
    for length in range(1, max(limits, default=-1) + 2):
        log_probabilities, state = step(tokens, state)
        log_probabilities = _allowed(log_probabilities, searches, length, end, options)
        values, choices = log_probabilities.topk(min(2 * beams, log_probabilities.shape[1]), 1)
        shape = (rows, beams, values.shape[1])
        values_np, choices_np = values.double().numpy().reshape(shape), choices.numpy().reshape(shape)
        attention = state["attention"].numpy().reshape(rows, beams, -1) if "attention" in state else None
        origins: list[int] = []
        for b, search in enumerate(searches):
            search.extend(values_np[b], choices_np[b], None if attention is None else attention[b])
            origins += [b * beams + origin for origin in search.origins]
        if all(search.done for search in searches):
            break
        order = torch.tensor(origins)
        state = {name: part.index_select(0, order) for name, part in state.items()}
        tokens = torch.tensor([prefix[-1] if prefix else end for search in searches for prefix in search.prefixes])
    return [search.finished[: options.n_best] for search in searches]


class _Row:
    """The search of one row. origins: which beam before each beam now continues."""

    def __init__(self, limit: int, end: int, options: BeamOptions, width: int | None) -> None:
        self.limit, self.end, self.options, self.width = limit, end, options, width
        self.prefixes: list[tuple[int, ...]] = [()] * options.beams
        self.scores = np.full(options.beams, -np.inf)
        self.scores[0] = 0.0  # at first all beams are alike: one speaks for all
        self.looks: list[tuple[npt.NDArray[np.float32], ...]] = [()] * options.beams
        self.origins = list(range(options.beams))
        self.finished: list[Hypothesis] = []
        self.done = False

    def extend(
        self,
        values: npt.NDArray[np.float64],
        choices: npt.NDArray[np.int64],
        attention: npt.NDArray[np.float32] | None,
    ) -> None:
        """One token more, from each beam's best next tokens; values, choices (beams, some), attention (beams, S)."""
        self.origins = list(range(self.options.beams))
        if self.done:
            return
        totals = self.scores[:, None] + values
        alive: list[tuple[int, int, float]] = []
        for rank, place in enumerate(np.argsort(-totals, axis=None, kind="stable").tolist()):
            beam, column = divmod(place, totals.shape[1])
            total, token = float(totals[beam, column]), int(choices[beam, column])
            if not total > -np.inf or len(alive) == self.options.beams:
                break
            if token != self.end:
                alive.append((beam, token, total))
            elif rank < self.options.beams:
                self._finish(beam, total, attention)
        self._continue(alive, attention)

    def _finish(self, beam: int, total: float, attention: npt.NDArray[np.float32] | None) -> None:
        looks = None if attention is None else np.stack([*self.looks[beam], attention[beam]])[:, : self.width]
        score = total / self._lengthening(len(self.prefixes[beam]) + 1)
        if looks is not None and self.options.coverage_penalty:
            coverage = np.clip(looks.sum(0, dtype=np.float64), LEAST_COVERAGE, 1.0)
            score += self.options.coverage_penalty * float(np.log(coverage).sum())
        self.finished.append(Hypothesis(self.prefixes[beam], total, score, looks))
        self.finished.sort(key=lambda found: -found.score)

    def _continue(self, alive: list[tuple[int, int, float]], attention: npt.NDArray[np.float32] | None) -> None:
        # no penalty makes a prefix's score rise above this: its probability falls, and it cannot grow beyond the limit
        possible = alive[0][2] / self._lengthening(self.limit + 1) if alive else -np.inf
        wanted = self.options.n_best
        self.done = not alive or (len(self.finished) >= wanted and self.finished[wanted - 1].score >= possible)
        free = self.options.beams - len(alive)
        self.origins = [beam for beam, _, _ in alive] + [0] * free
        self.looks = [(*self.looks[beam], attention[beam]) if attention is not None else () for beam in self.origins]
        self.prefixes = [(*self.prefixes[beam], token) for beam, token, _ in alive] + [()] * free
        self.scores = np.array([total for _, _, total in alive] + [-np.inf] * free)

    def _lengthening(self, length: int) -> float:
        return float(((5 + length) / 6) ** self.options.length_penalty)


def _allowed(values: Tensor, searches: list[_Row], length: int, end: int, options: BeamOptions) -> Tensor:
    """The log-probabilities with -inf for what a row's limit or its own n-grams forbid."""
    for b, search in enumerate(searches):
        if search.done:
            continue
        if length > search.limit:
            mine = values[b * options.beams : (b + 1) * options.beams]
            kept = mine[:, end].clone()
            mine.fill_(-torch.inf)
            mine[:, end] = kept
        elif options.no_repeat:
            for k, prefix in enumerate(search.prefixes):
                if banned := sorted(_repeating(prefix, options.no_repeat) - {end}):
                    values[b * options.beams + k, banned] = -torch.inf
    return values


def _repeating(prefix: tuple[int, ...], n: int) -> set[int]:
    """The tokens that would end an n-gram that the prefix holds already."""
    last = prefix[len(prefix) - n + 1 :] if len(prefix) >= n - 1 else None
    if last is None:
        return set()
    return {prefix[i + n - 1] for i in range(len(prefix) - n + 1) if prefix[i : i + n - 1] == last}
