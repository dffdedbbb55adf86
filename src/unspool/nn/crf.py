"""A conditional random field as a layer: the last one of a tagger."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unspool.ops import checks, crf
from unspool.ops.crf import Chain

PENALTIES = ("penalties", "start_penalties", "end_penalties")
FORBIDDEN = -100.0
"""Added to the score of a transition that is not allowed: e^-100 is nothing, and never makes a sum of nothing."""


class LinearChainCRF(nn.Module):
    """Scores of whole tag sequences: emissions (B, T, C) plus learned transitions; `unspool.ops.crf` has the equations.

    Every method takes the emissions, and lengths (B,) or None for T everywhere; what the padding holds changes nothing.
    Parameters: transitions (C, C), from row to column, start (C,) and end (C,), all zero at first.
    `restrict` rules sequences out.
    """

    penalties: Tensor | None
    start_penalties: Tensor | None
    end_penalties: Tensor | None

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.tags = checks.positive("tags", tags)
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.start, self.end = nn.Parameter(torch.zeros(tags)), nn.Parameter(torch.zeros(tags))
        for name in PENALTIES:
            self.register_buffer(name, None, persistent=False)

    def restrict(self, transitions: Tensor, start: Tensor, end: Tensor) -> None:
        """Rule out what these bool tensors, of the parameters' shapes, hold False for: who may follow whom (C, C), and
        who may begin and end a sequence (C,). No part of the state dict."""
        for name, part, shape in zip(PENALTIES, (transitions, start, end), self._shapes(), strict=True):
            if part.shape != shape:
                raise ValueError(f"restrict: expected shapes {self._shapes()}, got {tuple(part.shape)}")
            self.register_buffer(name, torch.where(part, 0.0, FORBIDDEN), persistent=False)

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The negative log-likelihood of the tags (B, T) int64 in nats, (B,) double."""
        lengths = self._checked(emissions, lengths)
        if tags.shape != emissions.shape[:2]:
            raise ValueError(f"tags: expected shape {tuple(emissions.shape[:2])}, got {tuple(tags.shape)}")
        chain = self._chain()
        return crf.log_partition_fast(emissions, lengths, chain) - crf.path_score(emissions, lengths, chain, tags)

    def decode(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The most likely tags of each row by Viterbi, (B, T) int64, 0 in the padding."""
        return crf.viterbi(emissions, self._checked(emissions, lengths), self._chain())

    def marginals(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The probability of each tag at each step, (B, T, C) double, zeros in the padding."""
        return crf.marginals(emissions, self._checked(emissions, lengths), self._chain())

    def extra_repr(self) -> str:
        return f"{self.tags}"

    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.tags, self.tags), (self.tags,), (self.tags,)

    def _chain(self) -> Chain:
        chain = Chain(self.transitions, self.start, self.end)
        if self.penalties is None or self.start_penalties is None or self.end_penalties is None:
            return chain
        penalties = (self.penalties, self.start_penalties, self.end_penalties)
        return Chain(*(weight + penalty for weight, penalty in zip(chain, penalties, strict=True)))

    def _checked(self, emissions: Tensor, lengths: Tensor | None) -> Tensor:
        checks.sequence(emissions, self.tags)
        return checks.row_lengths(emissions, lengths)
