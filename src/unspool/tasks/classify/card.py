"""What a model folder tells about its model: card.json for programs, README.md for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from unspool.errors import plural, shorten
from unspool.tasks.card import card
from unspool.tasks.classify.fitting import Outcome, Prepared


def make_card(name: str, fingerprint: str | None, prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Data, figures and versions as plain JSON values; file names without their folders."""
    truth = np.concatenate([prepared.train.truth, prepared.validation.truth])
    per_label = np.bincount(truth, minlength=len(prepared.labels))
    counts = {
        "texts": len(truth),
        "labels": {label: int(count) for label, count in zip(prepared.labels, per_label, strict=True)},
        "training": len(prepared.train.texts),
        "validation": len(prepared.validation.texts),
    }
    return card(name, fingerprint, counts, outcome) | {"baseline": outcome.baseline}


def make_readme(name: str, told: dict[str, Any]) -> str:
    """The model card for people, in Markdown."""
    data, figures, baseline = told["data"], told["validation"], told["baseline"]
    low, high = figures["accuracy_interval"]
    return f"""# {shorten(name, 60)}

A text classifier trained with unspool {told["versions"]["unspool"]}.

- data: `{shorten(data["name"], 60)}`, {data["texts"]:,} texts, {len(data["labels"])} labels
- validation: accuracy {figures["accuracy"]:.4f} (95 % interval {low:.4f} to {high:.4f}), macro F1
  {figures["macro_f1"]:.4f}, log loss {figures["log_loss"]:.4f}, on {figures["examples"]:,} texts held out from training
- linear baseline on the same texts: accuracy {baseline["accuracy"]:.4f}
- {told["parameters"]:,} parameters, {plural(told["epochs"], "epoch")}, {told["seconds"]} s

The validation texts chose the epoch whose weights are kept, so the figure is a little optimistic; measure on texts of
your own with `unspool evaluate`.
"""
