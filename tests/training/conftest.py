"""A toy that trains in milliseconds: points on a plane, a small network with dropout, three batches an epoch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unspool.config import Settings
from unspool.nn import Embedding
from unspool.training import optim
from unspool.training.callbacks import Callback
from unspool.training.checkpoint import Progress
from unspool.training.trainer import Trainer

ROWS, BATCH = 12, 4


class ToyModel(nn.Module):
    """With `table`, every point is a word as well, and a table of vectors is large enough to be updated by rows."""

    def __init__(self, table: bool = False) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.embedding = Embedding(optim.LARGE, 2) if table else None
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 2))
        self.updates = 0

    def tables(self) -> list[Embedding]:
        return [] if self.embedding is None else [self.embedding]

    def forward(self, x: Tensor) -> Tensor:
        if self.embedding is not None:
            x = x + self.embedding((x[:, 0].nan_to_num() * 100).long().abs() + 1)
        return self.layers(x)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def after_step(self) -> None:
        self.updates += 1


class ToyData:
    """`scores` replaces the validation's score, epoch by epoch; `poison` is a row whose input is infinite."""

    def __init__(self, scores: list[float] | None = None, poison: int | None = None) -> None:
        generator = np.random.default_rng(1)
        points = generator.normal(size=(ROWS, 2)).astype(np.float32)
        self.x, self.y = torch.from_numpy(points), torch.from_numpy((points[:, 0] > 0).astype(np.int64))
        if poison is not None:
            self.x[poison] = float("nan")
        self.scores, self.seen = scores, []
        self.between: Callable[[], None] = lambda: None
        self.last = self.validated = 0

    def order(self, epoch: int) -> list[Any]:
        self.last = epoch
        return np.array_split(np.random.default_rng([7, epoch]).permutation(ROWS), ROWS // BATCH)

    def batch(self, rows: Any) -> tuple[Tensor, Tensor]:
        self.seen.append((self.last, rows.tolist()))
        return self.x[rows], self.y[rows]

    def validate(self, model: Any, poll: Callable[[], None]) -> dict[str, float]:
        assert not model.training
        self.validated += 1
        self.between()
        poll()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(model(self.x), self.y))
        return {"loss": loss, "score": self.scores[self.last] if self.scores else -loss}


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, standing: Progress, loss: float) -> None:
        if standing.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class Toy:
    """Makes trainers; everything a test may want to look at is an attribute of what it makes."""

    Data, StopAt = ToyData, StopAt
    table = False  # whether the model has a table that is updated by rows

    def __call__(
        self, folder: Path | None = None, data: ToyData | None = None, *callbacks: Callback, **given: Any
    ) -> Trainer:
        deadline = given.pop("deadline", None)
        settings = Settings(**{"epochs": 3, "learning_rate": 0.05, "batch_size": BATCH, **given})
        return Trainer(
            ToyModel(self.table), data or ToyData(), settings, folder=folder, deadline=deadline, callbacks=callbacks
        )

    @staticmethod
    def state(trainer: Trainer) -> dict[str, bytes]:
        """Every bit that training made: weights, best weights, the optimiser's state."""
        from unspool.training.checkpoint import optimizer_tensors

        tensors = {**trainer.model.state_dict(), **optimizer_tensors(trainer.optimizer)}
        if trainer.averaged is not None:
            tensors |= {f"averaged {name}": value for name, value in trainer.averaged.state_dict().items()}
        tensors |= {f"best {name}": value for name, value in trainer.best.items()}
        return {name: value.numpy().tobytes() for name, value in tensors.items()}


@pytest.fixture
def toy() -> Toy:
    return Toy()
