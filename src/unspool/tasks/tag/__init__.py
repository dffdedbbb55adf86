"""Many to many, aligned: tagged sentences to a trained tagger, its figures and its yardstick's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unspool.errors import DataError, some
from unspool.predictors import TaggerPredictor
from unspool.tasks import start as starts
from unspool.tasks.base import Input, Notice, Request
from unspool.tasks.tag import fitting
from unspool.tasks.tag.fitting import Outcome, Prepared, Sentences, fit, network_bytes, untrained
from unspool.tasks.tag.show import evaluation_lines, make_card, make_readme, summary, summary_lines
from unspool.text.duplicates import text_hashes
from unspool.text.readers import ReadOptions, TaggedSentences, looks_tagged, read_tagged
from unspool.text.readers.conll import cut
from unspool.text.readers.source import display_name
from unspool.text.spans import find_spans, first_break, in_scheme
from unspool.training import tagging_metrics

__all__ = [
    "Outcome", "Prepared", "answer", "answer_line", "evaluate", "evaluation_lines", "facts", "fit",
    "make_card", "make_readme", "network_bytes", "prepare", "read", "recognises", "summary", "summary_lines",
    "untrained",
]  # fmt: skip


def recognises(paths: Sequence[Path], options: ReadOptions) -> str | None:
    """Names of the formats of tagged tokens, or a token and its tag a line, as the first lines show."""
    return looks_tagged(paths, options)


def read(request: Request) -> Input[TaggedSentences]:
    """Tagged sentences."""
    other = read_tagged([request.validation], request.read) if request.validation else None
    return Input(read_tagged(request.paths, request.read), other)


def prepare(found: Input[TaggedSentences], request: Request, notice: Notice) -> Prepared:
    """See `fitting.prepare`."""
    other = found.validation
    return fitting.prepare(
        Sentences(found.data.tokens, found.data.tags),
        request.given,
        validation=Sentences(other.tokens, other.tags) if other else None,
        vectors=request.vectors,
        start=starts.load(request.start, "tag") if request.start else None,
        notice=notice,
    )


def facts(prepared: Prepared) -> dict[str, Any]:
    """The tags."""
    return {"labels": prepared.labels}


def evaluate(predictor: TaggerPredictor, paths: Sequence[Path], options: ReadOptions, notice: Notice) -> dict[str, Any]:
    """`tagging_metrics.report` on tagged sentences, and besides:

    unseen_tags: tag → tokens, for tags the model cannot answer; they count as wrong.
    seen_in_training: sentences whose hash is among those of the training sentences.
    broken: sentences whose tags break the rules of the scheme; they are read as `conlleval` does.
    unknown_rate: share of words that are not in the vocabulary.

    Spans written in the other scheme than the training data's are written anew in that one, and it is told. Raises
    DataError when the model can answer none of the tags.
    """
    data = read_tagged(paths, options)
    for line in data.notes:
        notice(f"read       {line}")
    scheme = predictor.scheme
    own, truth = in_scheme(data.tags, scheme) if scheme else (None, data.tags)
    if scheme and own not in (None, scheme):
        notice(f"spans      written in {str(own).upper()}, measured in the model's {scheme.upper()}")
    answerable = {tag for label in predictor.labels for tag in _writings(label, scheme)}
    counts = Counter(tag for tags in truth for tag in tags)
    unseen = {tag: count for tag, count in counts.items() if tag not in answerable}
    if len(unseen) == len(counts):
        raise DataError(
            f"{display_name(paths[0])}: the model knows none of its tags, {some(counts)}; it answers "
            f"{some(predictor.labels)}: say which column is the tag with --label-column"
        )
    hashes = text_hashes([" ".join(tokens) for tokens in data.tokens]).astype(np.uint32)
    figures = tagging_metrics.report(truth, predictor.tag(data.tokens), spans=scheme is not None)
    return {
        **figures,
        "unseen_tags": unseen,
        "seen_in_training": int(np.isin(hashes, predictor.seen).sum()),
        "broken": sum(first_break(tags, own or scheme) is not None for tags in data.tags) if scheme else 0,
        "unknown_rate": predictor.encoder.unknown_rate(*predictor.encoder.encode(data.tokens)),
    }


def answer(predictor: TaggerPredictor, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """tokens (what stands between blanks), tags, the probability of each, and the spans where tags write spans."""
    sentences = [cut(text) for text in texts]
    for tokens, (tags, shares) in zip(sentences, predictor.tag_with_confidence(sentences), strict=True):
        found = {"tokens": tokens, "tags": tags, "probabilities": [round(share, 6) for share in shares]}
        if predictor.scheme is not None:
            found["spans"] = [
                {
                    "type": span.kind,
                    "start": span.start,
                    "end": span.end,
                    "text": " ".join(tokens[span.start : span.end]),
                }
                for span in find_spans(tags)
            ]
        yield found


def answer_line(answer: dict[str, Any]) -> str:
    """Token, slash, tag, with blanks between them."""
    return " ".join(f"{token}/{tag}" for token, tag in zip(answer["tokens"], answer["tags"], strict=True))


def _writings(label: str, scheme: str | None) -> tuple[str, ...]:
    """The tags that a learned label can come out as in the data's scheme."""
    if scheme is None or label == "O":
        return (label,)
    prefixes = "BI" if scheme == "bio" else "BIES"
    return tuple(f"{prefix}-{label.partition('-')[2]}" for prefix in prefixes)
