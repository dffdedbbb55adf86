"""`unspool predict MODEL`: one answer a line, in order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unspool.cli.options import ReadFlags
from unspool.cli.output import note, result, result_json, shown
from unspool.errors import UsageError


def predict(
    model: Path,
    *texts: str,
    input: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,  # "-" is a value
    json: bool = False,
    read: ReadFlags | None = None,
) -> None:
    """Answer each text in one line, in order: a classifier with the label and its probability.

    Parameters
    ----------
    model
        A model folder, or the folder of a finished run.
    texts
        The texts; without any, --input or standard input is read.
    input
        File with one text a line, or a table; - is standard input.
    json
        One JSON object a line, with all there is to tell: of a classifier, the probabilities of all labels.
    """
    from unspool import predictors
    from unspool.tasks import TASKS
    from unspool.text.readers import ReadOptions, read_texts

    if texts and input is not None:
        raise UsageError("give texts or --input, not both")
    options = (read or ReadFlags()).options()
    if texts and options != ReadOptions():
        raise UsageError("the flags for reading have no effect on texts given as arguments: leave them out")
    if not texts and input is None and sys.stdin.isatty():
        raise UsageError("there is nothing to answer: give texts, or a file with --input")
    loaded = predictors.load(model)
    task = TASKS[loaded.task]
    asked = list(texts)
    if not texts:
        found = read_texts("-" if input is None else input, options)
        asked = found.texts
        for line in found.notes:
            note(f"read       {line}")
    for answer in task.answer(loaded, asked):
        if json:
            result_json(answer)
        else:
            result("\t".join(shown(part) for part in task.answer_line(answer).split("\t")))
