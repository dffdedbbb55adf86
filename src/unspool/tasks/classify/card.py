"""What a model folder tells about its model: card.json for programs, README.md for people."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import torch

from unspool._version import __version__
from unspool.errors import shorten
from unspool.tasks.classify.fitting import Outcome, Prepared


def make_card(name: str, fingerprint: str | None, prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Data, figures and versions as plain JSON values; file names without their folders."""
    truth = np.concatenate([prepared.train.truth, prepared.validation.truth])
    counts = np.bincount(truth, minlength=len(prepared.labels))
    return {
        "data": {
            "name": shorten(name, 255),  # a file name may hold bytes that are not text
            "fingerprint": fingerprint,
            "texts": len(truth),
            "labels": {label: int(count) for label, count in zip(prepared.labels, counts, strict=True)},
            "training": len(prepared.train.texts),
            "validation": len(prepared.validation.texts),
        },
        "validation": outcome.validation,
        "baseline": outcome.baseline,
        "epochs": outcome.epochs,
        "seconds": round(outcome.seconds, 1),
        "parameters": outcome.predictor.parameters(),
        "versions": {"unspool": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def make_readme(name: str, card: dict[str, Any]) -> str:
    """The model card for people, in Markdown."""
    data, figures, baseline = card["data"], card["validation"], card["baseline"]
    low, high = figures["accuracy_interval"]
    return f"""# {shorten(name, 60)}

A text classifier trained with unspool {card["versions"]["unspool"]}.

- data: `{shorten(data["name"], 60)}`, {data["texts"]:,} texts, {len(data["labels"])} labels
- validation: accuracy {figures["accuracy"]:.4f} (95 % interval {low:.4f} to {high:.4f}), macro F1
  {figures["macro_f1"]:.4f}, log loss {figures["log_loss"]:.4f}, on {figures["examples"]:,} texts held out from training
- linear baseline on the same texts: accuracy {baseline["accuracy"]:.4f}
- {card["parameters"]:,} parameters, {card["epochs"]} epochs, {card["seconds"]} s

The validation texts chose the epoch whose weights are kept, so the figure is a little optimistic; measure on texts of
your own with `unspool evaluate`.
"""
