"""The translator's speed: `python -m benchmarks.translation SOURCE TARGET [--model MODEL] [--json] [--seconds S]`.

SOURCE and TARGET are aligned files. One training step (forward, backward, update) of the recipe, in turns as it is,
with torch's recurrent layers in place of the compiled core, and with torch's output layer and cross-entropy as well;
ratio = other_ms / ours_ms. With a model: sentences translated a second, greedy and with five beams.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch.nn import functional

from benchmarks.timing import Run, alternate
from unspool import predictors
from unspool.decoding.beam import BeamOptions
from unspool.models import translator
from unspool.ops.cross_entropy import linear_cross_entropy
from unspool.predictors import TranslatorPredictor
from unspool.tasks import Request
from unspool.tasks import translate as task
from unspool.tasks.translate import fitting
from unspool.text.readers import read_texts
from unspool.training import optim

SENTENCES = 500


def plain_cross_entropy(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """What `ops.cross_entropy.linear_cross_entropy` computes, by torch."""
    logits = functional.linear(x, weight, bias)
    return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def training(source: Path, target: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Milliseconds of a step, ours and others', and the target tokens a second of ours."""
    request = Request(source, {"task": "translate"}, more=(target,))
    prepared = task.prepare(task.read(request), request, lambda _: None)
    network = fitting.make_network(prepared)
    optimizer = optim.make_optimizer(network, prepared.settings)
    order, tokens = prepared.data.order(0), list[int]()

    def run(isa: str, cross_entropy: Callable[..., torch.Tensor]) -> Run:
        place = count()  # each side takes the same batches in the same order

        def step() -> None:
            batch = prepared.data.batch(order[next(place) % len(order)])
            tokens.append(int(batch.target_lengths.sum()))
            output = mock.patch.object(translator, "linear_cross_entropy", cross_entropy)
            with mock.patch.dict(os.environ, {"UNSPOOL_ISA": isa}), output:
                optimizer.zero_grad(set_to_none=True)
                network.loss(batch).backward()  # type: ignore[no-untyped-call]
            optim.clip(network.parameters(), prepared.settings.clip)
            optimizer.step()

        return step

    runs = {
        "ours": run(os.environ.get("UNSPOOL_ISA", ""), linear_cross_entropy),
        "torch layers": run("off", linear_cross_entropy),
        "torch layers and output": run("off", plain_cross_entropy),
    }
    times = alternate(runs, seconds, least=10)
    for other in ("torch layers", "torch layers and output"):
        yield {
            "case": "train",
            "ours_ms": round(times["ours"], 1),
            "other": other,
            "other_ms": round(times[other], 1),
            "ratio": round(times[other] / times["ours"], 3),
            "target_tokens_per_second": round(1000 * sum(tokens) / len(tokens) / times["ours"]),
        }


def decoding(model: Path, source: Path) -> Iterator[dict[str, Any]]:
    """Sentences a second; the median of three passes over the same sentences."""
    loaded = predictors.load(model)
    if not isinstance(loaded, TranslatorPredictor):
        raise SystemExit(f"{model} is no translator")
    texts = list(read_texts(source).texts[:SENTENCES])
    for beams in (1, 5):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            loaded.translate(texts, BeamOptions(beams))
            times.append(time.perf_counter() - start)
        yield {"case": "translate", "beams": beams, "sentences_per_second": round(len(texts) / median(times), 1)}


def main() -> None:
    """Print a table, or with --json one object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="file of source sentences, one a line")
    parser.add_argument("target", type=Path, help="file of their translations")
    parser.add_argument("--model", type=Path, help="a translator, to measure its answers")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each side of the training step")
    options = parser.parse_args()
    for row in training(options.source, options.target, options.seconds):
        show(row, options.json)
    if options.model is not None:
        for row in decoding(options.model, options.source):
            show(row, options.json)


def show(row: dict[str, Any], as_json: bool) -> None:
    """One row of the figures."""
    line = json.dumps(row) if as_json else "  ".join(f"{name} {value}" for name, value in row.items())
    print(line, flush=True)


if __name__ == "__main__":
    main()
