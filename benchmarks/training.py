"""Training on real text: `python -m benchmarks.training DATA [--json] [--batches N] [--whole]`.

DATA holds labelled texts, as `unspool train` reads them (the figures in docs/benchmarks.md are those of IMDB).
The first rows: forward and all gradients of an embedding of 20,000 words and an LSTM, E 100, H 100, on batches of 64
texts cut at 500 words and bucketed by length, beside torch's layer on the padded and on the packed batch; ms are those
of one batch. With --whole: `unspool train DATA` as a user runs it, beside the same with torch's layers
(UNSPOOL_ISA=off), in ms; this takes minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks import isa
from benchmarks.layers import show
from benchmarks.timing import Run, alternate, peak_gflops
from unspool import nn as ours
from unspool.text.batching import batches, pad
from unspool.text.readers import read_labelled
from unspool.text.tokenizers import train_tokenizer

WORDS, WIDTH, HIDDEN, STEPS = 20_000, 100, 100, 500
Batch = tuple[torch.Tensor, torch.Tensor]  # ids (B, T), lengths (B,)


def real_batches(path: Path, count: int) -> list[Batch]:
    """The first `count` batches of an epoch."""
    texts = read_labelled(path).texts
    tokenizer = train_tokenizer("word", texts, max_size=WORDS)
    ragged = tokenizer.encode_all(texts).truncate(STEPS)
    order = batches(ragged.lengths, 64, seed=0, epoch=0)[:count]
    return [tuple(torch.from_numpy(part) for part in pad(ragged, rows)) for rows in order]  # type: ignore[misc]


def over(data: list[Batch], embedding: nn.Module, layer: nn.Module, call: Callable[..., torch.Tensor]) -> Run:
    """A run over all batches: forward, and the gradients of every weight."""

    def run() -> None:
        for ids, lengths in data:
            for parameter in (*embedding.parameters(), *layer.parameters()):
                parameter.grad = None
            y = call(ids, lengths)
            y.backward(torch.ones(()).expand_as(y))

    return run


def token_rows(data: list[Batch], seconds: float) -> Iterator[dict[str, object]]:
    """Ours on token ids beside torch's padded and packed batch."""
    embedding, layer = ours.Embedding(WORDS, WIDTH, sparse=True), ours.LSTM(WIDTH, HIDDEN, batch_first=True)
    table, theirs = nn.Embedding(WORDS, WIDTH, padding_idx=0), nn.LSTM(WIDTH, HIDDEN, batch_first=True)

    def packed(ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        given = pack_padded_sequence(table(ids), lengths.clamp_min(1), batch_first=True, enforce_sorted=False)
        return theirs(given)[0].data  # type: ignore[no-any-return]

    mine = over(data, embedding, layer, lambda ids, lengths: layer.over_tokens(ids, embedding, lengths=lengths)[0])
    tokens = sum(int(lengths.sum()) for _, lengths in data)
    gflop = 3 * tokens * 2 * 4 * HIDDEN * (WIDTH + HIDDEN) / 1e9
    for name, call in (("torch padded", lambda ids, _: theirs(table(ids))[0]), ("torch packed", packed)):
        times = alternate({"ours": mine, "other": over(data, table, theirs, call)}, seconds=seconds, least=2)
        gflops = gflop / times["ours"] * 1000
        yield row(f"tokens lstm train B64 T<={STEPS} V{WORDS} E{WIDTH} H{HIDDEN}", name, times, gflops, len(data))


def row(case: str, other: str, times: dict[str, float], gflops: float | None, runs: int) -> dict[str, object]:
    """One line of the table; `runs` batches were measured together."""
    return {
        "case": case,
        "ours_ms": round(times["ours"] / runs, 3),
        "other": other,
        "other_ms": round(times["other"] / runs, 3),
        "ratio": round(times["other"] / times["ours"], 3),
        "gflops": None if gflops is None else round(gflops, 1),
        "share_of_peak": None if gflops is None else round(gflops / peak_gflops(), 3),
    }


def whole_run(path: Path) -> dict[str, object]:
    """`unspool train` twice, ours and torch's layers; the case names both validation accuracies."""
    times, accuracies = {}, {}
    for side, forced in (("ours", os.environ.get("UNSPOOL_ISA", "")), ("other", "off")):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            command = [sys.executable, "-m", "unspool", "train", str(path), "--out", f"{folder}/model"]
            environment = {**os.environ, "UNSPOOL_ISA": forced}
            told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            times[side] = 1000 * (time.perf_counter() - started)
        found = re.findall(r"accuracy\D*(0?\.\d+)", told.stdout + told.stderr)
        accuracies[side] = found[-1] if found else "?"
    case = f"unspool train {path.name} (accuracy {accuracies['ours']}, other {accuracies['other']})"
    return row(case, "UNSPOOL_ISA=off", times, None, 1)


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="labelled texts")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--batches", type=int, default=8, help="how many batches of the epoch to run over")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each side of a case")
    parser.add_argument("--whole", action="store_true", help="whole runs of `unspool train`, too")
    isa.add_option(parser)
    options = parser.parse_args()
    isa.hold(options.isa)
    show(token_rows(real_batches(options.data, options.batches), options.seconds), options.json)
    if options.whole:
        show(iter([whole_run(options.data)]), options.json)


if __name__ == "__main__":
    main()
