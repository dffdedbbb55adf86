"""The pass that predicts: rows in order, blocks of bounded size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from unspool.text.batching import MOST_POSITIONS, Ragged, offsets_of
from unspool.training.classification import predict


class Watched(nn.Module):
    """Answers with the first id and the length; remembers how large the blocks were."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[int] = []

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        self.blocks.append(ids.numel())
        first = ids[:, :1].sum(dim=1)
        return torch.stack([torch.zeros(len(ids)), first / 1000, lengths / 1000], dim=1)


def ragged(lengths: list[int]) -> Ragged:
    firsts = np.concatenate([np.full(length, row % 50, np.int32) for row, length in enumerate(lengths)])
    return Ragged(firsts, offsets_of(np.array(lengths)))


def test_answers_keep_the_order_of_the_texts() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 500).tolist()
    found = predict(Watched(), ragged(lengths))
    logits = np.stack([np.zeros(500), np.arange(500) % 50 / 1000, np.array(lengths) / 1000], axis=1)
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_many_texts_and_a_long_one_make_no_giant_block() -> None:
    lengths = [3] * 1000 + [10_000] * 100 + [MOST_POSITIONS + 5, 1]
    watched = Watched()
    predict(watched, ragged(lengths))
    assert max(watched.blocks) == MOST_POSITIONS + 5  # one text alone
    assert sorted(watched.blocks)[-2] <= MOST_POSITIONS
    assert len(watched.blocks) < 40


def test_nothing_gives_nothing() -> None:
    assert predict(Watched(), Ragged(np.empty(0, np.int32), np.zeros(1, np.int64))).shape[0] == 0
