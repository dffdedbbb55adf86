"""Cross-validated accuracy of a model beside the linear baseline's, on the same folds.

    python -m benchmarks.folds FILE [--folds 10] [--only 0,1,2] [--vectors FILE] [--set name=value ...] [--json]

Each fold's training part holds out its own validation texts to choose the epoch; the fold itself is only scored.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from unspool.models import bow
from unspool.tasks.classify import fitting
from unspool.text.readers import read_labelled
from unspool.text.splitting import folds


def main() -> None:
    arguments = _arguments()
    data = read_labelled(arguments.file)
    given = dict(pair.split("=", 1) for pair in arguments.set)
    pairs = folds(data.texts, data.labels, arguments.folds, 0)
    chosen = [int(k) for k in arguments.only.split(",")] if arguments.only else range(arguments.folds)
    rows = [_fold(data, *pairs[k], given, arguments.vectors, k) for k in chosen]
    for key in ("accuracy", "baseline"):
        values = [row[key] for row in rows]
        print(f"{key:9} mean {np.mean(values):.4f}  sd {np.std(values, ddof=min(1, len(values) - 1)):.4f}")
    print(f"seconds   {sum(row['seconds'] for row in rows):.0f}   settings {given}", flush=True)
    if arguments.json:
        print(json.dumps(rows))


def _fold(data, train, test, given, vectors, k):  # type: ignore[no-untyped-def]
    started = time.monotonic()
    texts, labels = [data.texts[i] for i in train], [data.labels[i] for i in train]
    prepared = fitting.prepare(texts, labels, given, vectors=vectors)
    outcome = fitting.fit(prepared)
    names = {label: i for i, label in enumerate(prepared.labels)}
    asked = [data.texts[i] for i in test]
    truth = np.array([names[data.labels[i]] for i in test])
    linear = bow.fit(texts, np.array([names[label] for label in labels]), len(names))
    row = {
        "fold": k,
        "accuracy": float((outcome.predictor.log_probabilities(asked).argmax(1) == truth).mean()),
        "baseline": float((linear.log_probabilities(asked).argmax(1) == truth).mean()),
        "validation": outcome.validation["accuracy"],
        "epochs": outcome.epochs,
        "seconds": time.monotonic() - started,
    }
    print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
    return row


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
