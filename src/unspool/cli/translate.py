"""`unspool translate MODEL`: texts of one language to the other, one line a text, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unspool.cli.options import ReadFlags
from unspool.cli.output import note, result, result_json, shown
from unspool.cli.predict import asked, check_asked
from unspool.errors import UsageError, shorten

if TYPE_CHECKING:
    from unspool.predictors.translator import Translation, TranslatorPredictor


def translate(
    model: Path,
    *texts: str,
    input: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,  # "-" is a value
    beam: int = 5,
    n_best: int = 1,
    length_penalty: float = 1.0,
    coverage_penalty: float = 0.0,
    no_repeat: int = 0,
    dictionary: Path | None = None,
    alignments: bool = False,
    json: bool = False,
    read: ReadFlags | None = None,
) -> None:
    """Translate each text, one line a text, in order; a blank text gives an empty line.

    A text is read up to the --max-length of the training, and it is said how many are longer.

    Parameters
    ----------
    model
        A model folder, or the folder of a finished run.
    texts
        The texts; without any, --input or standard input is read.
    input
        File with one text a line, or a table; - is standard input.
    beam
        Prefixes kept during the search; 1 is greedy and the quickest.
    n_best
        Translations a text, in lines of: number of the text from 1, tab, score, tab, translation.
    length_penalty
        How much longer translations are favoured; 0: not at all.
    coverage_penalty
        How much is lost for source tokens that were not looked at.
    no_repeat
        No sequence of so many tokens comes twice; 0: anything may.
    dictionary
        Table of source words and target words, for unknown words of a word model.
    alignments
        Add a tab and, for each target token, source-target positions from 0.
    json
        One JSON object a translation, with tokens, scores and attention.
    """
    from unspool import predictors
    from unspool.decoding.beam import BeamOptions
    from unspool.predictors.translator import TranslatorPredictor

    options = BeamOptions(beam, n_best, length_penalty, coverage_penalty, no_repeat)
    check_asked(texts, input, read)
    loaded = predictors.load(model)
    if not isinstance(loaded, TranslatorPredictor):
        raise UsageError(f"{shorten(model, 300)} is a model of the task {loaded.task!r}: use unspool predict")
    asks = {"--alignments": alignments, "--coverage-penalty": coverage_penalty, "--dictionary": dictionary}
    _refuse_useless(loaded, [flag for flag, value in asks.items() if value])
    words = _dictionary(dictionary) if dictionary else None
    given = asked(texts, input, read, loaded.task)
    if cut := loaded.count_long(given):
        note(f"cut        {cut:,} of {len(given):,} texts are longer than {loaded.settings.max_length} tokens")
    for number, found in enumerate(loaded.translate(given, options, words), start=1):
        for one in found:
            if json:
                result_json(_plain(number, one))
            else:
                result("\t".join(shown(part) for part in _line(number, one, n_best > 1, alignments)))


def _refuse_useless(loaded: TranslatorPredictor, asked: Sequence[str]) -> None:
    """Refuse flags that have no effect on the model; those that may have none are given."""
    if asked and loaded.settings.attention == "none":
        raise UsageError(f"the model has no attention: {', '.join(asked)} has no effect, leave it out")
    if "--dictionary" in asked and not loaded.replaces_unknown:
        raise UsageError("--dictionary has no effect: only a model from words to words has unknown words to replace")


def _line(number: int, one: Translation, numbered: bool, alignments: bool) -> list[str]:
    line = [f"{number}", f"{one.score:.4f}"] if numbered else []
    pairs = [" ".join(f"{source}-{target}" for source, target in one.alignment())] if alignments else []
    return [*line, one.text, *pairs]


def _dictionary(path: Path) -> dict[str, str]:
    from unspool.text.readers import read_pairs

    pairs = read_pairs([path])
    return dict(zip(pairs.sources, pairs.targets, strict=True))


def _plain(number: int, one: Translation) -> dict[str, Any]:
    looks = None if one.attention is None else [[round(float(share), 4) for share in row] for row in one.attention]
    return {
        "number": number,
        "text": one.text,
        "score": one.score,
        "log_probability": one.log_probability,
        "source_tokens": list(one.source),
        "tokens": list(one.tokens),
        "attention": looks,
    }
