"""`unspool predict MODEL`: one answer a line, in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unspool.cli.options import ReadFlags
from unspool.cli.output import note, result, result_json, shown
from unspool.errors import UsageError, plural


def predict(
    model: Path,
    *texts: str,
    input: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,  # "-" is a value
    json: bool = False,
    read: ReadFlags | None = None,
) -> None:
    """Answer each text in one line, in order: a classifier with the label and its probability, a
    tagger with token/TAG, a translator with the translation.

    A language model answers with the mean surprise of the tokens, then a tab and every token:surprise. The surprise
    of a token is the negative logarithm of its probability after all before it, in nats: 0 for what is certain.

    Parameters
    ----------
    model
        A model folder, or the folder of a finished run.
    texts
        The texts; without any, --input or standard input is read.
    input
        File with one text a line, or a table; - is standard input.
    json
        One JSON object a line, with all there is to tell: of a classifier, the probabilities of all labels; of a
        language model `tokens`, the surprise of each in `nats`, and the mean, `nats_per_token`.
    """
    from unspool import predictors
    from unspool.tasks import TASKS

    check_asked(texts, input, read)
    loaded = predictors.load(model)
    task = TASKS[loaded.task]
    given = asked(texts, input, read, loaded.task)
    if unread := loaded.unread(given):
        note(
            f"note       {unread:,} of {plural(len(given), 'text')} hold nothing that the model knows: it only guesses"
        )
    for answer in task.answer(loaded, given):
        if json:
            result_json(answer)
        else:
            result("\t".join(shown(part) for part in task.answer_line(answer).split("\t")))


def check_asked(texts: Sequence[str], input: str | None, read: ReadFlags | None) -> None:
    """Refuse texts from two places, or from none, before a model is loaded."""
    from unspool.text.readers import ReadOptions

    if texts and input is not None:
        raise UsageError("give texts or --input, not both")
    if texts and (read or ReadFlags()).options() != ReadOptions():
        raise UsageError("the flags for reading have no effect on texts given as arguments: leave them out")
    if not texts and input is None and sys.stdin.isatty():
        raise UsageError("there is nothing to answer: give texts, or a file with --input")


def asked(texts: Sequence[str], input: str | None, read: ReadFlags | None, task: str) -> list[str]:
    """The texts given as arguments, or those of --input or of standard input; what is found out is told.

    task: that of the model; to translate, the source of pairs is read.
    """
    from unspool.text.readers import read_sources, read_texts

    if texts:
        return list(texts)
    reader = read_sources if task == "translate" else read_texts
    found = reader("-" if input is None else input, (read or ReadFlags()).options())
    for line in found.notes:
        note(f"read       {line}")
    return found.texts
