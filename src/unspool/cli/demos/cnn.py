"""`unspool demo cnn`: the lecture's second half, CNNs beside an LSTM on 20 Newsgroups."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from unspool.cli.demos.common import Row, find_data, our_recipe, table
from unspool.cli.output import result

NETWORKS: tuple[tuple[str, dict[str, Any], tuple[float, float] | None, int], ...] = (
    ("lstm", {"model": "lstm"}, (0.691, 71 * 60.0), 4),
    ("three times conv + pool", {"model": "stacked-cnn"}, (0.838, 52 * 60.0), 2),
    ("region CNN", {"model": "cnn"}, None, 2),
    ("CNN, mean + variance", {"model": "cnn", "pooling": "mean+variance"}, None, 2),
)
"""Name, what differs from the recipe, the lecture's accuracy and seconds, and the network's part of the time."""


def cnn(*, data: str = "newsgroups", vectors: Path | None = None, minutes: float = 9.5, seed: int = 0) -> None:
    """An LSTM, three times convolution and pooling, several region sizes, and mean + variance pooling, side by side.

    As in the lecture: a random 80 % of the training part of 20 Newsgroups, the accuracy on the rest. The lecture froze
    GloVe vectors of 1,000 words; here all words are read, and vectors are a start, where --vectors gives them.

    Parameters
    ----------
    data
        Labelled texts: a file, a folder, or the name of a corpus.
    vectors
        Pretrained word vectors, GloVe or word2vec text format (also .gz).
    minutes
        Most wall time in all; the LSTM, which learns slowest, may take two fifths of it.
    seed
        Seed of everything random.
    """
    started = time.monotonic()
    texts = find_data(data)
    rows: list[Row] = []
    for place, (name, given, lecture, part) in enumerate(NETWORKS):
        left = minutes - (time.monotonic() - started) / 60
        share = max(0.05, left * part / sum(parts for *_, parts in NETWORKS[place:]))
        known = rows[0].baseline if rows else None
        asked = {**given, "seed": seed}
        rows.append(our_recipe(asked, texts, share, name=name, lecture=lecture, vectors=vectors, baseline=known))
    table(rows)
    result(f"whole run {time.monotonic() - started:.0f} s; the lecture's LSTM and CNN took two hours")
