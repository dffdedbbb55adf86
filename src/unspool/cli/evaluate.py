"""`unspool evaluate MODEL DATA`: every figure of a model on data with the answers."""

from __future__ import annotations

from pathlib import Path

from unspool.cli.options import ReadFlags
from unspool.cli.output import note, result, result_json


def evaluate(model: Path, data: str, *more: str, json: bool = False, read: ReadFlags | None = None) -> None:
    """Measure a model on data with the answers.

    Of a classifier: accuracy with its interval, macro F1, log loss, calibration, every label and the confusion. Of a
    tagger: accuracy, and F1 of spans where tags write spans. Of a translator: BLEU and chrF. Of a language model, on
    any text: nats per token, perplexity (its exponential), bits per byte, and the share of unknown tokens.

    Parameters
    ----------
    model
        A model folder, or the folder of a finished run.
    data
        Data as for training: a file, a folder, or the name of a corpus.
    more
        Further files, for tasks that take several.
    json
        One JSON object on stdout; of a language model `nats_per_token`, `perplexity`, `bits_per_byte`, `tokens` and
        `unknown_rate`.
    """
    from unspool import corpora, predictors
    from unspool.tasks import TASKS

    loaded = predictors.load(model)
    task = TASKS[loaded.task]
    paths = [corpora.locate(name, notice=note) for name in (data, *more)]
    figures = task.evaluate(loaded, paths, (read or ReadFlags()).options(), note)
    if json:
        result_json(figures)
        return
    for line in task.evaluation_lines(figures):
        result(line)
