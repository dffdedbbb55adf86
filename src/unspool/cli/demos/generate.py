"""`unspool demo generate`: Shakespeare, then the seed phrase and a random word."""

from __future__ import annotations

from pathlib import Path

from unspool.cli.demos.common import fetch_or
from unspool.cli.generate import generate as write
from unspool.cli.output import note, result, stderr_console
from unspool.errors import UsageError, shorten

PHRASE = "It was the best of times"


def generate(*, out: Path = Path("generate.unspool"), minutes: float = 3.0, length: int = 300, seed: int = 0) -> None:
    """Train a character model on Shakespeare's plays, then go on from a seed phrase and from a random word.

    Without a network, the reference of the Python language stands in.

    Parameters
    ----------
    out
        New folder for the run.
    minutes
        Most wall time for the training.
    length
        Characters to write each time.
    seed
        Seed of everything random.
    """
    from unspool import corpora
    from unspool.tasks import Request, run
    from unspool.training.callbacks import ProgressBar

    if out.exists():
        raise UsageError(f"{shorten(out, 300)} exists: choose another --out, or remove it")
    _, path = fetch_or("shakespeare", corpora.OFFLINE_GENERATE, "Shakespeare")
    request = Request(path, {"task": "generate", "minutes": minutes, "seed": seed})
    finished = run.start(request, out, callbacks=(ProgressBar(stderr_console()),), notice=note)
    figures, baseline = finished.outcome.validation, finished.outcome.baseline
    result(f"{figures['nats_per_token']:.4f} nats a character; {baseline['model']}: {baseline['nats_per_token']:.4f}")
    for title, words in ((f"\n== {PHRASE} …", {"prompt": PHRASE}), ("\n== a random word …", {"random_word": True})):
        result(title)
        write(finished.model, length=length, seed=seed, **words)
