"""sigmoid and tanh of the kernels against double, over the whole range of floats."""

from __future__ import annotations

import pytest
import torch

from unspool import native

pytestmark = [
    pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off"),
    pytest.mark.usefixtures("target"),
]

INFINITY = float("inf")


def computed(name, x):
    y = torch.empty_like(x)
    native.core().activation(name, x, y)
    return y


@pytest.mark.parametrize(("name", "bound"), [("sigmoid", 2.0e-7), ("tanh", 3.0e-7)])
def test_relative_error(name, bound):
    small = torch.logspace(-37, 2, 100_001)
    x = torch.cat([torch.linspace(-90, 90, 1_000_003), small, -small])
    exact = getattr(torch, name)(x.double())
    worth = exact.abs() > 1e-37
    error = ((computed(name, x).double() - exact) / exact).abs()[worth]
    assert float(error.max()) <= bound


@pytest.mark.parametrize(("name", "low"), [("sigmoid", 0.0), ("tanh", -1.0)])
def test_limits_and_nan(name, low):
    x = torch.tensor([-INFINITY, -1e38, -1e4, 1e4, 1e38, INFINITY])
    assert torch.equal(computed(name, x), torch.tensor([low] * 3 + [1.0] * 3))
    assert computed(name, torch.tensor([float("nan")])).isnan().all()
    assert computed(name, torch.zeros(9)).unique().tolist() == [0.5 if name == "sigmoid" else 0.0]


def test_results_never_leave_the_range():
    x = torch.linspace(-100, 100, 400_001)
    assert computed("sigmoid", x).min() >= 0
    assert computed("sigmoid", x).max() <= 1
    assert computed("tanh", x).abs().max() <= 1


def test_multiply_adds_are_counted(target):
    core = native.core()
    one = core.multiply_adds(1, 1)
    assert one >= 12 * 4
    assert core.multiply_adds(1000, 3) == 3000 * one
    with pytest.raises(ValueError, match="rounds, threads"):
        core.multiply_adds(-1, 1)
