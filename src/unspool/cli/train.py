"""`unspool train DATA`: from texts to a model folder, with the figures beside the baseline's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unspool.cli.options import ReadFlags, SettingFlags, given_settings, told_by_file
from unspool.cli.output import note, result, result_json, stderr_console
from unspool.errors import plural

if TYPE_CHECKING:
    from unspool.tasks.run import Finished


def train(
    data: str,
    *more: str,
    out: Path | None = None,
    validation_data: str | None = None,
    vectors: Path | None = None,
    config: Path | None = None,
    start: Annotated[Path | None, Parameter(name="--from")] = None,
    search: bool = False,
    json: bool = False,
    read: ReadFlags | None = None,
    settings: SettingFlags | None = None,
) -> None:
    """Train a model on texts: what is to be learned is found out from the data, or said with --task.

    To classify, DATA is a CSV, TSV or JSONL file (also .gz), a folder with one file or sub-folder per label, lines of
    `label text` or `__label__x text`, or the name of a corpus (unspool data list). To tag, a token a line with its
    tag in the last column, and an empty line after each sentence; CoNLL-U; or JSONL of two lists. To translate, a
    table with both languages, or two files line by line. To generate, any text. What is found out about it is said
    line by line; the model and the checkpoints go to a new folder. After each epoch * marks the best so far, by
    its loss, the right labels' probability or the tags' F1: its weights are kept.

    Parameters
    ----------
    data
        File, folder, or name of a corpus.
    more
        Further files, for tasks that take several.
    out
        Folder of the run; by default the data's name with .unspool, in the current folder; where that exists,
        the name with -2, -3, …
    validation_data
        Data to validate on, instead of a share of DATA.
    vectors
        Pretrained word vectors, GloVe or word2vec text format (also .gz). With an --embedding wider than they are, the
        further columns start at random.
    config
        TOML file of settings; flags go before it.
    start
        A trained model whose weights training begins with: one of the same task, or a language model for a classifier.
        New words and labels join its own; but no words where tokens are bytes or byte pairs, of which new words are
        made, nor in a language model with an adaptive softmax (--adaptive, usual above 40,000 kinds of tokens), to
        which they stay unknown.
    search
        Find settings first: half of the --minutes go into trials, the other half into training with the best. What
        is given is not changed. Needs Optuna: python -m pip install 'unspool[search]'.
    json
        End with one JSON object on stdout.
    """
    started = time.monotonic()  # loading torch counts in --minutes
    from unspool import corpora
    from unspool.config import read_toml
    from unspool.tasks import Request, run
    from unspool.training.callbacks import ProgressBar

    from_file = read_toml(config) if config else {}
    given = given_settings(settings, from_file)
    request = Request(
        corpora.locate(data, notice=note),
        given,
        (read or ReadFlags()).options(),
        corpora.locate(validation_data, notice=note) if validation_data else None,
        vectors,
        tuple(corpora.locate(name, notice=note) for name in more),
        search,
        start,
    )
    bar = ProgressBar(stderr_console())
    folder = out or run.free_folder(Path(data))
    with told_by_file(config, from_file, settings):
        finished = run.start(request, folder, callbacks=(bar,), notice=note, started=started)
    tell(finished, json=json)


def tell(finished: Finished, *, json: bool) -> None:
    """The end of a training: figures, and where the model is."""
    from unspool.config import uses
    from unspool.tasks import TASKS
    from unspool.tasks.search import flags

    outcome = finished.outcome
    predictor = outcome.predictor
    task = TASKS[predictor.task]
    settings = predictor.settings
    common: dict[str, Any] = {
        "model": str(finished.model),
        "task": predictor.task,
        "seconds": round(outcome.seconds, 2),
        "epochs": outcome.epochs,
        "parameters": predictor.parameters(),
        "settings": {
            name: value
            for name, value in settings.model_dump(mode="json").items()
            if uses(settings.model, name, settings.task, settings.decoder)
        },
    }
    found = finished.found
    if json:
        searched = {"found": vars(found)} if found else {}
        result_json({**common, **task.summary(outcome), **searched})
        return
    if found:
        before = "" if found.first is None else f" where the recipe had {found.first:.4f}"
        result(f"found      {flags(found.values)}")
        result(f"           (score {found.score:.4f}{before}, in trials)")
    for line in task.summary_lines(outcome):
        result(line)
    passes = f"{plural(outcome.epochs, 'epoch')}, " if outcome.epochs else ""
    result(f"trained    {passes}{outcome.seconds:.1f} s, {common['parameters']:,} parameters")
    result(f"model      {finished.model}")
