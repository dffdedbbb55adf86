"""The visible loop: batches in, updates out, the best weights kept.

It knows a model with `loss(batch)` and `after_step()`, and a data set that gives batches by (epoch, position) and
validates; not texts, labels or tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from unspool import files
from unspool.config import Settings
from unspool.errors import Interrupted, TrainingError
from unspool.signals import Stop, listening
from unspool.training import checkpoint, optim
from unspool.training.callbacks import Callback
from unspool.training.checkpoint import Progress
from unspool.training.pace import Pace

CHECKPOINT_SECONDS = 30.0


class Data(Protocol):
    """What the loop asks of a task's data."""

    def order(self, epoch: int) -> Sequence[Any]:
        """The batches of an epoch, as row numbers; a function of (seed, epoch) alone."""

    def batch(self, rows: Any) -> Any:
        """What the model's `loss` takes."""

    def validate(self, model: nn.Module, poll: Callable[[], None]) -> Mapping[str, float]:
        """Figures of the validation part, among them `score` (higher is better); calls `poll` between batches."""


@runtime_checkable
class KnowsItsLength(Protocol):
    """What `Data` may offer on top, for the first validation of a run with a deadline."""

    def validation_steps(self) -> float:
        """How many training steps a validation takes as long as, roughly; used until one was measured."""


