"""`unspool tag MODEL`: a tag for each token, one line a text, in order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unspool.cli.options import ReadFlags
from unspool.cli.output import result, result_json, shown
from unspool.cli.predict import asked, check_asked
from unspool.errors import UsageError, shorten


def tag(
    model: Path,
    *texts: str,
    input: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,  # "-" is a value
    split: bool = False,
    json: bool = False,
    read: ReadFlags | None = None,
) -> None:
    """Write token/TAG for each token, one line a text, in order; an empty text is an empty line.

    Parameters
    ----------
    model
        The folder of a tagger, or of its finished run.
    texts
        The texts, their tokens between blanks; without any, --input or standard input is read.
    input
        File with one text a line, or a table; - is standard input.
    split
        Cut the texts into words and punctuation; by default a token is what stands between blanks.
    json
        One JSON object a line: tokens, tags, the probability of each, and the spans.
    """
    from unspool import predictors
    from unspool.tasks.tag import answer
    from unspool.text.readers.conll import cut
    from unspool.text.words import split_words

    check_asked(texts, input, read)
    loaded = predictors.load(model)
    if not isinstance(loaded, predictors.TaggerPredictor):
        raise UsageError(f"{shorten(model, 300)} is a model of the task {loaded.task!r}, not a tagger: unspool predict")
    found = asked(texts, input, read, loaded.task)
    if split:
        found = [" ".join(split_words(text)) for text in found]
    if json:
        for one in answer(loaded, found):
            result_json(one)
        return
    sentences = [cut(text) for text in found]
    for tokens, tags in zip(sentences, loaded.tag(sentences), strict=True):
        result(shown(" ".join(f"{token}/{tag}" for token, tag in zip(tokens, tags, strict=True))))
