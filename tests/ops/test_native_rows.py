"""What must change no bit: padding, other rows, threads. And what must stay finite."""

from __future__ import annotations

import pytest
import torch

from unspool import native
from unspool.ops import recurrent

pytestmark = [
    pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off"),
    pytest.mark.usefixtures("target"),
]


def everything(case):
    """Outputs, final states and all gradients."""
    leaves = case.leaves()
    y, final = case.run(recurrent.run)
    weighing = torch.linspace(-1, 1, y.numel()).view_as(y)
    loss = (y * weighing).sum() + sum((part * part.detach().cos()).sum() for part in final)
    return [y.detach(), *(part.detach() for part in final), *torch.autograd.grad(loss, leaves)]


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_padding_is_never_read(plain, make_case):
    lengths = [7, 0, 3, 7, 1]
    for reverse in (False, True):
        found = []
        for content in (0.0, 1e30, float("nan")):
            case = make_case(plain, 5, 7, 6, 17, dtype=torch.float32, lengths=lengths, reverse=reverse, mask=True)
            for row, length in enumerate(lengths):
                case.x[row, length:] = content
            found.append(everything(case))
            for row, length in enumerate(lengths):
                assert not found[-1][0][row, length:].any()
                assert not found[-1][1 + len(case.state)][row, length:].any()
        assert same(found[0], found[1])
        assert same(found[0], found[2])


def assert_same_on_threads(variant, make_case):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            lengths = [(5 * k) % 12 for k in range(33)]
            case = make_case(variant, 33, 11, 6, 20, dtype=torch.float32, lengths=lengths, zoneout="mask")
            found.append(everything(case))
    finally:
        torch.set_num_threads(before)
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_threads_change_no_bit(plain, make_case):
    assert_same_on_threads(plain, make_case)


def test_threads_change_no_bit_of_normalised_layers(normalised, make_case):
    assert_same_on_threads(normalised, make_case)


def test_runs_repeat_to_the_bit(plain, make_case):
    first = everything(make_case(plain, 9, 8, 6, 20, dtype=torch.float32, mask=True))
    for _ in range(5):
        assert same(first, everything(make_case(plain, 9, 8, 6, 20, dtype=torch.float32, mask=True)))


def part_of(case, rows):
    y, final = case.run(recurrent.run, x=case.x[rows], state=tuple(part[rows] for part in case.state))
    return [y, *final]


def test_a_row_in_a_batch_does_not_see_the_others(plain, make_case):
    case = make_case(plain, 33, 14, 5, 19, dtype=torch.float32)  # more than the few that go another way
    whole = part_of(case, slice(None))
    for rows in (slice(0, 5), slice(13, 20), slice(27, 33)):
        assert same(part_of(case, rows), [part[rows] for part in whole])