class Trainer:
    """Trains `model` on `data` until the epochs, the minutes or the patience end.

    Args:
        model: has `loss(batch)` and `after_step()`; for `layer_decay` and `gradual_unfreezing` also `layers()`, its
            parameters layer by layer from the output down.
        data: see `Data`.
        settings: resolved settings; `epochs` must be set.
        folder: where checkpoints go, or None to keep nothing on disk.
        deadline: `time.monotonic()` value at which training, and a last pass over the validation part, must have
            ended, or None. Then the schedule follows the time used as well as the steps; without it everything is a
            function of the step alone, and a resumed run repeats an undisturbed one bit for bit.
        callbacks: watchers.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        settings: Settings,
        *,
        folder: Path | None = None,
        deadline: float | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        if settings.epochs is None:
            raise ValueError("settings.epochs must be a number here; the task works it out from the data")
        self.model, self.data, self.settings = model, data, settings
        self.epochs = settings.epochs
        self.folder, self.deadline, self.callbacks = folder, deadline, callbacks
        self.optimizer = optim.make_optimizer(model, settings)
        self.averaged = optim.make_averaged(model, settings)
        self.progress = Progress(planned_steps=self.epochs * len(data.order(0)))
        self.best: dict[str, Tensor] = {}
        self._saved_at = self._clock = time.monotonic()
        self._pace = Pace(data.validation_steps() if isinstance(data, KnowsItsLength) else 1.0)

    def resume(self, notice: Callable[[str], None]) -> bool:
        """Take up the newest checkpoint and clear what a kill left half written; False when there is none."""
        if self.folder is None:
            return False
        found = checkpoint.restore(self.folder, self.model, self.optimizer, notice, self.averaged)
        files.clear_leftovers(self.folder.parent)
        if found:
            self.progress, self.best = found
            if self.deadline is not None:
                self.deadline -= self.progress.seconds
        return found is not None

    def fit(self) -> Progress:
        """Run to the end and load the best weights into the model.

        Raises Interrupted after a signal, with a checkpoint of the current step on disk; TrainingError when the
        loss is not finite or memory runs out.
        """
        self._clock = self._saved_at = time.monotonic()
        self._tell("on_start", self.progress)
        try:
            with listening() as stop, memory_errors(self.settings):
                while not self.progress.finished:
                    self._epoch(stop)
        finally:
            self._tell("on_end")
        optim.finish(self.optimizer)
        optim.unfreeze(self.model, self.settings, None)
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return self.progress

    @property
    def judged(self) -> nn.Module:
        """What is validated and kept: the averaged model where there is one."""
        return self.model if self.averaged is None else self.averaged.module

    @property
    def ended_by_time(self) -> bool:
        """Whether a run that is finished would have gone on without its deadline."""
        waited = self.progress.epoch - self.progress.best_epoch
        patient = waited < self.settings.patience and self.progress.epoch < self.epochs
        return self.deadline is not None and self.progress.finished and patient

    def _epoch(self, stop: Stop) -> None:
        order = self.data.order(self.progress.epoch)
        optim.unfreeze(self.model, self.settings, self.progress.epoch)
        self.model.train()
        while self.progress.position < len(order) and not self._out_of_time():
            self._step(order[self.progress.position])
            self._poll(stop)
            if self.folder and time.monotonic() - self._saved_at > CHECKPOINT_SECONDS:
                self._save()
        if self.progress.position == 0 and self.progress.epoch > 0:  # saving took the time of the next step
            self.progress.finished = True
        else:
            self._validate(stop, cut=self.progress.position < len(order))
        self._poll(stop)

    def _step(self, rows: Any) -> None:
        started = time.monotonic()
        progress, settings = self.progress, self.settings
        # torch.manual_seed would also write down, for a GPU that may come later, who called: a third of a millisecond
        torch.default_generator.manual_seed(_step_seed(settings.seed, progress.step))
        factor = optim.rate_factor(self._place(), progress.planned_steps, settings.warmup)
        optim.set_rate(self.optimizer, settings.learning_rate * factor)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.loss(self.data.batch(rows))  # type: ignore[operator]
        loss.backward()
        norm = optim.clip(self.model.parameters(), settings.clip)
        value = float(loss.detach())
        if not np.isfinite(value) or not np.isfinite(norm):
            raise TrainingError(self._not_finite(value, norm, rows))
        self.optimizer.step()
        self.model.after_step()  # type: ignore[operator]
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        progress.step += 1
        progress.position += 1
        progress.loss_sum += value
        self._pace.step.add(time.monotonic() - started)
        self._tell("on_step", progress, value)

    def _not_finite(self, loss: float, norm: float, rows: Any) -> str:
        what = f"the loss became {loss}" if not np.isfinite(loss) else f"the gradient's norm became {norm}"
        shown = ", ".join(str(int(row)) for row in np.asarray(rows).ravel()[:8])
        return (
            f"{what} at step {self.progress.step + 1} (epoch {self.progress.epoch + 1}, rows {shown}, …): "
            f"try a lower --learning-rate than {self.settings.learning_rate:g} or a smaller --clip"
        )

    def _place(self) -> float:
        """Where the schedule stands, in steps: the share of the steps done, or of the minutes when that is more."""
        steps = self.progress.step
        return float(steps) if self.deadline is None else max(steps, self.progress.planned_steps * self._time_share())

    def _time_share(self) -> float:
        """Share of the time for steps that is used; what validating and saving at the end takes is kept free."""
        assert self.deadline is not None
        now = time.monotonic()
        used = self.progress.seconds + now - self._clock
        left = self.deadline - now - self._pace.ending()
        return 1.0 if left <= 0 else used / (used + left)

    def _out_of_time(self) -> bool:
        if self.progress.step >= self.progress.planned_steps:
            return True
        return self.deadline is not None and self.progress.step > 0 and self._time_share() >= 1.0

    def _validate(self, stop: Stop, *, cut: bool) -> None:
        started = time.monotonic()
        optim.settle(self.optimizer)
        judged = self.judged
        judged.eval()
        figures = dict(self.data.validate(judged, lambda: self._poll(stop)))
        self._check_finite(figures)
        self._pace.validation.add(time.monotonic() - started)
        progress = self.progress
        progress.epoch += 1
        better = progress.best_score is None or figures["score"] > progress.best_score
        if better:
            progress.best_score, progress.best_epoch = figures["score"], progress.epoch
            self.best = {name: value.detach().clone() for name, value in judged.state_dict().items()}
        waited = progress.epoch - progress.best_epoch
        enough = waited >= self.settings.patience or progress.epoch >= self.epochs
        progress.finished = enough or cut or self._out_of_time()
        figures = {"train_loss": progress.loss_sum / max(1, progress.position), **figures}
        progress.position, progress.loss_sum = 0, 0.0
        self._count_time()
        self._tell("on_validation", progress, figures, best=better)
        progress.finished |= self._out_of_time()  # what the watchers do takes time, too
        if self.folder:
            self._save()

    def _check_finite(self, figures: Mapping[str, float]) -> None:
        """An update may spoil the weights after a loss that was still finite: nothing of that is kept."""
        step = self.progress.step
        for name, value in figures.items():
            if not np.isfinite(value):
                raise TrainingError(
                    f"validation's {name} became {value} after step {step}: try a lower --learning-rate"
                )
        checkpoint.check_finite(self.model.state_dict(), f"training stops after step {step}")

    def _poll(self, stop: Stop) -> None:
        if stop.requested is None:
            return
        where = ""
        if self.folder:
            self._save()
            where = f"; go on with: unspool resume {self.folder.parent}"
        raise Interrupted(f"stopped after step {self.progress.step}{where}", stop.requested)

    def _save(self) -> None:
        assert self.folder is not None
        self._count_time()
        checkpoint.save(self.folder, self.progress, self.model, self.best, self.optimizer, self.averaged)
        self._saved_at = time.monotonic()
        self._pace.saving.add(self._saved_at - self._clock)

    def _count_time(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now

    def _tell(self, moment: str, *arguments: Any, **named: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(*arguments, **named)


def _step_seed(seed: int, step: int) -> int:
    """An independent 64-bit seed for every (seed, step): a resumed run needs no generator state."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def memory_errors(settings: Settings) -> Any:
    """Turn torch's and Python's out-of-memory errors into one sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "alloc" in str(error).lower():
            raise TrainingError(
                f"memory ran out at batch size {settings.batch_size}: lower --batch-size or --max-length"
            ) from error
        raise
