"""`unspool pretrain TEXTS`: a language model on unlabelled texts, for `unspool train LABELLED --from` it."""

from __future__ import annotations

import time
from pathlib import Path

from unspool.cli.options import PretrainFlags, TextFlags, given_settings, told_by_file
from unspool.cli.output import note, stderr_console
from unspool.cli.train import tell
from unspool.errors import UsageError


def pretrain(
    data: str,
    *more: str,
    out: Path | None = None,
    validation_data: str | None = None,
    config: Path | None = None,
    json: bool = False,
    read: TextFlags | None = None,
    settings: PretrainFlags | None = None,
) -> None:
    """Train a language model on texts without labels, read as a classifier would read them.

    What it has learned of words is what `unspool train LABELLED --from MODEL` starts with, when few texts have
    labels. It is `unspool train --task generate`, but for the token level, which is found as for a classifier.

    Parameters
    ----------
    data
        Text file, folder of text files, table (its text column is read), or name of a corpus.
    more
        Further files.
    out
        Folder of the run; by default the data's name with .unspool, in the current folder.
    validation_data
        Texts to validate on, instead of a share of DATA.
    config
        TOML file of settings; flags go before it.
    json
        End with one JSON object on stdout.
    """
    started = time.monotonic()  # loading torch counts in --minutes
    from unspool import corpora
    from unspool.config import read_toml
    from unspool.tasks import Request, generate, run
    from unspool.training.callbacks import ProgressBar

    from_file = read_toml(config) if config else {}
    given = {"task": "generate", **given_settings(settings, from_file)}
    if given["task"] != "generate":
        raise UsageError(f"the task {given['task']!r} does not fit: unspool pretrain makes language models")
    options = (read or TextFlags()).options()
    paths = [corpora.locate(name, notice=note) for name in (data, *more)]
    held_out = corpora.locate(validation_data, notice=note) if validation_data else None
    bar, folder = ProgressBar(stderr_console()), out or run.free_folder(Path(data))
    with told_by_file(config, from_file, settings):
        given = {**generate.read_as_classifier(paths, options, given, note), **given}
        request = Request(paths[0], given, options, held_out, more=tuple(paths[1:]), unlabelled=True)
        finished = run.start(request, folder, callbacks=(bar,), notice=note, started=started)
    tell(finished, json=json)
