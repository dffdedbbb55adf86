"""How good translations are, on running text, by sacrebleu (Post 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from unspool.decoding.beam import BeamOptions
from unspool.predictors.translator import TranslatorPredictor
from unspool.text.batching import sorted_batches


def measure(
    predictor: TranslatorPredictor,
    sources: Sequence[str],
    targets: Sequence[str],
    options: BeamOptions | None = None,
) -> dict[str, Any]:
    """Every figure of a model on pairs.

    bleu, chrf: of the translations against the targets, 0 to 100, both lower-cased when the model writes lower case;
    signature, chrf_signature: what exactly was computed, in sacrebleu's words. token_accuracy: share of target
    tokens, the end among them, that the model would choose after the true ones before. examples: pairs.
    seen_in_training: sources that the model was trained on. beams: of the search.
    """
    options = options or BeamOptions()
    answers = [found[0].text for found in predictor.translate(sources, options)]
    lowercase = bool(predictor.settings.lowercase)
    bleu, chrf = BLEU(lowercase=lowercase), CHRF(lowercase=lowercase)
    references = [list(targets)]
    return {
        "bleu": bleu.corpus_score(answers, references).score,
        "chrf": chrf.corpus_score(answers, references).score,
        "signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
        "token_accuracy": token_accuracy(predictor, sources, targets),
        "examples": len(sources),
        "seen_in_training": predictor.count_seen(sources),
        "beams": options.beams,
    }


@torch.inference_mode()
def token_accuracy(predictor: TranslatorPredictor, sources: Sequence[str], targets: Sequence[str]) -> float:
    """Share of right next tokens, 0 to 1, of targets cut to the model's `max_length`; padding is never counted."""
    pairs = predictor.encode_pairs(sources, targets)
    right = total = 0
    for rows in sorted_batches(pairs.target.lengths, 64):
        chosen, truth = predictor.network.next_tokens(pairs.batch(rows))
        right += int((chosen == truth).sum())
        total += len(truth)
    return right / max(1, total)


def evaluation_lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    yield f"BLEU               {figures['bleu']:.2f}  ({figures['signature']})"
    yield f"chrF               {figures['chrf']:.2f}  ({figures['chrf_signature']})"
    yield f"token accuracy     {figures['token_accuracy']:.4f}"
    yield f"examples           {figures['examples']:,}"
    if figures["seen_in_training"]:
        share = figures["seen_in_training"] / figures["examples"]
        yield f"seen in training   {figures['seen_in_training']:,} of these sources ({share:.1%}): the figures flatter"
