"""`step` without gradients, which takes its own way to the compiled core, against the same steps with gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, prune

from unspool import native, nn
from unspool.nn.recurrent import random_bits
from unspool.ops import compiled

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")

SETTINGS = [{}, {"num_layers": 3, "bias": False}, {"num_layers": 2, "zoneout": 0.2, "dropout": 0.3}]


@pytest.fixture
def single(kind):
    """kind(**settings) in single precision, of the cells that the core steps."""
    layer = kind(dtype=torch.float32)
    if not layer.layout.recurrent:
        pytest.skip("not stepped by the compiled core")
    return lambda **settings: kind(dtype=torch.float32, **settings)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("rows", [1, 3, 9])
def test_steps_without_gradients_equal_those_with(single, settings, rows, parts, monkeypatch):
    layer, calls = single(**settings), []
    monkeypatch.setattr(compiled, "infer", lambda *a, own=compiled.infer, **k: calls.append(1) or own(*a, **k))
    x, state, other = torch.randn(rows, 4, 3), None, None
    for t in range(4):
        wanted, state = layer.step(x[:, t], state)
        assert len(calls) == t
        with torch.inference_mode():
            found, other = layer.step(x[:, t], other)
        assert len(calls) == t + 1 and type(other) is type(state)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(parts(other), parts(state), rtol=1e-5, atol=1e-5)


def test_a_changed_weight_is_seen_at_once():
    """Also one changed behind the back of the version counter."""
    layer, x = nn.LSTM(3, 5), torch.randn(2, 3)
    with torch.inference_mode():
        layer.step(x)
        layer.weight_hh_l0.data.mul_(0)
        layer.weight_ih_l0.data.mul_(0)
        layer.bias_ih_l0.data.zero_()
        layer.bias_hh_l0.data.zero_()
        assert not layer.step(x)[0].any()


def test_what_the_native_step_cannot_do_is_done_or_told_by_the_usual_way():
    layer, x = nn.GRU(3, 5), torch.randn(2, 3)
    with torch.no_grad():
        with pytest.raises(ValueError, match="state: expected"):
            layer.step(x, torch.zeros(2, 2, 5))
        with pytest.raises(ValueError, match="input: expected 3 features"):
            layer.step(torch.randn(2, 4))
        with pytest.raises(TypeError, match="float64"):
            layer.step(x.double())
        strided = torch.randn(5, 2, 1).permute(2, 1, 0)
        expected = layer.step(x, strided.contiguous())[0]
        assert torch.equal(layer.step(x.t().contiguous().t(), strided)[0], expected)


def test_random_bits_have_their_share_and_follow_the_seed():
    """20,000 draws: a standard deviation of .0035 at most; halves, odd counts, and neighbours in one draw."""
    cpu = torch.device("cpu")
    for share in (0.0, 0.05, 0.5, 0.999):
        torch.manual_seed(0)
        bits = random_bits((4, 5001), share, cpu)
        assert bits.shape == (4, 5001) and bits.dtype == torch.bool
        assert abs(float(bits.double().mean()) - share) < 0.015
        torch.manual_seed(0)
        assert torch.equal(bits, random_bits((4, 5001), share, cpu))
    numbers = random_bits((5000, 4), 0.5, cpu).double().numpy()
    assert np.abs(np.corrcoef(numbers.T) - np.eye(4)).max() < 0.06
    assert random_bits((0, 3), 0.5, cpu).shape == (0, 3)


@pytest.mark.parametrize("cell", sorted(nn.RECURRENT))
@pytest.mark.parametrize(("rows", "steps"), [(0, 3), (3, 0), (0, 0), (3, 1), (3, 9), (40, 9)])
def test_inference_equals_the_answers_with_gradients(cell, rows, steps):
    """With strided input, states and lengths, too; with and without a gradient the layer takes different ways."""
    torch.manual_seed(1)
    layer = nn.RECURRENT[cell](5, 7, 2, bidirectional=True, zoneout=0.2).eval()
    x, lengths = torch.randn(rows, 5, steps).permute(2, 0, 1), torch.arange(2 * rows)[::2].clamp(max=steps)
    _, state = layer(x)
    first = tuple(
        torch.randn(part.shape).mT.contiguous().mT for part in (state if isinstance(state, tuple) else (state,))
    )
    first = first if len(first) > 1 else first[0]
    for given in (None, lengths):
        for begun in (None, first):
            y, last = layer(x, begun, lengths=given)
            with torch.no_grad():
                found, after = layer(x, begun, lengths=given)
            torch.testing.assert_close(found, y.detach(), atol=2e-6, rtol=0)
            pairs = zip(*(one if isinstance(one, tuple) else (one,) for one in (after, last)), strict=True)
            for one, other in pairs:
                torch.testing.assert_close(one, other.detach(), atol=2e-6, rtol=0)


def test_pruned_and_parametrized_weights_are_those_in_use():
    layer, x = nn.LSTM(3, 5, batch_first=True), torch.randn(2, 4, 3)
    prune.l1_unstructured(layer, "weight_hh_l0", 0.5)
    parametrizations.weight_norm(layer, "weight_ih_l0")
    wanted = layer(x)[0].detach()
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], wanted, atol=1e-6, rtol=0)
        torch.testing.assert_close(layer.step(x[:, 0])[0], wanted[:, 0], atol=1e-6, rtol=0)
