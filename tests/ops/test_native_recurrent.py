"""The compiled layers against the definition in double: values and every gradient, on awkward shapes."""

from __future__ import annotations

import random

import pytest
import torch

from unspool import native, nn
from unspool.ops import compiled, recurrent
from unspool.ops.call import checked_call
from unspool.ops.layouts import CELLS

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")

SIZES = [1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33]
SHAPES = 24  # a cell and instruction set


@pytest.fixture
def native_variant(variant):
    known = variant.cell in ("rnn", "lstm", "peephole") or (variant.cell == "gru" and not variant.options)
    if variant.layer_norm and not known:
        pytest.skip("not computed by the compiled core")
    return variant


def call_of(case):
    return checked_call(case.variant.cell, case.x, case.state, case.weights, case.lengths, **case.options)


def as_double(case):
    mask = case.options.get("state_mask")
    return type(case)(
        case.variant,
        case.x.detach().double(),
        tuple(part.detach().double() for part in case.state),
        {name: weight.detach().double() for name, weight in case.weights.items()},
        case.lengths,
        case.options | ({} if mask is None else {"state_mask": mask.double()}),
    )


def weigh(y, final):
    """One number that depends on every output, the same for every dtype."""
    drawn = torch.Generator().manual_seed(0)
    weights = (torch.randn(part.shape, generator=drawn, dtype=torch.float64).to(part.dtype) for part in (y, *final))
    return sum((part * weight).sum() for part, weight in zip((y, *final), weights, strict=True))


def outcome(way, case):
    """y, the final states, and the gradients of a random weighing of all of them."""
    leaves = case.leaves()
    y, final = case.run(way)
    loss = weigh(y, final)
    return [y.detach(), *(part.detach() for part in final)], list(torch.autograd.grad(loss, leaves))


BOUNDS = (5e-6, 5e-6, 2e-5)  # of each output; of the gradient of x, and of states and weights, in relative norm


def assert_close(found, expected, bounds=BOUNDS):
    for mine, theirs in zip(found[0], expected[0], strict=True):
        scale = torch.clamp(theirs.abs(), min=1)
        assert float(((mine - theirs) / scale).abs().max() if mine.numel() else 0) <= bounds[0]
    for k, (mine, theirs) in enumerate(zip(found[1], expected[1], strict=True)):
        assert float((mine - theirs).norm()) <= bounds[min(1 + k, 2)] * max(1e-2, float(theirs.norm()))


def shapes(count, seed):
    pick = random.Random(seed)
    for k in range(count):
        rows, steps, inputs, hidden = (pick.choice(SIZES[: 13 if k == 1 else None]) for k in range(4))
        lengths = [pick.randint(0, steps) for _ in range(rows)] if k % 3 else None
        zoneout = (None, "mask", 0.3)[k % 3]
        yield (
            (rows, steps, inputs, hidden),
            {
                "lengths": lengths,
                "reverse": k % 4 > 1,
                "mask": k % 2 == 1,
                "zoneout": zoneout,
                "seed": k,
            },
        )


def test_values_and_gradients_equal_the_definition(native_variant, target, make_case, definition):
    for shape, options in shapes(SHAPES, str(native_variant)):
        if native_variant.layer_norm:  # over two or three units, a normalisation has next to no slope in any precision
            shape = (*shape[:3], max(7, shape[3]))
        case = make_case(native_variant, *shape, dtype=torch.float32, **options)
        case.weights = {name: weight * (2 / max(shape[2:]) ** 0.5) for name, weight in case.weights.items()}
        assert compiled.takes(call_of(case)), shape
        bounds = (5e-6, 2e-5, 2e-5) if native_variant.layer_norm else BOUNDS
        assert_close(outcome(recurrent.run, case), outcome(definition, as_double(case)), bounds)


def test_wide_layers_equal_the_definition(plain, make_case, definition):
    """Depth beyond one block of the product, and more rows than one group."""
    for shape in [(3, 3, 300, 270), (101, 2, 5, 20)]:
        case = make_case(plain, *shape, dtype=torch.float32)
        case.weights = {name: weight * 0.1 for name, weight in case.weights.items()}
        assert_close(outcome(recurrent.run, case), outcome(definition, as_double(case)))


def test_wide_normalised_layers_equal_the_definition(normalised, make_case, definition):
    case = make_case(normalised, 3, 3, 300, 270, dtype=torch.float32)
    case.weights = {name: weight * 0.1 for name, weight in case.weights.items()}
    assert_close(outcome(recurrent.run, case), outcome(definition, as_double(case)))


@pytest.mark.parametrize("rows", [1, 3])
def test_few_normalised_rows_equal_the_definition(normalised, rows, make_case, definition):
    """Few rows without gradients read the weights as they are."""
    case = make_case(normalised, rows, 6, 5, 19, dtype=torch.float32)
    with torch.inference_mode():
        found = case.run(recurrent.run)
        wanted = as_double(case).run(definition)
    for one, other in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        torch.testing.assert_close(one.double(), other, atol=2e-5, rtol=0)


