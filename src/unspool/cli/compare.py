"""`unspool compare DATA`: models side by side on the same splits, and what their differences are worth."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unspool.cli.options import ReadFlags, SettingFlags, given_settings
from unspool.cli.output import note, result, result_json, stderr_console

if TYPE_CHECKING:
    from unspool.comparison.report import Difference, Standing

MODELS = "rnn,gru,lstm,cnn,cnn-lstm,bow"


def compare(
    data: str,
    *,
    models: str = MODELS,
    seeds: int = 3,
    folds: int | None = None,
    search: bool = False,
    out: Path | None = None,
    json: bool = False,
    read: ReadFlags | None = None,
    settings: SettingFlags | None = None,
) -> None:
    """Train several models with several seeds on the same splits, and compare them.

    Interrupted and started again, it does only what is missing; models and seeds may be added. Any setting applies
    to every model that has it; --minutes is for all trainings together.

    Parameters
    ----------
    data
        Labelled texts: a file, a folder, or the name of a corpus.
    models
        Names, separated by commas; bow is the linear baseline.
    seeds
        Trainings of each model on each split.
    folds
        Cross-validate with so many folds, instead of one test part of 20 %.
    search
        Find settings for each network first, on each fold's training part: half of the --minutes go into trials.
        What is given is not changed. Needs Optuna: python -m pip install 'unspool[search]'.
    out
        Folder of the comparison; by default the data's name with .comparison, in the current folder.
    json
        One JSON object on stdout.
    """
    import torch

    from unspool import corpora, files
    from unspool.comparison import report, runner
    from unspool.text.readers import check_labels, read_labelled
    from unspool.training.callbacks import ProgressBar

    given = given_settings(settings, {})
    minutes = given.pop("minutes", None)
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    plan = runner.Plan(names, seeds, folds, minutes, given, search)
    runner.check(plan)
    path = corpora.locate(data, notice=note)
    texts = read_labelled(path, (read or ReadFlags()).options())
    check_labels(texts.labels, path.name)
    for line in texts.notes:
        note(f"read       {line}")
    folder = out or Path(f"{Path(data).name.split('.')[0] or 'texts'}.comparison")
    results = runner.run(plan, texts, folder, callbacks=(ProgressBar(stderr_console()),), notice=note)
    splits = runner.parts(texts, plan.folds)
    command = "unspool " + " ".join(sys.argv[1:])
    versions = {"torch": torch.__version__, "Python": platform.python_version()}
    found = runner.settings_found(plan, folder)
    content = report.page(plan, results, texts, splits, found, name=path.name, command=command, versions=versions)
    files.publish(folder / "report.html", content)
    note(f"report     {folder / 'report.html'}")
    table, pairs = report.standings(plan, results), report.differences(plan, results, texts, splits)
    if json:
        searched = {"found": found} if search else {}
        result_json({"models": [vars(one) for one in table], "differences": [vars(pair) for pair in pairs], **searched})
    else:
        _print(table, pairs)
        for model, line in report.found_lines(found):
            result(f"found      {model:14} {line}")


def _print(table: list[Standing], pairs: list[Difference]) -> None:
    from unspool.comparison.report import shown, shown_p

    result(f"{'model':14} {'accuracy':18} {'macro F1':18} {'log loss':18} {'seconds':>8} {'parameters':>11}")
    for one in table:
        result(
            f"{one.model:14} {shown(one.accuracy):18} {shown(one.macro_f1):18} {shown(one.log_loss):18} "
            f"{one.seconds:8.1f} {one.parameters:11,}"
        )
    result("")
    result(f"{'difference in accuracy':26} {'mean':>8}  95 % interval       p")
    for pair in pairs:
        low, high = pair.interval
        folds = f"  over folds {shown_p(pair.p_folds)}" if pair.p_folds is not None else ""
        result(
            f"{f'{pair.one} − {pair.other}':26} {pair.mean:+8.4f}  {low:+.4f} to {high:+.4f}  {shown_p(pair.p)}{folds}"
        )
