"""What a translator's folder tells about it: card.json for programs, README.md for people."""

from __future__ import annotations

from typing import Any

from unspool.errors import plural, shorten
from unspool.tasks.card import card
from unspool.tasks.translate.fitting import Outcome, Prepared


def make_card(name: str, fingerprint: str | None, prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Data, figures and versions as plain JSON values; file names without their folders."""
    counts = {"training": len(prepared.train), "validation": len(prepared.validation)}
    return card(name, fingerprint, counts, outcome)


def make_readme(name: str, told: dict[str, Any]) -> str:
    """The model card for people, in Markdown."""
    data, figures = told["data"], told["validation"]
    return f"""# {shorten(name, 60)}

A translator trained with unspool {told["versions"]["unspool"]}.

- data: `{shorten(data["name"], 60)}`, {data["training"]:,} pairs trained on
- validation: BLEU {figures["bleu"]:.2f} ({figures["signature"]}), chrF {figures["chrf"]:.2f}, token accuracy
  {figures["token_accuracy"]:.4f}, on {figures["examples"]:,} pairs whose sources were held out from training
- {told["parameters"]:,} parameters, {plural(told["epochs"], "epoch")}, {told["seconds"]} s

The validation pairs chose the epoch whose weights are kept, so the figures are a little optimistic; measure on pairs
of your own with `unspool evaluate`.
"""
