"""What all estimators share: settings as arguments, training with a deadline, model folders."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

from rich.console import Console
from sklearn.exceptions import NotFittedError

from unspool import config, predictors
from unspool.errors import ModelFileError, UsageError, shorten
from unspool.estimators.wording import in_python, told_in_python
from unspool.predictors import Predictor
from unspool.tasks import TASKS
from unspool.tasks import start as starts
from unspool.tasks.base import Notice
from unspool.training.callbacks import ProgressBar


class NotFittedYet(UsageError, NotFittedError):  # type: ignore[misc]
    """An answer was asked for before `fit`; scikit-learn knows it by its own class."""


class Estimator:
    """Base of the public classes. `validation_`, `baseline_`: figures on what `fit` held out, see each class."""

    task: ClassVar[str]
    kind: ClassVar[str]  # what a model of the task is called
    predictor_: Any
    validation_: dict[str, Any]
    baseline_: dict[str, Any]
    start: str | Path | None

    def save(self, path: str | Path) -> None:
        """Publish a model folder that the commands and `load` read. UsageError when the folder exists."""
        predictor, folder = self._fitted(), Path(path)
        if folder.exists():
            raise UsageError(
                f"{shorten(folder, 300)} exists and is not written over: save to another path, or remove it first with "
                "shutil.rmtree"
            )
        predictors.save(predictor, folder, TASKS[self.task].make_readme(folder.name, predictor.card))

    @classmethod
    @told_in_python()
    def load(cls, path: str | Path) -> Self:
        """A fitted estimator from a model folder. ModelFileError as `predictors.load`."""
        loaded = predictors.load(Path(path))
        if loaded.task != cls.task:
            raise ModelFileError(f"{shorten(path, 300)} is a model of the task {loaded.task!r}, not a {cls.kind}")
        estimator = cls(**cls._arguments(loaded))
        estimator._take(loaded, loaded.card.get("validation", {}), loaded.card.get("baseline", {}))
        return estimator

    @told_in_python()
    def _train(self, prepare: Callable[[Notice], Any], data: str, *, verbose: bool = False) -> None:
        """Train on what `prepare` gives; the minutes of the settings count from here. data: its name on the card."""
        task, started, notice = TASKS[self.task], time.monotonic(), _note if verbose else _quiet
        prepared = prepare(notice)
        minutes = prepared.settings.minutes
        outcome = task.fit(
            prepared,
            deadline=None if minutes is None else started + 60 * minutes,
            callbacks=(ProgressBar(Console(stderr=True)),) if verbose else (),
            notice=notice,
        )
        outcome.predictor.card = task.make_card(data, None, prepared, outcome)
        self._take(outcome.predictor, outcome.validation, getattr(outcome, "baseline", {}))

    def _take(self, predictor: Predictor, validation: dict[str, Any], baseline: dict[str, Any]) -> None:
        self.predictor_, self.validation_, self.baseline_ = predictor, validation, baseline

    @told_in_python()
    def _start(self) -> Predictor | None:
        """The model to start from, if any."""
        return None if self.start is None else starts.load(Path(self.start), self.task)

    def _given(self) -> dict[str, Any]:
        """The settings that were given as arguments."""
        values = {name: getattr(self, name) for name in config.settings_of(self.task)}
        return {"task": self.task, **{name: value for name, value in values.items() if value is not None}}

    def _fitted(self) -> Any:
        if not hasattr(self, "predictor_"):
            raise NotFittedYet(f"this {type(self).__name__} is not fitted yet: call fit first")
        return self.predictor_

    @classmethod
    def _arguments(cls, loaded: Any) -> dict[str, Any]:
        """The arguments with which `fit` would settle on the loaded model's settings again.

        Left out is what has no effect there, and how vectors and another model's weights were used, as their files are
        not part of the model.
        """
        settings = loaded.settings
        return {
            name: value
            for name, value in settings.model_dump().items()
            if value is not None
            and name not in ("task", "vectors_mode", *starts.FINE_TUNING)
            and config.uses(settings.model, name, settings.task, settings.decoder)
        }


def _quiet(_line: str) -> None:
    """What `notice` does without `verbose`."""


def _note(line: str) -> None:
    """One line to stderr."""
    sys.stderr.write(in_python(line) + "\n")
