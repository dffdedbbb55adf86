"""Values and gradients of every cell, against a step-by-step NumPy computation and numerical differences."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from unspool.ops import fused, recurrent
from unspool.ops.call import checked_call
from unspool.ops.layouts import CELLS

LENGTHS = [None, [6, 2, 0, 5]]
EXTRAS = [{}, {"mask": True}, {"zoneout": "mask"}, {"zoneout": 0.3}, {"mask": True, "zoneout": "mask"}]
BOUND = {torch.float32: 1e-6, torch.float64: 1e-12}


def greatest_error(found, expected):
    """Over outputs and final states, in units of the greatest of 1 and the expected value."""
    pairs = [(found[0], expected.output), *zip(found[1], expected.final, strict=True)]
    return max(np.max(np.abs(a.detach().double().numpy() - b) / np.maximum(1, np.abs(b)), initial=0) for a, b in pairs)


@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_every_cell_equals_the_computation_by_hand(variant, dtype, make_case, by_hand, definition):
    for extra, (lengths, reverse) in product(EXTRAS, [(LENGTHS[0], True), (LENGTHS[1], False), (LENGTHS[1], True)]):
        case = make_case(variant, dtype=dtype, lengths=lengths, reverse=reverse, **extra)
        expected = by_hand(case)
        for way in (recurrent.run, definition):
            assert greatest_error(case.run(way), expected) <= BOUND[dtype], (extra, lengths, reverse, way)


def test_trace_returns_gates_and_states_of_every_step(variant, make_case, by_hand):
    for lengths, reverse in product(LENGTHS, (False, True)):
        case = make_case(variant, lengths=lengths, reverse=reverse, mask=True, zoneout="mask")
        found, expected = case.run(recurrent.trace), by_hand(case)
        assert greatest_error((found.output, found.final), expected) <= 1e-12
        assert list(found.gates) == list(CELLS[variant.cell].gates)
        for name, gate in found.gates.items():
            np.testing.assert_allclose(gate, expected.gates[name], rtol=0, atol=1e-12)
            if name in "ifozr" and lengths is None:
                assert gate.min() > 0 and gate.max() < 1
        for state, by_name in zip(expected.states, found.states.values(), strict=True):
            np.testing.assert_allclose(by_name, state, rtol=1e-12, atol=1e-12)


def test_trace_of_no_steps_is_empty(plain, make_case):
    trace = make_case(plain, steps=0).run(recurrent.trace)
    assert {gate.shape for gate in [*trace.gates.values(), *trace.states.values()]} == {(4, 0, 5)}


GRADIENT_CASES = [
    {"lengths": [3, 1, 0]},
    {"lengths": [3, 2, 0], "reverse": True, "mask": True, "zoneout": "mask"},
    {"reverse": True, "zoneout": 0.3},
]


@pytest.mark.parametrize("options", GRADIENT_CASES, ids=["ragged", "masks", "whole"])
def test_gradients_equal_numerical_differences(differentiable, options, make_case, definition):
    case = make_case(differentiable, 3, 3, 2, 2, **options)
    leaves, names, states = case.leaves(), list(case.weights), len(case.state)
    for way in {recurrent.run, definition} if _has_fused(case) else {definition}:

        def outputs(x, *rest, way=way):
            weights = dict(zip(names, rest[states:], strict=True))
            y, final = case.run(way, x=x, state=rest[:states], weights=weights)
            return y, *final

        # one full comparison, the others along random directions, which finds as much and takes a tenth of the time
        assert torch.autograd.gradcheck(outputs, leaves, nondet_tol=0.0, fast_mode=options != GRADIENT_CASES[0])


def _has_fused(case):
    return fused.takes(checked_call(case.variant.cell, case.x, case.state, case.weights, case.lengths, **case.options))


def test_fused_layers_give_the_gradients_of_the_definition(in_torch, make_case, definition):
    """In float32, where torch takes another library than in double."""
    for seed, (lengths, reverse) in enumerate(product((None, [30, 7, 0, 29, 1], [7, 3, 2, 9, 9]), (False, True))):
        case = make_case(in_torch, 5, 30, 7, 9, dtype=torch.float32, lengths=lengths, reverse=reverse, seed=seed)
        results = [_gradients(case, way) for way in (recurrent.run, definition)]
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def _gradients(case, way, seed=1):
    """Gradients of a random projection of outputs and final states."""
    leaves = case.leaves()
    y, final = case.run(way)
    random = torch.Generator().manual_seed(seed)
    total = sum(
        ((part * torch.randn(part.shape, generator=random, dtype=part.dtype)).sum() for part in (y, *final)),
        start=torch.zeros((), dtype=y.dtype),
    )
    total.backward()
    return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]


def test_second_derivatives_equal_numerical_differences(plain, make_case):
    case = make_case(plain, 3, 3, 2, 2, lengths=[3, 1, 0])
    leaves, names, states = case.leaves(), list(case.weights), len(case.state)

    def outputs(x, *rest):
        y, final = case.run(
            recurrent.run, x=x, state=rest[:states], weights=dict(zip(names, rest[states:], strict=True))
        )
        return y, *final

    assert torch.autograd.gradgradcheck(outputs, leaves, fast_mode=True)


def test_second_derivatives_of_fused_layers_are_those_of_the_definition(in_torch, make_case, definition):
    case = make_case(in_torch, dtype=torch.float32, lengths=[6, 2, 0, 5])
    results = []
    for way in (recurrent.run, definition):
        leaves = case.leaves()
        y, final = case.run(way)
        total = y.square().sum() + sum(part.pow(3).sum() for part in final)
        (gradient,) = torch.autograd.grad(total, leaves[0], create_graph=True)
        results.append(torch.autograd.grad(gradient.square().sum(), leaves, allow_unused=True))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["run", "definition"])
def test_what_the_padding_holds_changes_no_bit(variant, way, make_case, definition):
    way = recurrent.run if way == "run" else definition
    extra = {} if way is recurrent.run else {"mask": True, "zoneout": "mask"}
    for reverse, dtype in zip((False, True), BOUND, strict=True):
        seen = []
        for poison in (0.0, 1e30, float("nan")):
            case = make_case(variant, lengths=[6, 2, 0, 5], reverse=reverse, dtype=dtype, **extra)
            padding = torch.arange(6) >= case.lengths[:, None]
            case.x[padding] = poison
            y, final = case.run(way)
            gradients = _gradients(case, way)
            assert not y[padding].any() and not gradients[0][padding].any()
            seen.append([part.detach() for part in (y, *final)] + gradients)
        for other in seen[1:]:
            assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


def test_what_comes_back_into_the_padding_changes_no_gradient(plain, make_case):
    for reverse in (False, True):
        seen = []
        for poison in (0.0, float("nan")):
            case = make_case(plain, lengths=[6, 2, 0, 5], reverse=reverse)
            leaves = case.leaves()
            y, _ = case.run(recurrent.run)
            incoming = torch.ones_like(y)
            incoming[torch.arange(6) >= case.lengths[:, None]] = poison
            y.backward(incoming)
            seen.append([leaf.grad for leaf in leaves if leaf.grad is not None])
        assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_more_padding_and_other_rows_change_nothing(variant, make_case):
    for reverse, dtype, rows in ((False, torch.float32, 33), (True, torch.float64, 7)):
        lengths = [(5 * b + 3) % 10 for b in range(rows)]
        case = make_case(variant, rows, 9, lengths=lengths, reverse=reverse, dtype=dtype)
        y, final = case.run(recurrent.run)
        wider = torch.cat([case.x, torch.full((rows, 20, 3), float("nan"), dtype=dtype)], 1)
        y2, final2 = case.run(recurrent.run, x=wider)
        assert not y2[:, 9:].any()
        pairs = [(y2[:, :9], y), *zip(final2, final, strict=True)]
        for b in range(rows):
            length = int(case.lengths[b])
            alone, last = case.run(
                recurrent.run, x=case.x[b : b + 1, :length], state=tuple(s[b : b + 1] for s in case.state), lengths=None
            )
            pairs += [(alone[0], y[b, :length]), *((s[0], whole[b]) for s, whole in zip(last, final, strict=True))]
        for found, expected in pairs:
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_a_row_that_is_not_finite_stays_alone(plain, make_case):
    for lengths, poison in product(LENGTHS, (float("nan"), float("inf"))):
        case = make_case(plain, lengths=lengths, dtype=torch.float32)
        before = case.run(recurrent.run)
        case.x[0, 3] = poison
        after = case.run(recurrent.run)
        assert torch.equal(before[0][1:], after[0][1:]) and torch.equal(before[0][0, :3], after[0][0, :3])
        assert all(torch.equal(a[1:], b[1:]) for a, b in zip(before[1], after[1], strict=True))


@pytest.mark.parametrize(
    "rows, steps, lengths", [(0, 5, []), (0, 5, None), (3, 0, None), (3, 0, [0, 0, 0]), (3, 4, [0, 0, 0])]
)
@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_nothing_to_read_leaves_the_state(variant, rows, steps, lengths, dtype, make_case, definition):
    for reverse, way in product((False, True), (recurrent.run, definition)):
        case = make_case(variant, rows, steps, lengths=lengths, reverse=reverse, dtype=dtype)
        y, final = case.run(way)
        assert y.shape == (rows, steps, 5) and not y.any()
        assert all(torch.equal(a, b) for a, b in zip(final, case.state, strict=True))
        gradients = _gradients(case, way)
        weights = gradients[1 + len(final) :]
        assert not gradients[0].any() and not any(gradient.any() for gradient in weights)


def test_reading_in_pieces_equals_reading_at_once(variant, make_case):
    case = make_case(variant, lengths=[6, 2, 0, 5], mask=True)
    y, final = case.run(recurrent.run)
    pieces, state = [], case.state
    for start in (0, 1, 4):
        stop = {0: 1, 1: 4, 4: 6}[start]
        lengths = (case.lengths - start).clamp(0, stop - start)
        piece, state = case.run(recurrent.run, x=case.x[:, start:stop], state=state, lengths=lengths)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, 1), y, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=0, atol=1e-12)


def test_reverse_equals_reading_the_mirrored_row(plain, make_case):
    case = make_case(plain)
    y, final = case.run(recurrent.run, reverse=True)
    mirrored, last = case.run(recurrent.run, x=case.x.flip(1))
    torch.testing.assert_close(y, mirrored.flip(1), rtol=0, atol=1e-12)
    torch.testing.assert_close(final, last, rtol=0, atol=1e-12)


def test_the_final_state_survives_much_padding_to_the_last_bit(in_torch, make_case):
    """An LSTM's memory is held still by its gates, which must not wear it down."""
    case = make_case(in_torch, 3, 4, dtype=torch.float32, lengths=[4, 3, 1])
    _, final = case.run(recurrent.run)
    wider = torch.cat([case.x, torch.zeros(3, 3000, 3)], 1)
    _, later = case.run(recurrent.run, x=wider)
    assert all(torch.equal(a, b) for a, b in zip(final, later, strict=True))
