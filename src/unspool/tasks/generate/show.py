"""A language model's figures, for `--json` and for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unspool.tasks.generate.fitting import Outcome


def summary(outcome: Outcome) -> dict[str, Any]:
    """The network's figures, the n-gram model's, and how new a sample is."""
    return {
        "validation": outcome.validation,
        "baseline": outcome.baseline,
        "better_than_baseline": outcome.beats_baseline,
        "novelty": outcome.novelty,
        "sample": outcome.sample,
    }


def summary_lines(outcome: Outcome) -> Iterator[str]:
    """The same in one line each, without the sample."""
    yield f"validation {_figures(outcome.validation)}"
    yield f"baseline   {outcome.baseline['model']}: {outcome.baseline['nats_per_token']:.4f} nats a token"
    if outcome.epochs and not outcome.beats_baseline:
        yield "note       the network is not better than the n-gram model here"
    found = outcome.novelty
    yield (
        f"novelty    {found['seen_8grams']:.0%} of the 8-grams of a sample of {found['tokens']:,} tokens stand in the "
        f"training text; longest run copied: {found['longest_run']} tokens"
    )


def evaluation_lines(figures: dict[str, Any]) -> Iterator[str]:
    """All of `evaluate`'s figures."""
    yield f"nats per token     {figures['nats_per_token']:.4f}"
    yield f"perplexity         {figures['perplexity']:.4f}"
    yield f"bits per byte      {figures['bits_per_byte']:.4f}"
    yield f"tokens             {figures['tokens']:,}"
    yield f"unknown tokens     {figures['unknown_rate']:.2%}"


def _figures(figures: dict[str, Any]) -> str:
    return (
        f"{figures['nats_per_token']:.4f} nats a token  perplexity {figures['perplexity']:.2f}  "
        f"{figures['bits_per_byte']:.4f} bits a byte  {figures['tokens']:,} tokens"
    )
