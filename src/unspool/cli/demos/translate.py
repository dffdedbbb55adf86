"""`unspool demo translate`: from letters to phones, and which letter each phone was heard in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.cli.demos.common import fetch_or
from unspool.cli.output import note, result, stderr_console
from unspool.errors import UsageError, shorten

if TYPE_CHECKING:
    from unspool.predictors import TranslatorPredictor
    from unspool.text.readers import Pairs

# Spellings that no dictionary lists, and for the stand-in syllables, letter by letter.
WORDS = {
    "pronunciations": ("unspool", "backpropagation", "phonetically", "quizzicality", "knightless"),
    "hangul": ("\u1112\u1161\u11ab", "\u1100\u1173\u11af", "\u1106\u1161\u11af"),
}
TARGET_LEVEL = {"pronunciations": "token", "hangul": "char"}


def translate(*, out: Path = Path("translate.unspool"), minutes: float = 4.0, seed: int = 0) -> None:
    """Train a translator from English spelling to sound, count the words it gets right, and ask it for new ones.

    The pairs are those of the CMU Pronouncing Dictionary; without a network, Korean syllables and their names in Latin
    letters stand in.

    Parameters
    ----------
    out
        New folder for the run.
    minutes
        Most wall time for the training.
    seed
        Seed of everything random.
    """
    from unspool.tasks import Request, run
    from unspool.training.callbacks import ProgressBar

    if out.exists():
        raise UsageError(f"{shorten(out, 300)} exists: choose another --out, or remove it")
    name, path = _corpus()
    given = {"level": "char", "target_level": TARGET_LEVEL[name], "batch_size": 128, "minutes": minutes, "seed": seed}
    request = Request(path, {"task": "translate", **given})
    finished = run.start(request, out, callbacks=(ProgressBar(stderr_console()),), notice=note)
    predictor: TranslatorPredictor = finished.outcome.predictor
    _tell(predictor, _held_out(request), finished.outcome.validation)
    _answers(predictor, WORDS[name])
    result(f"\nmodel {finished.model}: unspool translate {finished.model} WORD … --alignments")


def _corpus() -> tuple[str, Path]:
    from unspool import corpora

    return fetch_or("pronunciations", corpora.OFFLINE_TRANSLATE, "dictionary")


def _held_out(request: Any) -> Pairs:
    """The pairs that the training has not seen: the same split again."""
    from unspool.tasks import translate as task

    return task.prepare(task.read(request), request, lambda _: None).validation


def _tell(predictor: TranslatorPredictor, pairs: Pairs, figures: dict[str, Any]) -> None:
    answers = [found[0].text for found in predictor.translate(pairs.sources)]
    right = sum(answer == target for answer, target in zip(answers, pairs.targets, strict=True))
    result(
        f"{right / len(pairs):.1%} of {len(pairs):,} words that it has not seen are right from the first to the last"
    )
    result(f"sound, {figures['token_accuracy']:.1%} of the single ones after a right beginning; some of them:\n")
    for source, answer, target in list(zip(pairs.sources, answers, pairs.targets, strict=True))[:6]:
        result(f"  {source:18} {answer:40} {'' if answer == target else 'the dictionary: ' + target}".rstrip())


def _answers(predictor: TranslatorPredictor, words: tuple[str, ...]) -> None:
    result("\nWords of nobody's dictionary, and the letter that each sound looked at:\n")
    for word, found in zip(words, predictor.translate(words), strict=True):
        best = found[0]
        looked = (f"{best.source[source]}>{best.tokens[target]}" for source, target in best.alignment())
        result(f"  {word:18} {best.text:40} {' '.join(looked)}")
