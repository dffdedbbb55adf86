"""`unspool demo`: the main job on real text, four networks side by side; `unspool demo NAME` for one of the others.

To add a demo, write `demos/NAME.py` with a function of that name and add its row to `DEMOS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from unspool.cli.demos.common import fetch_or
from unspool.cli.output import note, result, stderr_console
from unspool.errors import UsageError, nearest, shorten

if TYPE_CHECKING:
    from unspool.predictors import ClassifierPredictor
    from unspool.tasks.run import Finished

DEMOS: dict[str, str] = {
    "many-to-one": "The lecture's SimpleRNN, GRU and LSTM with its own settings, then our recipe.",
    "cnn": "Back to the CNN: lstm, stacked and region CNNs on 20 Newsgroups.",
    "selectivity": "The prototype's unbounded state, and what cures it.",
    "apply-everything": "What each thing known from CNNs does for a recurrent network.",
    "echo": "Truncated back-propagation on a toy whose best figure is known exactly.",
    "generate": "Shakespeare, character by character: train, then the seed phrase and a random word.",
    "translate": "From spelling to sound: 117,000 English words, letters in, phones out.",
}
"""Name of a demo -> one line of help."""

MODELS = ("rnn", "gru", "lstm", "cnn")
EXAMPLES = {
    "film-reviews": (
        "A tender, funny and quietly devastating film.",
        "Two hours of noise that never once earn a laugh.",
        "The cast does what it can, but the script gives them nothing.",
    ),
    "python-docstrings": (
        "Open a connection to the server and send the request.",
        "Return the file name without its extension.",
        "Remove all white space at the end of the string.",
    ),
}


def make_demo_app(help: str, arguments: Sequence[str] = ()) -> App:
    """`unspool demo` and its sub-commands; each is loaded when it is called, and its docstring is then its help."""
    app = App(name="demo", help=help, help_format="plaintext")
    app.default(demo)
    for name, text in DEMOS.items():
        function = name.replace("-", "_")
        place = f"unspool.cli.demos.{function}:{function}"
        app.command(place, name=name, help=None if arguments[:1] == [name] else text)
    return app


def demo(
    *unknown: Annotated[str, Parameter(show=False)],
    out: Path = Path("demo.unspool"),
    minutes: float = 4.0,
    seed: int = 0,
) -> None:
    """Train rnn, gru, lstm and cnn on film-review sentences, compare them, and answer three texts.

    Without a network, sentences of Python's own documentation stand in.

    Parameters
    ----------
    unknown
        Nothing: what stands here is not the name of a demo.
    out
        New folder for the four runs.
    minutes
        Most wall time for all four trainings.
    seed
        Seed of everything random.
    """
    if unknown:
        names = ", ".join(DEMOS)
        raise UsageError(f"there is no demo {shorten(unknown[0])!r}{nearest(unknown[0], DEMOS)}; known: {names}")
    from unspool.tasks import Request, run
    from unspool.training.callbacks import ProgressBar

    if out.exists():
        raise UsageError(f"{shorten(out, 300)} exists: choose another --out, or remove it")
    name, path = _corpus()
    finished: list[tuple[str, Finished]] = []
    for model in MODELS:
        note(f"\n== {model}")
        given = {"model": model, "minutes": minutes / len(MODELS), "seed": seed}
        bar = ProgressBar(stderr_console())
        finished.append((model, run.start(Request(path, given), out / model, notice=note, callbacks=(bar,))))
    _table(finished)
    best = max(finished, key=lambda pair: pair[1].outcome.validation["accuracy"])
    _answers(*best, EXAMPLES[name])


def _corpus() -> tuple[str, Path]:
    from unspool import corpora

    return fetch_or("film-reviews", corpora.OFFLINE_CLASSIFY, "film reviews")


def _table(finished: list[tuple[str, Finished]]) -> None:
    result("")
    result("model     accuracy  95 % interval   macro F1   seconds  parameters")
    for name, run in finished:
        outcome = run.outcome
        figures = outcome.validation
        low, high = figures["accuracy_interval"]
        result(
            f"{name:9} {figures['accuracy']:.4f}   {low:.4f}–{high:.4f}   {figures['macro_f1']:.4f}  "
            f"{outcome.seconds:8.1f}  {outcome.predictor.parameters():10,}"
        )
    baseline = finished[0][1].outcome.baseline
    low, high = baseline["accuracy_interval"]
    result(
        f"{'baseline':9} {baseline['accuracy']:.4f}   {low:.4f}–{high:.4f}   {baseline['macro_f1']:.4f}  (linear, bow)"
    )
    if not any(run.outcome.beats_baseline for _, run in finished):
        result("No network is better than the linear baseline here.")


def _answers(name: str, run: Finished, texts: tuple[str, ...]) -> None:
    import numpy as np

    predictor: ClassifierPredictor = run.outcome.predictor
    result(f"\nThe {name} answers ({run.model}):")
    for text, row in zip(texts, np.exp(predictor.log_probabilities(texts)), strict=True):
        best = int(row.argmax())
        result(f"  {row[best]:.2f} {predictor.labels[best]:8} {text}")
