"""The next token: a corpus to a language model that goes on where a prompt ends."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from unspool.errors import DataError, SettingError, shorten
from unspool.predictors import GeneratorPredictor
from unspool.tasks import start as starts
from unspool.tasks.base import Input, Notice, Request
from unspool.tasks.generate import fitting
from unspool.tasks.generate.card import make_card, make_readme
from unspool.tasks.generate.fitting import Outcome, Prepared, fit, network_bytes, untrained
from unspool.tasks.generate.show import evaluation_lines, summary, summary_lines
from unspool.text.levels import detect_level
from unspool.text.readers import Documents, ReadOptions, read_documents
from unspool.text.readers.encoding import survey
from unspool.text.readers.labelled import detect_format
from unspool.text.readers.source import is_folder, open_source
from unspool.text.streams import Tokens, bytes_of
from unspool.text.tokenizers import DEFAULTS
from unspool.training import language

__all__ = [
    "Outcome", "Prepared", "answer", "answer_line", "evaluate", "evaluation_lines", "facts", "fit",
    "make_card", "make_readme", "network_bytes", "prepare", "read", "read_as_classifier", "recognises", "summary",
    "summary_lines", "untrained",
]  # fmt: skip

SAMPLE = 5000  # lines by which the level is found


def recognises(paths: Sequence[Path], options: ReadOptions) -> str | None:
    """Text in which no labels are to be found."""
    if options.format == "text":
        return "texts without labels"
    if len(paths) != 1 or options != ReadOptions(encoding=options.encoding) or is_folder(paths[0]):
        return None
    try:
        _format(paths[0], options)
    except DataError as error:
        return "running text, no labels in it" if "no labels were found" in str(error) else None
    return None


def read(request: Request) -> Input[Documents]:
    """The documents of all files, one after the other."""
    if request.vectors is not None:
        raise SettingError("--vectors has no effect on the task 'generate': leave it out")
    validation = read_documents(request.validation, request.read) if request.validation else None
    data = _together(request.paths, request.read)
    if data.labelling is not None and not request.unlabelled:
        hint = f"(--label-column {shlex.quote(shorten(data.labelling, 40))}: write by label)"
        data = replace(data, notes=(f"{data.notes[0]} {hint}", *data.notes[1:]))
    return Input(data, validation)


def read_as_classifier(
    paths: Sequence[Path], options: ReadOptions, given: Mapping[str, Any], notice: Notice
) -> dict[str, Any]:
    """level and lowercase with which a classifier would read these texts, as far as they are not given.

    Labels that would be read as text are told.
    """
    if len(paths) == 1 and options.format is None and not is_folder(paths[0]):
        with suppress(DataError):  # no labels: as it should be
            if (kind := _format(paths[0], options)) in ("lines", "fasttext"):
                notice(f"labels     lines seem to begin with one, which is read as text: --format {kind} parts them")
    level = given.get("level")
    if level is None:
        lines = (line for piece in _together(paths, options).pieces() for line in piece.text.splitlines())
        level, reason = detect_level(list(islice(filter(str.strip, lines), SAMPLE)))
        notice(f"level      {level}: {reason} (--level word|token|char|byte|bpe)")
    usual = DEFAULTS.get(str(level))
    return {"level": level, **({"lowercase": usual.lowercase} if usual else {})}


def prepare(found: Input[Documents], request: Request, notice: Notice) -> Prepared:
    """See `fitting.prepare`."""
    start = starts.load(request.start, "generate") if request.start else None
    return fitting.prepare(found.data, request.given, validation=found.validation, start=start, notice=notice)


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
    return fitting.figures_of(predictor, tokens, spans, bytes_of(documents))


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


def _format(path: Path, options: ReadOptions) -> str | None:
    """The format of a file with labels, None when it is empty; DataError when it has no labels."""
    with open_source(path) as source:
        found = survey(source, options.encoding)
        return None if found.empty else detect_format(source, found, options)


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
