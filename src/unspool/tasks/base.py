"""What a run is asked for, and what `run.py` and the commands ask of a task.

A task is a module (or package) with these functions; `TASKS` in the package lists them. What passes between the
functions of one task (`Any` here) is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import nn

from unspool.config import Settings
from unspool.predictors import Predictor
from unspool.text.readers import ReadOptions
from unspool.training.callbacks import Callback
from unspool.training.trainer import Data

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What a user asked for.

    Attributes:
        data: the file or folder to learn from.
        given: settings by name, as given.
        read: how to read the files.
        validation: data to validate on, or None for a share of `data`.
        vectors: pretrained word vectors, or None.
        more: further files of the data, for tasks that take several.
        search: whether half of the minutes go into finding settings.
        start: a trained model to start from, or None.
        unlabelled: whether labels are left unread on purpose; of those that are seen nothing is said then.
    """

    data: Path
    given: Mapping[str, Any] = field(default_factory=dict)
    read: ReadOptions = field(default_factory=ReadOptions)
    validation: Path | None = None
    vectors: Path | None = None
    more: tuple[Path, ...] = ()
    search: bool = False
    start: Path | None = None
    unlabelled: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files of the data."""
        return self.data, *self.more


class Readable(Protocol):
    """What a reader gives: lines to tell, and the SHA-256 of what was read."""

    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str: ...


T = TypeVar("T", bound=Readable)


@dataclass(frozen=True)
class Input(Generic[T]):
    """The data to learn from, and what to validate on where that has files of its own."""

    data: T
    validation: T | None

    @property
    def notes(self) -> tuple[str, ...]:
        return self.data.notes

    @property
    def fingerprint(self) -> str:
        return self.data.fingerprint

    @property
    def validation_fingerprint(self) -> str | None:
        return self.validation.fingerprint if self.validation else None


class Outcome(Protocol):
    """What `fit` gives back: the trained predictor, its figures, and what they cost."""

    @property
    def predictor(self) -> Predictor: ...
    @property
    def validation(self) -> dict[str, Any]: ...
    @property
    def epochs(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Task(Protocol):
    """The functions of a task's module."""

    def recognises(self, paths: Sequence[Path], options: ReadOptions) -> str | None:
        """Why this data looks made for the task, in a few words, or None when it does not."""

    def read(self, request: Request) -> Input[Any]:
        """The data, checked."""

    def prepare(self, found: Input[Any], request: Request, notice: Notice) -> Any:
        """Everything that is decided before the first step, with `settings` resolved; each decision is told."""

    def fit(
        self,
        prepared: Any,
        *,
        folder: Path | None = None,
        resume: bool = False,
        deadline: float | None = None,
        callbacks: Sequence[Callback] = (),
        notice: Notice = ...,
    ) -> Any:
        """Train; an `Outcome`. `folder` is where checkpoints go, `resume` takes up the newest one."""

    def facts(self, prepared: Any) -> dict[str, Any]:
        """What besides data, settings and versions must be the same for a run to go on; plain JSON values."""

    def untrained(self, prepared: Any, settings: Settings) -> tuple[nn.Module, Data, Settings]:
        """The network as `settings` would have it, before its first step; its data, and the settings that the loop
        follows. For a search: what was prepared with other settings is used as it is."""

    def network_bytes(self, prepared: Any) -> int:
        """Bytes of the weights that `fit` will train. No memory is taken for them."""

    def make_card(self, name: str, fingerprint: str | None, prepared: Any, outcome: Any) -> dict[str, Any]:
        """What card.json tells: data, figures, versions; plain JSON values, file names without their folders."""

    def make_readme(self, name: str, told: dict[str, Any]) -> str:
        """card.json for people, in Markdown."""

    def summary(self, outcome: Any) -> dict[str, Any]:
        """The figures of a training for `--json`."""

    def summary_lines(self, outcome: Any) -> Iterable[str]:
        """The same for people."""

    def evaluate(self, predictor: Any, paths: Sequence[Path], options: ReadOptions, notice: Notice) -> dict[str, Any]:
        """Every figure of a model on the data in `paths`; plain JSON values."""

    def evaluation_lines(self, figures: dict[str, Any]) -> Iterable[str]:
        """The same for people."""

    def answer(self, predictor: Any, texts: Sequence[str]) -> Iterable[dict[str, Any]]:
        """One answer a text, in order; plain JSON values."""

    def answer_line(self, answer: dict[str, Any]) -> str:
        """An answer for people, in one line."""