def test_a_few_rows_equal_the_same_rows_in_a_batch(plain, make_case):
    """Four rows or fewer, or 64 rows and steps or fewer, take other products in inference: the last bits may differ
    from those of a batch, but not among themselves."""
    case = make_case(plain, 33, 6, 5, 19, dtype=torch.float32)
    whole = part_of(case, slice(None))
    for row in (0, 13, 29):
        alone = part_of(case, slice(row, row + 1))
        for few in (2, 3, 4):
            assert same(alone, [part[:1] for part in part_of(case, slice(row, row + few))])
        for mine, theirs in zip(alone, whole, strict=True):
            scale = max([1.0, *theirs[row].abs().flatten().tolist()])  # relu is not bounded
            torch.testing.assert_close(mine[0], theirs[row], rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("steps", [9, 23, 66, 137])
@pytest.mark.parametrize("hidden", [7, 53])
def test_long_rows_of_few_are_the_definitions(plain, steps, hidden, make_case, definition):
    """Their inputs are projected by packed steps, what is left over of 64 and short rows are not."""
    for reverse in (False, True):
        case = make_case(
            plain, 3, steps, 13, hidden, dtype=torch.float32, lengths=[steps, 8, steps - 3], reverse=reverse
        )
        case.weights = {name: 0.3 * weight for name, weight in case.weights.items()}  # rounding is not to grow
        with torch.no_grad():
            y, final = case.run(recurrent.run)
            expected, last = case.run(definition)
        for found, wanted in zip((y, *final), (expected, *last), strict=True):
            scale = max([1.0, *wanted.abs().flatten().tolist()])  # relu is not bounded
            torch.testing.assert_close(found, wanted, atol=2e-6 * scale, rtol=0)


@pytest.mark.parametrize("rows", [49, 63, 64, 65])
def test_one_step_of_many_rows_is_the_definitions(plain, rows, make_case, definition):
    """So many rows come in several groups when the weights are packed, and in one when they are not."""
    case = make_case(plain, rows, 1, 5, 9, dtype=torch.float32)
    with torch.no_grad():
        y, final = case.run(recurrent.run)
        expected, last = case.run(definition)
    for found, wanted in zip((y, *final), (expected, *last), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-6, rtol=0)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("steps", [7, 40])
def test_threads_that_share_a_row_change_no_bit(plain, rows, steps, make_case, definition):
    before, found = torch.get_num_threads(), []
    lengths = [steps, 0, steps - 3][:rows]
    case = make_case(plain, rows, steps, 33, 270, dtype=torch.float32, lengths=lengths, zoneout=0.2)
    case.weights = {name: weight * 0.1 for name, weight in case.weights.items()}
    try:
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            for _ in range(3):  # the first of its kind is timed alone
                y, final = case.run(recurrent.run)
                found.append([y, *final])
    finally:
        torch.set_num_threads(before)
    assert all(same(found[0], other) for other in found[1:])
    y, final = case.run(definition)
    for mine, theirs in zip(found[0], [y, *final], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_poisoned_row_stays_alone(plain, poison, make_case):
    case = make_case(plain, 13, 6, 5, 19, dtype=torch.float32)
    clean = everything(case)
    case = make_case(plain, 13, 6, 5, 19, dtype=torch.float32)
    case.x[4, 3, 2] = poison
    dirty = everything(case)
    others = torch.arange(13) != 4
    for a, b in zip(clean[: 2 + 2 * len(case.state)], dirty[: 2 + 2 * len(case.state)], strict=True):
        assert torch.equal(a[others], b[others])
    assert torch.equal(clean[0][4, :3], dirty[0][4, :3])


def in_double(case, definition):
    weights = {name: w.double() for name, w in case.weights.items()}
    return case.run(definition, x=case.x.double(), state=tuple(s.double() for s in case.state), weights=weights)


@pytest.mark.parametrize("size", [1e4, 1e38, float("inf")])
def test_finite_wherever_the_definition_in_double_is(plain, size, make_case, definition):
    for sign in (1, -1):
        case = make_case(plain, 4, 5, 3, 9, dtype=torch.float32)
        case.x.view(-1)[::7] = sign * size
        found, _ = case.run(recurrent.run)
        expected, _ = in_double(case, definition)
        finite = expected.isfinite() & (expected.abs() < 1e37)
        assert found[finite].isfinite().all()


@pytest.mark.parametrize("size", [1e-40, -1e-40, 1e-42, -1e-45])
def test_denormal_inputs_and_states_count_as_next_to_nothing(plain, size, make_case, definition):
    """They may be flushed to 0, which nobody sees beside 1."""
    case = make_case(plain, 9, 8, 3, 9, dtype=torch.float32)  # more than the few that go another way
    case.x = torch.full_like(case.x, size)
    case.state = tuple(torch.full_like(part, size) for part in case.state)
    expected, last = in_double(case, definition)
    found = everything(case)
    assert all(part.isfinite().all() for part in found)
    for mine, theirs in zip(found[: 1 + len(last)], (expected, *last), strict=True):
        torch.testing.assert_close(mine.double(), theirs.double(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(0, 5, 3, 9), (4, 0, 3, 9), (4, 5, 3, 9), (3, 4, 0, 9)], ids=str)
def test_nothing_to_do(plain, shape, make_case):
    rows = shape[0]
    case = make_case(plain, *shape, dtype=torch.float32, lengths=[0] * rows if shape[2] else None)
    found = everything(case)
    if shape[2] == 0:
        assert found[0].isfinite().all()
        return
    assert not found[0].any()
    assert all(torch.equal(a, b) for a, b in zip(found[1:], case.state, strict=False))
    assert not any(part.any() for part in found[2 + 2 * len(case.state) :])


def test_denormals_cost_nothing_and_the_mode_is_restored(make_case, plain):
    case = make_case(plain, 4, 5, 3, 9, dtype=torch.float32)
    case.run(recurrent.run, x=case.x * 1e-42)
    tiny = torch.tensor([1e-40])
    assert float(tiny * 1.0) != 0.0
