"""Optimisers, the norm of the gradient and which weights are decayed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unspool.config import Optimizer, Settings
from unspool.training import optim
from unspool.training.adamw import AdamW

OPTIMIZERS = get_args(Optimizer)
RATES = {"adamw": 0.05, "adadelta": 1.0, "rmsprop": 0.02, "sgd": 0.1}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_reduces_the_loss(toy: Any, name: str) -> None:
    trainer = toy(optimizer=name, learning_rate=RATES[name], epochs=40, patience=40)
    trainer.model.eval()
    before = trainer.data.validate(trainer.model, lambda: None)["loss"]
    trainer.fit()
    assert trainer.data.validate(trainer.model, lambda: None)["loss"] < 0.75 * before
    kinds = {"adamw": "AdamW", "adadelta": "Adadelta", "rmsprop": "RMSprop", "sgd": "SGD"}
    assert type(trainer.optimizer).__name__ == kinds[name]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_matrices_decay_and_vectors_do_not(name: str) -> None:
    """Without a gradient to speak of, what is decayed shrinks; a frozen weight stays."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].requires_grad_(False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    optimizer = optim.make_optimizer(model, Settings(optimizer=name, weight_decay=0.5, learning_rate=0.1))
    for parameter in model[0].parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert (model[0].weight < 1.0).all()
    assert (model[0].bias == 1.0).all()
    assert (model[1].weight == 1.0).all()
    if name == "adamw":  # decoupled: 1 - rate * decay
        torch.testing.assert_close(model[0].weight, torch.full((2, 2), 0.95))


def test_the_rate_reaches_every_group() -> None:
    optimizer = optim.make_optimizer(nn.Linear(2, 2), Settings())
    optim.set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize(("limit", "expected"), [(1.0, [0.6, 0.8]), (10.0, [3.0, 4.0])])
def test_the_gradient_is_clipped_to_its_norm(limit: float, expected: list[float]) -> None:
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    first.grad, second.grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert optim.clip([first, second], limit) == pytest.approx(5.0)
    assert [float(first.grad), float(second.grad)] == pytest.approx(expected, rel=1e-5)


SCHEDULE = {(0, 10, 0.2): 1 / 3, (1, 10, 0.2): 2 / 3, (2, 10, 0.2): 1, (6, 10, 0.2): 0.5, (9, 10, 0.2): 0.125}
SCHEDULE |= {(0, 10, 0.0): 0.5, (1, 10, 0.0): 1, (0.5, 10, 0.2): 0.5, (0, 1, 0.1): 0.5, (10, 10, 0.2): 0, (99, 9, 0): 0}


@pytest.mark.parametrize(("place", "factor"), SCHEDULE.items())
def test_the_schedule_by_hand(place: tuple[float, int, float], factor: float) -> None:
    assert optim.rate_factor(*place) == pytest.approx(factor)


@given(st.integers(1, 300), st.floats(0, 0.99))
def test_the_schedule_rises_then_falls_and_never_idles(planned: int, warmup: float) -> None:
    factors = [optim.rate_factor(step, planned, warmup) for step in range(planned)]
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adamw_has_torchs_bits_and_state(decay: float) -> None:
    torch.manual_seed(0)
    mine, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(mine.state_dict())
    given: dict[str, Any] = {"lr": 0.03, "betas": (0.9, 0.98), "weight_decay": decay, "fused": True}
    pairs = ((mine, AdamW(mine.parameters(), **given)), (theirs, torch.optim.AdamW(theirs.parameters(), **given)))
    for step in range(12):
        if step == 7:  # through what a checkpoint keeps
            kept = pairs[0][1].state_dict()
            pairs = ((mine, AdamW(mine.parameters(), **given)), pairs[1])
            pairs[0][1].load_state_dict(kept)
        x = torch.randn(4, 5)
        for layer, optimizer in pairs:
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    assert torch.equal(mine.weight, theirs.weight)
    assert torch.equal(mine.bias, theirs.bias)
    own, torchs = (optimizer.state_dict() for _, optimizer in pairs)
    assert own["param_groups"] == torchs["param_groups"]
    torch.testing.assert_close(own["state"], torchs["state"], rtol=0, atol=0)


def test_training_does_not_load_torchs_compiler() -> None:
    """It takes a second or two."""
    program = """
import sys
from unspool import SequenceClassifier
texts = [f"{word} film {n % 5}" for n in range(20) for word in ("fine", "dull")]
SequenceClassifier(model="gru", hidden=4, embedding=4, epochs=2).fit(texts, ["good", "bad"] * 20)
print([name for name in sys.modules if name.startswith("torch._dynamo.")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
