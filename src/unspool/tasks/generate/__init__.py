"""The next token: a corpus to a language model that goes on where a prompt ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from unspool.errors import DataError, SettingError
from unspool.predictors import GeneratorPredictor
from unspool.tasks.base import Input, Notice, Request
from unspool.tasks.generate import fitting
from unspool.tasks.generate.card import make_card, make_readme
from unspool.tasks.generate.fitting import Outcome, Prepared, fit, network_bytes, untrained
from unspool.tasks.generate.show import evaluation_lines, summary, summary_lines
from unspool.text.readers import Documents, ReadOptions, read_documents
from unspool.text.readers.encoding import survey
from unspool.text.readers.labelled import detect_format
from unspool.text.readers.source import is_folder, open_source
from unspool.text.streams import Tokens
from unspool.training import language

__all__ = [
    "Outcome", "Prepared", "answer", "answer_line", "evaluate", "evaluation_lines", "facts", "fit",
    "make_card", "make_readme", "network_bytes", "prepare", "read", "recognises", "summary", "summary_lines",
    "untrained",
]  # fmt: skip


def recognises(paths: Sequence[Path], options: ReadOptions) -> str | None:
    """Text in which no labels are to be found."""
    if options.format == "text":
        return "texts without labels"
    if len(paths) != 1 or options != ReadOptions(encoding=options.encoding) or is_folder(paths[0]):
        return None
    with open_source(paths[0]) as source:
        try:
            found = survey(source, options.encoding)
            if not found.empty:
                detect_format(source, found, options)
        except DataError as error:
            return "running text, no labels in it" if "no labels were found" in str(error) else None
    return None


def read(request: Request) -> Input[Documents]:
    """The documents of all files, one after the other."""
    if request.vectors is not None:
        raise SettingError("--vectors has no effect on the task 'generate': leave it out")
    validation = read_documents(request.validation, request.read) if request.validation else None
    return Input(_together(request.paths, request.read), validation)


def prepare(found: Input[Documents], request: Request, notice: Notice) -> Prepared:
    """See `fitting.prepare`."""
    return fitting.prepare(found.data, request.given, validation=found.validation, notice=notice)


def facts(prepared: Prepared) -> dict[str, Any]:
    """The labels."""
    return {"labels": list(prepared.encoder.labels)}


def evaluate(
    predictor: GeneratorPredictor, paths: Sequence[Path], options: ReadOptions, notice: Notice
) -> dict[str, Any]:
    """nats_per_token, bits_per_byte, perplexity, tokens, unknown_rate of a text."""
    documents = _together(paths, options)
    for line in documents.notes:
        notice(f"read       {line}")
    if not documents.characters:
        raise DataError("there is no text to measure: the file is empty")
    encoder = predictor.encoder
    end = [] if documents.running else [np.zeros(1, np.int32)]
    tokens = Tokens.collect(chain(encoder.stream(documents.pieces()), end), encoder.kind)
    running = documents.running
    spans = language.running_spans(len(tokens)) if running else language.document_spans(tokens, encoder.tokenizer.size)
    return fitting.figures_of(predictor, documents, tokens, spans)


def answer(predictor: GeneratorPredictor, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The tokens of each text with their surprise in nats, and the mean."""
    for found in predictor.surprises(texts):
        mean = sum(found.nats) / len(found.nats) if found.nats else None
        yield {"tokens": found.tokens, "nats": [round(value, 4) for value in found.nats], "nats_per_token": mean}


def answer_line(answer: dict[str, Any]) -> str:
    """The mean, then every token with its surprise."""
    mean = "-" if answer["nats_per_token"] is None else f"{answer['nats_per_token']:.4f}"
    pairs = zip(answer["tokens"], answer["nats"], strict=True)
    return "\t".join([mean, " ".join(f"{token}:{nats:.2f}" for token, nats in pairs)])


def _together(paths: Sequence[Path], options: ReadOptions) -> Documents:
    """Several files as one row of documents."""
    found = [read_documents(path, options) for path in paths]
    if len(found) == 1:
        return found[0]
    if len({part.running for part in found}) > 1:
        raise DataError("running text and tables cannot be read together: give files of one kind")
    return Documents(
        lambda: chain.from_iterable(part.pieces() for part in found),
        found[0].running,
        sum(part.characters for part in found),
        tuple(sorted({label for part in found for label in part.labels})),
        tuple(dict.fromkeys(note for part in found for note in part.notes)),
        "-".join(part.fingerprint for part in found),
    )
