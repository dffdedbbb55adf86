"""A conditional random field as a layer: the last one of a tagger."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unspool.ops import checks, crf
from unspool.ops.crf import Chain

FORBIDDEN = -100.0
"""Added to the score of a transition that is not allowed: e^-100 is nothing, and never makes a sum of nothing."""


class LinearChainCRF(nn.Module):
    """Scores of whole tag sequences: emissions (B, T, C) plus learned transitions; `unspool.ops.crf` has the equations.

    Every method takes the emissions, and lengths (B,) or None for T everywhere; what the padding holds changes nothing.
    Parameters: transitions (C, C), from row to column, start (C,) and end (C,), all zero at first.
    allowed: three bool tensors of these shapes, False where tags may not follow each other; None: everything may.
    """

    penalties: Tensor
    start_penalties: Tensor
    end_penalties: Tensor

    def __init__(self, tags: int, allowed: tuple[Tensor, Tensor, Tensor] | None = None) -> None:
        super().__init__()
        self.tags = checks.positive("tags", tags)
        shapes = ((tags, tags), (tags,), (tags,))
        self.transitions, self.start, self.end = (nn.Parameter(torch.zeros(shape)) for shape in shapes)
        penalties = [torch.zeros(shape) for shape in shapes]
        if allowed is not None:
            if [tuple(part.shape) for part in allowed] != list(shapes):
                raise ValueError(f"allowed: expected shapes {shapes}, got {[tuple(part.shape) for part in allowed]}")
            penalties = [torch.where(part, 0.0, FORBIDDEN) for part in allowed]
        for name, value in zip(("penalties", "start_penalties", "end_penalties"), penalties, strict=True):
            self.register_buffer(name, value, persistent=False)

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

    def _chain(self) -> Chain:
        return Chain(
            self.transitions + self.penalties, self.start + self.start_penalties, self.end + self.end_penalties
        )

    def _checked(self, emissions: Tensor, lengths: Tensor | None) -> Tensor:
        checks.sequence(emissions, self.tags)
        return checks.row_lengths(emissions, lengths)
