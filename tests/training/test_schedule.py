"""The learning rate's rise and fall, and what a bound on the minutes does to it."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from unspool.config import Settings
from unspool.training import optim
from unspool.training.trainer import Trainer


def test_a_linear_rise_then_a_linear_fall() -> None:
    factors = [optim.rate_factor(step, 100, 0.1) for step in (0, 4, 9, 10, 55, 100, 120)]
    assert factors == pytest.approx([1 / 11, 5 / 11, 10 / 11, 1.0, 0.5, 0.0, 0.0])


class Slow:
    """Ten thousand batches an epoch, each as slow as it is told."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.validated = 0

    def order(self, epoch: int) -> list[int]:
        return list(range(10_000))

    def batch(self, rows: int) -> int:
        time.sleep(0.002)
        return rows

    def validate(self, model: nn.Module, poll: object) -> dict[str, float]:
        self.validated += 1
        return {"loss": 1.0, "score": 0.5}


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))

    def loss(self, batch: int) -> torch.Tensor:
        return self.weight.square().mean()

    def after_step(self) -> None:
        pass


def test_minutes_bound_the_time_and_the_rate_falls_within_them(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Slow()
    set_rate = optim.set_rate
    monkeypatch.setattr(optim, "set_rate", lambda o, rate: (data.rates.append(rate), set_rate(o, rate)))
    Trainer(Model(), data, Settings(epochs=1))  # the first optimiser of a process loads half of torch
    started = time.monotonic()
    trainer = Trainer(Model(), data, Settings(epochs=3, learning_rate=1.0), deadline=started + 1.0)
    progress = trainer.fit()
    assert time.monotonic() - started < 3
    assert data.validated == 1
    assert 10 < progress.step < 1000
    assert max(data.rates) > 0.8
    assert data.rates[-1] < 0.2