def test_layouts_in_memory_do_not_matter(make_case, plain):
    case = make_case(plain, 5, 4, 3, 9, dtype=torch.float32)
    expected = case.run(recurrent.run)[0]
    assert torch.equal(case.run(recurrent.run, x=case.x.transpose(0, 1).contiguous().transpose(0, 1))[0], expected)
    weights = {name: w.repeat_interleave(2, 0)[::2] for name, w in case.weights.items()}
    assert torch.equal(case.run(recurrent.run, weights=weights)[0], expected)


def test_without_gradients_the_same_bits_come_out(native_variant, make_case):
    """On more than 64 rows and steps; fewer are computed another way, see test_native_rows.py."""
    case = make_case(native_variant, 14, 5, 6, 17, dtype=torch.float32, lengths=[5, 0, 3, 4, 1, 5, 2] * 2)
    with torch.inference_mode():
        quick = case.run(recurrent.run)
    y, final = outcome(recurrent.run, case)[0][0], outcome(recurrent.run, case)[0][1:]
    assert torch.equal(quick[0], y)
    assert all(torch.equal(a, b) for a, b in zip(quick[1], final, strict=True))


def test_a_second_backward_repeats_the_first(native_variant, make_case):
    case = make_case(native_variant, 4, 5, 3, 9, dtype=torch.float32, lengths=[5, 0, 3, 4], mask=True, zoneout="mask")
    leaves = case.leaves()
    y, _ = case.run(recurrent.run)
    first = torch.autograd.grad(y.square().sum(), leaves, retain_graph=True)
    second = torch.autograd.grad(y.square().sum(), leaves)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_gradients_only_where_wanted(make_case, plain):
    case = make_case(plain, 3, 4, 3, 9, dtype=torch.float32)
    names = ["x", *map(str, range(len(case.state))), *case.weights]
    everything = dict(zip(names, outcome(recurrent.run, case)[1], strict=True))
    for name in ("x", "weight_hh" if CELLS[plain.cell].recurrent else "weight_ih"):
        case = make_case(plain, 3, 4, 3, 9, dtype=torch.float32)
        leaf = (case.x if name == "x" else case.weights[name]).requires_grad_()
        assert torch.equal(torch.autograd.grad(weigh(*case.run(recurrent.run)), leaf)[0], everything[name])


def test_gradients_of_gradients_are_those_of_the_definition(native_variant, make_case, definition):
    results = []
    for way in (recurrent.run, definition):
        hidden = 16 if native_variant.layer_norm else 5  # see above
        case = make_case(
            native_variant, hidden=hidden, dtype=torch.float32, lengths=[6, 2, 0, 5], mask=True, zoneout="mask"
        )
        leaves = case.leaves()
        y, final = case.run(way)
        total = y.sum() + sum(part.pow(3).sum() for part in final)
        first = torch.autograd.grad(total, leaves, create_graph=True)
        results.append([*first, *torch.autograd.grad(sum(g.square().sum() for g in first), leaves)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", sorted(nn.RECURRENT))
@pytest.mark.parametrize("shape", [(1, 1, 8), (4, 1, 8), (1, 9, 8)])
def test_an_outer_gradient_that_repeats_is_that_spread_out(cell, shape):
    torch.manual_seed(0)
    layer = nn.RECURRENT[cell](5, 8, batch_first=True)
    given, lengths = torch.randn(shape).expand(4, 9, 8), torch.tensor([9, 0, 4, 7])
    found = []
    for outer in (given, given.clone()):
        x = torch.linspace(-1, 1, 180).view(4, 9, 5).requires_grad_()
        y, _ = layer(x, lengths=lengths)
        y.backward(outer)
        found.append([x.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
        layer.zero_grad()
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_saved_values_that_are_written_past_the_caches(target):
    torch.manual_seed(0)
    x, found = torch.randn(48, 300, 7), []  # more than 16 MiB of saved values: plan.cpp, kStream
    ours = nn.LSTM(7, 80, batch_first=True)
    theirs = torch.nn.LSTM(7, 80, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    for layer in (ours, theirs):
        y, _ = layer(x)
        y.square().sum().backward()
        found.append([y.detach(), *(parameter.grad for parameter in layer.parameters())])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=2e-3)


def test_a_variance_beyond_floats_normalises_to_zero(target):
    layer = nn.LSTM(3, 20, batch_first=True, layer_norm=True)
    with torch.no_grad():
        y, _ = layer(torch.full((8, 10, 3), 1e20) * torch.tensor([1.0, -2.0, 3.0]))
    assert torch.isfinite(y).all()
