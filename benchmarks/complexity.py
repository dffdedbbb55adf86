"""Predicted against measured time of every model side by side, at shapes the calibration has not seen.

    python -m benchmarks.complexity [--shapes 20] [--seed 0]

The shapes are drawn at random, models in turns; the last line is the median error, as `unspool complexity` makes it.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np

from unspool import config
from unspool.inspection.complexity import timing
from unspool.models.recipes import recipe

MODELS = ("rnn", "gru", "lstm", "cnn", "qrnn", "attention")


def main() -> None:
    arguments = _arguments()
    random = np.random.default_rng(arguments.seed)
    models = [MODELS[k % len(MODELS)] for k in range(arguments.shapes)]
    shapes = [_shape(random) for _ in models]
    networks = [
        timing.build(_settings(model), shape, attention=timing.is_attention(model))
        for model, shape in zip(models, shapes, strict=True)
    ]
    measured = timing.measure_all([(encoder, shape) for (_, encoder), shape in zip(networks, shapes, strict=True)])
    machines = {
        model: timing.calibrate(_settings(model), attention=timing.is_attention(model)) for model in sorted({*models})
    }
    errors: dict[str, list[float]] = {"inference": [], "training": []}
    print(f"{'model':10} {'B':>3} {'T':>4} {'E':>4} {'H':>4}   predicted / measured ms: inference, training")
    for model, shape, (counted, _), seconds in zip(models, shapes, networks, measured, strict=True):
        predicted = machines[model].predict(counted, shape.batch)
        line = f"{model:10} {shape.batch:3} {shape.length:4} {shape.embedding:4} {shape.width:4}"
        for kind, found in errors.items():
            a, b = getattr(predicted, kind), getattr(seconds, kind)
            found.append(abs(a / b - 1))
            line += f"   {1000 * a:8.2f} / {1000 * b:8.2f} ({a / b - 1:+.0%})"
        print(line, flush=True)
    for kind, found in errors.items():
        print(f"median error, {kind}: {statistics.median(found):.1%} over {len(found)} shapes")


def _settings(model: str) -> config.Settings:
    return config.resolve(recipe("lstm" if timing.is_attention(model) else model), {})


def _shape(random: np.random.Generator) -> timing.Shape:
    return timing.Shape(
        int(random.choice([1, 8, 16, 32, 64])),
        int(random.integers(20, 500)),
        int(random.choice([50, 100, 200, 300])),
        int(random.integers(32, 257)),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
