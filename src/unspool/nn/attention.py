"""Attention of one sequence to another: what a decoder looks at while it writes.

scores (B, T, S) of T queries and S memory steps, a softmax over each row's own memory steps, and the weighted mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unspool.errors import SettingError
from unspool.nn.linear import Linear
from unspool.ops import checks
from unspool.ops.lengths import check_lengths, keep, valid_steps

NEGLIGIBLE = 1e-15
ATTENTIONS = ("additive", "dot", "general")


class Attention(nn.Module):
    """Attention with one of three scores of a query q and a memory step m.

    "dot": q · m, of equal width; "general": q · W m (both Luong et al. 2015, eq. 8); "additive":
    v · tanh(W q + U m + b) (Bahdanau et al. 2015, appendix A.1.2), `hidden` units wide, the query's width when None.
    Raises SettingError for an unknown score, widths that "dot" cannot multiply, or `hidden` where it has no effect.
    """

    def __init__(self, score: str, query_features: int, memory_features: int, hidden: int | None = None) -> None:
        super().__init__()
        self.score = checks.choice("score", score, ATTENTIONS)
        self.query_features = checks.positive("query_features", query_features)
        self.memory_features = checks.positive("memory_features", memory_features)
        if hidden is not None and score != "additive":
            raise SettingError(f"hidden has no effect on the score {score!r}: leave it out")
        if score == "dot" and query_features != memory_features:
            raise SettingError(
                f"the score dot needs queries as wide as the memory, not {query_features} and {memory_features}: "
                "use general"
            )
        if score == "additive":
            width = checks.positive("hidden", query_features if hidden is None else hidden)
            self.query = Linear(query_features, width)
            self.vector = nn.Parameter(torch.empty(width).uniform_(-(3**0.5), 3**0.5) / width**0.5)
            self.key = Linear(memory_features, width, bias=False)
        elif score == "general":
            self.key = Linear(memory_features, query_features, bias=False)

    def forward(self, query: Tensor, memory: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """query (B, T, Q), memory (B, S, M), lengths (B,) of the memory → context (B, T, M), weights (B, T, S).

        Weights are 0 past each length, whatever the memory holds there; a row with an empty memory gets zeros.
        """
        return self.attend(query, self.remember(memory, lengths))

    def remember(self, memory: Tensor, lengths: Tensor | None = None) -> Memory:
        """What the queries of all steps share: the memory, its keys and which of its steps are real."""
        checks.sequence(memory, self.memory_features)
        rows, steps, _ = memory.shape
        lengths = torch.full((rows,), steps) if lengths is None else check_lengths(lengths, rows, steps, memory.device)
        valid = valid_steps(lengths, steps)
        memory = keep(memory, valid)
        return Memory(memory, memory if self.score == "dot" else self.key(memory), valid)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """The same as `forward` for a memory that was remembered."""
        checks.sequence(query, self.query_features)
        scores = self._scores(query, memory.keys).masked_fill(~memory.valid[:, None], -torch.inf)
        # the softmax of nothing: any finite row, then zeros
        empty = ~memory.valid.any(1)[:, None, None]
        weights = scores.masked_fill(empty, 0.0).softmax(2).masked_fill(empty, 0.0)
        # what is looked at with next to no weight would give denormal gradients, a CPU's slowest numbers
        weights = torch.where(weights > NEGLIGIBLE, weights, 0.0)
        return torch.bmm(weights, memory.values), weights

    def extra_repr(self) -> str:
        return f"{self.score!r}, {self.query_features}, {self.memory_features}"

    def _scores(self, query: Tensor, keys: Tensor) -> Tensor:
        if self.score == "additive":
            both = self.query(query)[:, :, None] + keys[:, None]  # (B, T, S, hidden)
            return torch.tanh(both) @ self.vector
        return torch.bmm(query, keys.transpose(1, 2))


class Memory:
    """values (B, S, M), zeros past each length; keys (B, S, …); valid (B, S) bool."""

    def __init__(self, values: Tensor, keys: Tensor, valid: Tensor) -> None:
        self.values, self.keys, self.valid = values, keys, valid
