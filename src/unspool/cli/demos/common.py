"""What the demos share: finding their data, and the table of the lecture's figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unspool.cli.output import note, result
from unspool.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from unspool.text.readers import LabelledTexts


@dataclass(frozen=True)
class Row:
    """One line of the table: accuracies from 0 to 1 and seconds; None where the lecture gives none."""

    name: str
    lecture: float | None
    lecture_seconds: float | None
    accuracy: float
    seconds: float


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
