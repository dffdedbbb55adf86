"""`unspool train DATA`: from labelled texts to a model folder, with the figure beside the baseline's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unspool.cli.options import ReadFlags, SettingFlags, given_settings
from unspool.cli.output import note, result, result_json, stderr_console

if TYPE_CHECKING:
    from unspool.tasks.run import Finished


def train(
    data: str,
    *,
    out: Path | None = None,
    task: Literal["classify"] = "classify",
    validation_data: str | None = None,
    vectors: Path | None = None,
    config: Path | None = None,
    json: bool = False,
    read: ReadFlags | None = None,
    settings: SettingFlags | None = None,
) -> None:
    """Train a model on labelled texts.

    DATA is a CSV, TSV or JSONL file (also .gz), a folder with one file or sub-folder per label, lines of
    `label text` or `__label__x text`, or the name of a corpus (unspool data list). What is found out about it is
    said line by line; the model and the checkpoints go to a new folder.

    Parameters
    ----------
    data
        File, folder, or name of a corpus.
    out
        Folder of the run; by default the data's name with .unspool, in the current folder.
    task
        What to train: classify (one label for each text).
    validation_data
        Labelled texts to validate on, instead of a share of DATA.
    vectors
        Pretrained word vectors, GloVe or word2vec text format (also .gz).
    config
        TOML file of settings; flags go before it.
    json
        End with one JSON object on stdout.
    """
    started = time.monotonic()  # loading torch counts in --minutes
    from unspool import corpora
    from unspool.tasks import run
    from unspool.training.callbacks import ProgressBar

    given = given_settings(settings, config)
    request = run.Request(
        corpora.locate(data, notice=note),
        given,
        (read or ReadFlags()).options(),
        corpora.locate(validation_data, notice=note) if validation_data else None,
        vectors,
    )
    folder = out or run.free_folder(Path(data))
    note(f"task       {task}: one label for each text")
    bar = ProgressBar(stderr_console())
    finished = run.start(request, folder, callbacks=(bar,), notice=note, started=started)
    tell(finished, json=json)


def tell(finished: Finished, *, json: bool) -> None:
    """The end of a training: figures, baseline, and where the model is."""
    if json:
        result_json(_summary(finished))
        return
    outcome = finished.outcome
    for name, figures in (("validation", outcome.validation), ("baseline", outcome.baseline)):
        low, high = figures["accuracy_interval"]
        result(
            f"{name:10} accuracy {figures['accuracy']:.4f} ({low:.4f}–{high:.4f})  macro F1 {figures['macro_f1']:.4f}  "
            f"log loss {figures['log_loss']:.4f}  {figures['examples']:,} texts"
        )
    if outcome.epochs and not outcome.beats_baseline:
        result("note       the network is not better than the linear baseline here (--model bow trains that one)")
    result(
        f"trained    {outcome.epochs} epochs, {outcome.seconds:.1f} s, {outcome.predictor.parameters():,} parameters"
    )
    result(f"model      {finished.model}")


def _summary(finished: Finished) -> dict[str, Any]:
    outcome = finished.outcome
    return {
        "model": str(finished.model),
        "validation": outcome.validation,
        "baseline": outcome.baseline,
        "better_than_baseline": outcome.beats_baseline,
        "seconds": round(outcome.seconds, 2),
        "epochs": outcome.epochs,
        "parameters": outcome.predictor.parameters(),
        "settings": outcome.predictor.settings.model_dump(mode="json"),
    }
