"""`unspool resume RUN`: go on where a run was stopped or killed."""

from __future__ import annotations

import time
from pathlib import Path

from unspool.cli.output import note, stderr_console
from unspool.cli.train import tell


def resume(run: Path, *, allow_changed: bool = False, json: bool = False) -> None:
    """Go on with a run from its newest whole checkpoint; the result is bit for bit that of a run never stopped.

    Parameters
    ----------
    run
        The folder that `unspool train` made.
    allow_changed
        Go on although data, settings or versions differ from the run's.
    json
        End with one JSON object on stdout.
    """
    started = time.monotonic()  # loading torch counts in --minutes
    from unspool.tasks import run as runs
    from unspool.training.callbacks import ProgressBar

    bar = ProgressBar(stderr_console())
    finished = runs.resume(run, allow_changed=allow_changed, callbacks=(bar,), notice=note, started=started)
    tell(finished, json=json)
