"""What a language model's folder tells: card.json for programs, README.md for people."""

from __future__ import annotations

from typing import Any

from unspool.errors import plural, shorten
from unspool.tasks.card import card
from unspool.tasks.generate.fitting import Outcome, Prepared


def make_card(name: str, fingerprint: str | None, prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Data, figures and versions as plain JSON values; nothing of the text itself."""
    counts = {
        "training_characters": prepared.documents.characters,
        "validation_characters": prepared.validation.characters,
        "labels": list(prepared.encoder.labels),
    }
    novelty = {name: outcome.novelty[name] for name in ("tokens", "seen_8grams", "longest_run")}
    return card(name, fingerprint, counts, outcome) | {"baseline": outcome.baseline, "novelty": novelty}


def make_readme(name: str, told: dict[str, Any]) -> str:
    """The model card for people, in Markdown."""
    data, figures, baseline, novelty = told["data"], told["validation"], told["baseline"], told["novelty"]
    return f"""# {shorten(name, 60)}

A language model trained with unspool {told["versions"]["unspool"]}.

- data: `{shorten(data["name"], 60)}`, {data["training_characters"]:,} characters
- validation: {figures["nats_per_token"]:.4f} nats a token, perplexity {figures["perplexity"]:.2f},
  {figures["bits_per_byte"]:.4f} bits a byte, on {figures["tokens"]:,} tokens held out from training
- {baseline["model"]} on the same text: {baseline["nats_per_token"]:.4f} nats a token
- of a sample of {novelty["tokens"]:,} tokens, {novelty["seen_8grams"]:.0%} of the 8-grams stand in the training text;
  the longest run that does has {novelty["longest_run"]} tokens
- {told["parameters"]:,} parameters, {plural(told["epochs"], "lap")}, {told["seconds"]} s

The validation text chose the weights that are kept, so the figure is a little optimistic; measure on text of your own
with `unspool evaluate`.
"""
