"""What a translator's folder tells about it: card.json for programs, README.md for people."""

from __future__ import annotations

import platform
from typing import Any

import torch

from unspool._version import __version__
from unspool.errors import shorten
from unspool.tasks.translate.fitting import Outcome, Prepared


def make_card(name: str, fingerprint: str | None, prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Data, figures and versions as plain JSON values; file names without their folders."""
    return {
        "data": {
            "name": shorten(name, 255),
            "fingerprint": fingerprint,
            "training": len(prepared.train),
            "validation": len(prepared.validation),
        },
        "validation": outcome.validation,
        "epochs": outcome.epochs,
        "seconds": round(outcome.seconds, 1),
        "parameters": outcome.predictor.parameters(),
        "versions": {"unspool": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def make_readme(name: str, card: dict[str, Any]) -> str:
    """The model card for people, in Markdown."""
    data, figures = card["data"], card["validation"]
    return f"""# {shorten(name, 60)}

A translator trained with unspool {card["versions"]["unspool"]}.

- data: `{shorten(data["name"], 60)}`, {data["training"]:,} pairs trained on
- validation: BLEU {figures["bleu"]:.2f} ({figures["signature"]}), chrF {figures["chrf"]:.2f}, token accuracy
  {figures["token_accuracy"]:.4f}, on {figures["examples"]:,} pairs whose sources were held out from training
- {card["parameters"]:,} parameters, {card["epochs"]} epochs, {card["seconds"]} s

The validation pairs chose the epoch whose weights are kept, so the figures are a little optimistic; measure on pairs
of your own with `unspool evaluate`.
"""
