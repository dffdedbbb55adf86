"""What the demos share: finding their data, and the table of the lecture's figures beside ours."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.cli.output import note, result
from unspool.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from unspool.text.readers import LabelledTexts


@dataclass(frozen=True)
class Row:
    """One line of the table: accuracies from 0 to 1 and seconds; None where the lecture gives none.

    baseline: the linear baseline's figures on the same texts, where it was fitted.
    """

    name: str
    lecture: float | None
    lecture_seconds: float | None
    accuracy: float
    seconds: float
    baseline: Mapping[str, Any] | None = None


def fetch_or(name: str, stand_in: str, lacking: str) -> tuple[str, Path]:
    """Name and file of a corpus, or of the `stand_in` that ships with Python where there is no network."""
    from unspool import corpora

    try:
        return name, corpora.fetch(name, notice=note)
    except corpora.CorpusError as error:
        note(f"{error}\nno {lacking}: using {stand_in}, which ships with Python")
        return stand_in, corpora.fetch(stand_in, notice=note)


def find_data(data: str, *, labels: int | None = None) -> LabelledTexts:
    """The labelled texts of a file, a folder or a corpus; DataError when there are not as many `labels` as needed."""
    from unspool import corpora
    from unspool.text.readers import ReadOptions, check_labels, read_labelled

    path = corpora.locate(data, notice=note)
    found = read_labelled(path, ReadOptions())
    check_labels(found.labels, path.name)
    count = len(set(found.labels))
    if labels is not None and count != labels:
        raise DataError(f"{path.name} has {count} labels: this demo needs texts with {labels}")
    return found


def indices(labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Each label's place in alphabetical order."""
    import numpy as np

    index = {label: place for place, label in enumerate(sorted(set(labels)))}
    return np.array([index[label] for label in labels], np.int64)


def our_recipe(
    given: Mapping[str, Any],
    texts: LabelledTexts,
    minutes: float | None,
    *,
    name: str = "",
    lecture: tuple[float, float] | None = None,
    vectors: Path | None = None,
    baseline: Mapping[str, Any] | None = None,
) -> Row:
    """Train with the recipe of `unspool train` on a random 80 % of the texts; the accuracy on the rest.

    given: the model, the seed, and what differs from the recipe. lecture: its accuracy and seconds. baseline: that of
    an earlier row of the same texts and seed, so that it is not fitted again.
    """
    from unspool.cli.output import stderr_console
    from unspool.tasks.classify import fitting
    from unspool.training.callbacks import ProgressBar

    name = name or f"{given['model']}, our recipe"
    note(f"\n== {name}")
    started = time.monotonic()
    asked = {**given, "validation": 0.2, **({} if minutes is None else {"minutes": minutes})}
    prepared = fitting.prepare(texts.texts, texts.labels, asked, vectors=vectors, notice=note)
    deadline = None if minutes is None else started + 60 * minutes
    callbacks = (ProgressBar(stderr_console()),)
    outcome = fitting.fit(prepared, deadline=deadline, callbacks=callbacks, baseline=baseline, notice=note)
    found, seconds = lecture or (None, None)
    return Row(name, found, seconds, outcome.validation["accuracy"], time.monotonic() - started, outcome.baseline)


def table(rows: Sequence[Row]) -> None:
    """The lecture's figures and ours, to stdout."""
    result("")
    result(f"{'':22} {'the lecture':>20} {'here':>20}")
    for row in rows:
        result(f"{row.name:22} {_cell(row.lecture, row.lecture_seconds):>20} {_cell(row.accuracy, row.seconds):>20}")


def _cell(accuracy: float | None, seconds: float | None) -> str:
    if accuracy is None:
        return "–"
    return f"{accuracy:.4f}" + ("" if seconds is None else f" {seconds:8,.0f} s")
