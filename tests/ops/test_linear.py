"""The dense layer of the compiled core, against NumPy in double."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from unspool import native
from unspool.ops.linear import linear

pytestmark = [
    pytest.mark.skipif(native.core() is None, reason="the compiled core is absent"),
    pytest.mark.usefixtures("target"),
]

SIZES = st.sampled_from([1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100, 130])


def answers(x, weight, bias, outer):
    """y and the gradients of x, weight and bias."""
    parts = [part.detach().requires_grad_() for part in (x, weight, bias)]
    y = linear(*parts)
    return [y.detach(), *torch.autograd.grad(y, parts, outer)]


def parts(rows, depth, outputs, seed=0):
    draw = torch.Generator().manual_seed(seed)
    shapes = (rows, depth), (outputs, depth), (outputs,), (rows, outputs)
    return [torch.randn(*shape, generator=draw) for shape in shapes]


# an instruction set stays chosen over all examples
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 70), depth=SIZES, outputs=SIZES, seed=st.integers(0, 99))
def test_equals_numpy_in_double(rows, depth, outputs, seed):
    given_parts = parts(rows, depth, outputs, seed)
    x, weight, bias, outer = (part.double().numpy() for part in given_parts)
    wanted = [x @ weight.T + bias, outer @ weight, outer.T @ x, outer.sum(0)]
    for found, expected in zip(answers(*given_parts), wanted, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-5 * max(1.0, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("shape", [(11, 5, 28), (67, 128, 1024), (200, 33, 50), (1, 1, 1)])
def test_threads_change_no_bit(shape):
    given_parts = parts(*shape)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(answers(*given_parts))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_a_row_has_the_same_bits_beside_others():
    x, weight, bias, _ = parts(33, 50, 70)
    whole = linear(x, weight, bias)
    assert all(torch.equal(linear(x[k : k + 1], weight, bias), whole[k : k + 1]) for k in range(33))


def test_more_dimensions_no_bias_and_transposed_parts():
    x, weight, _, _ = parts(12, 5, 7)
    x, weight = x.view(3, 4, 5).transpose(0, 1), weight.t().contiguous().t()
    torch.testing.assert_close(linear(x, weight), functional.linear(x, weight))


@pytest.mark.parametrize(("rows", "depth", "outputs"), [(3, 0, 4), (3, 4, 0), (0, 4, 5)])
def test_nothing_to_multiply(rows, depth, outputs):
    given_parts = parts(rows, depth, outputs)
    for found, wanted in zip(answers(*given_parts), torchs_answers(*given_parts), strict=True):
        assert torch.equal(found, wanted)
    assert linear(torch.zeros(2, rows, depth), torch.zeros(outputs, depth)).shape == (2, rows, outputs)


def torchs_answers(x, weight, bias, outer):
    leaves = [part.detach().requires_grad_() for part in (x, weight, bias)]
    y = functional.linear(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, outer)]


def test_doubles_go_to_torch_and_have_its_gradients():
    x, weight, bias, _ = (part.double().requires_grad_() for part in parts(3, 4, 5))
    assert torch.autograd.gradcheck(linear, (x, weight, bias))
    assert torch.autograd.gradgradcheck(linear, (x, weight, bias))


def test_gradients_of_gradients_are_torchs():
    x, weight, bias, _ = (part.requires_grad_() for part in parts(3, 4, 5))
    seconds = []
    for layer in (linear, functional.linear):
        first = torch.autograd.grad(layer(x, weight, bias).square().sum(), (x, weight), create_graph=True)
        seconds.append(torch.autograd.grad(sum(part.square().sum() for part in first), (x, weight)))
    for ours, wanted in zip(*seconds, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)


def forward_arguments():
    x, weight, bias, y = parts(4, 3, 5)
    return {"x": x, "weight": weight, "bias": bias, "threads": 1, "y": y}


def backward_arguments():
    x, weight, bias, y = parts(4, 3, 5)
    gradients = {"d_x": x.clone(), "d_weight": weight.clone(), "d_bias": bias}
    return {"x": x, "weight": weight, "threads": 1, "d_y": y, **gradients}


WRONG = [
    torch.zeros(2, 2, 2),
    torch.zeros(4, 3, dtype=torch.float64),
    torch.zeros(3, 4).t(),
    torch.zeros(9, 9),
    torch.zeros(4, 3).to_sparse(),
    "no tensor",
]


@pytest.mark.parametrize("name", ["x", "weight", "bias", "y", "d_y", "d_x", "d_weight", "d_bias"])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(getattr(wrong, "shape", wrong)))
def test_wrong_tensors_are_refused_by_name(name, wrong):
    core = native.core()
    for call, arguments in ((core.linear_forward, forward_arguments()), (core.linear_backward, backward_arguments())):
        if name in arguments:
            with pytest.raises((TypeError, ValueError), match=r"x|weight|y|" + name):
                call(**arguments | {name: wrong})


@pytest.mark.parametrize("threads", [0, -1, 5000])
def test_wrong_threads_are_refused(threads):
    with pytest.raises(ValueError, match="threads: expected 1 to 4096"):
        native.core().linear_forward(**forward_arguments() | {"threads": threads})


def test_the_answer_may_not_overlap_what_is_read():
    arguments = forward_arguments()
    square = torch.zeros(3, 3)
    with pytest.raises(ValueError, match="y"):
        native.core().linear_forward(
            **arguments | {"x": square, "weight": torch.zeros(3, 3), "bias": None, "y": square}
        )
