"""All answers of a convolution by the compiled core, against torch in double, and what the kernels promise of rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unspool import native
from unspool.ops import compiled_windows
from unspool.ops.convolution import window_conv

pytestmark = [
    pytest.mark.skipif(native.core() is None, reason="the compiled core is not in use"),
    pytest.mark.usefixtures("target"),
]

Answer = Callable[..., Tensor]
SHAPES = [
    (rows, steps, width, filters, size)
    for (rows, steps), (width, filters), size in itertools.product(
        ((1, 1), (3, 7), (33, 40), (2, 131)), ((1, 1), (7, 8), (13, 33), (16, 17), (50, 70)), (1, 2, 3, 7)
    )
]


def make(rows: int, steps: int, width: int, filters: int, size: int, fill: float) -> tuple[Tensor, ...]:
    """x with `fill` in its padding, ragged lengths among them a full and an empty one, weight, bias."""
    generator = torch.Generator().manual_seed(rows + steps + width + filters + size)
    x = torch.randn(rows, steps, width, generator=generator)
    lengths = torch.randint(0, steps + 1, (rows,), generator=generator)
    lengths[0], lengths[rows // 2] = steps, 0 if rows > 2 else steps
    x.masked_fill_((torch.arange(steps) >= lengths[:, None])[..., None], fill)
    weight = torch.randn(filters, size, width, generator=generator) / (size * width) ** 0.5
    return x, lengths, weight, torch.randn(filters, generator=generator)


def answer_and_gradients(parts: tuple[Tensor, ...], answer: Answer = compiled_windows.answers) -> tuple[Tensor, ...]:
    """What `answer` gives, and the gradients when what stands past the windows has a gradient that is no number."""
    x, lengths, weight, bias = parts
    leaves = [part.clone().requires_grad_() for part in (x, weight, bias)]
    y = answer(leaves[0], lengths, *leaves[1:])
    slope = torch.randn(y.shape, generator=torch.Generator().manual_seed(3)).to(y.dtype)
    counts = torch.where(lengths > 0, (lengths - weight.shape[1] + 1).clamp(min=1), 0)
    past = (torch.arange(y.shape[1]) >= counts[:, None])[..., None]
    if answer is compiled_windows.answers:
        slope = torch.where(past, torch.nan, slope)
    return y.detach(), *torch.autograd.grad(y, leaves, slope)


def in_double(x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return window_conv(x, lengths, weight, bias)[0]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_definition_in_double(shape: tuple[int, ...]) -> None:
    x, lengths, weight, bias = make(*shape, fill=torch.nan)
    ours = answer_and_gradients((x, lengths, weight, bias))
    wanted = answer_and_gradients((x.double(), lengths, weight.double(), bias.double()), in_double)
    for found, expected in zip(ours, wanted, strict=True):
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found.double(), expected, atol=5e-6 * scale, rtol=0)


@pytest.mark.parametrize("width", [13, 20])
def test_threads_change_no_bit(width: int) -> None:
    before, answers = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            answers.append(answer_and_gradients(make(33, 40, width, 33, 5, 0.0)))
    finally:
        torch.set_num_threads(before)
    for other in answers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(answers[0], other, strict=True))


def test_a_row_alone_has_the_same_bits_and_a_nan_stays_in_its_windows() -> None:
    x, lengths, weight, bias = make(33, 40, 13, 33, 3, 0.0)
    whole = compiled_windows.answers(x, lengths, weight, bias)
    for row in (0, 2, 32):
        own = int(lengths[row])
        alone = compiled_windows.answers(x[row : row + 1, :own], lengths[row : row + 1], weight, bias)
        assert torch.equal(alone[0], whole[row, : max(own - 2, 1)])
    x[0, 10, 5] = float("nan")
    spoiled = compiled_windows.answers(x, lengths, weight, bias)
    assert spoiled[0, 8:11].isnan().all()
    assert torch.equal(spoiled[0, :8], whole[0, :8])
    assert torch.equal(spoiled[0, 11:], whole[0, 11:])
    assert torch.equal(spoiled[1:], whole[1:])


def test_only_what_is_asked_for() -> None:
    x, lengths, weight, bias = make(3, 7, 5, 8, 3, 0.0)
    for leaf in (x, weight, bias):
        leaf.requires_grad_()
        (found,) = torch.autograd.grad(compiled_windows.answers(x, lengths, weight, bias).sum(), leaf)
        leaf.requires_grad_(False)
        double = [part.double().requires_grad_(part is leaf) for part in (x, weight, bias)]
        (wanted,) = torch.autograd.grad(
            in_double(double[0], lengths, *double[1:]).sum(), [one for one in double if one.requires_grad]
        )
        torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=0)


def arguments(entry: str) -> dict[str, object]:
    x, lengths, weight, bias = make(3, 7, 5, 8, 3, 0.0)
    given: dict[str, object] = {"x": x, "lengths": lengths, "weight": weight}
    if entry == "windows_forward":
        return given | {"bias": bias, "threads": 1, "y": torch.empty(3, 5, 8)}
    results = {"d_x": torch.empty_like(x), "d_weight": torch.empty_like(weight), "d_bias": torch.empty_like(bias)}
    return given | {"threads": 1, "d_y": torch.ones(3, 5, 8), **results}


WRONG: dict[str, list[tuple[object, type[Exception]]]] = {
    "x": [
        (torch.zeros(3, 7), ValueError),
        (torch.zeros(3, 7, 5, dtype=torch.float64), TypeError),
        (torch.zeros(3, 5, 7).transpose(1, 2), ValueError),
        (None, ValueError),
    ],
    "weight": [
        (torch.zeros(8, 3, 4), ValueError),
        (torch.zeros(0, 3, 5), ValueError),
        (torch.zeros(8, 15), ValueError),
    ],
    "bias": [(torch.zeros(7), ValueError)],
    "lengths": [
        (torch.tensor([7, 0, 8]), ValueError),
        (torch.tensor([7, 0, -1]), ValueError),
        (torch.tensor([7.0, 0.0, 1.0]), TypeError),
        (None, ValueError),
    ],
    "y": [(torch.empty(3, 7, 8), ValueError), (None, TypeError)],
    "d_y": [(torch.empty(3, 7, 8), ValueError), (None, TypeError), (torch.ones(3, 8, 5).transpose(1, 2), ValueError)],
    "d_x": [(torch.empty(3, 7, 6), ValueError), (torch.empty(3, 7, 5, dtype=torch.int64), TypeError)],
    "d_weight": [(torch.empty(8, 5, 3), ValueError)],
    "d_bias": [(torch.empty(9), ValueError)],
    "threads": [(0, ValueError), (5000, ValueError)],
}


@pytest.mark.parametrize(("name", "value", "error"), [(name, *pair) for name, pairs in WRONG.items() for pair in pairs])
def test_wrong_arguments_are_refused_by_name(name: str, value: object, error: type[Exception]) -> None:
    for entry in ("windows_forward", "windows_backward"):
        call, given = getattr(native.core(), entry), arguments(entry)
        call(**given)
        if name in given:
            with pytest.raises(error, match=f"^{name}: "):
                call(**given | {name: value})


def test_results_may_not_overlap() -> None:
    given = arguments("windows_backward")
    with pytest.raises(ValueError, match="overlaps"):
        native.present().windows_backward(**given | {"d_x": given["x"]})


def test_a_gradient_of_gradients_is_refused_in_words() -> None:
    x, lengths, weight, bias = make(3, 7, 5, 8, 3, 0.0)
    y = compiled_windows.answers(x.requires_grad_(), lengths, weight, bias)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="a convolution has no gradient of gradients in float32: use float64"):
        first.sum().backward()


def test_a_bias_may_be_one_number_for_all_filters() -> None:
    x, lengths, weight, _ = make(3, 7, 5, 8, 3, 0.0)
    bias = torch.full((1,), 0.5).expand(8)
    assert torch.equal(*(compiled_windows.answers(x, lengths, weight, one) for one in (bias, bias.clone())))


def test_sizes_without_a_row_do_not_overflow() -> None:
    x, y = torch.empty(0, 2**49, 64), torch.empty(0, 2**49, 1536)
    given = (x, torch.empty(0, dtype=torch.int64), torch.zeros(1536, 1, 64), 1536, y, None, torch.empty(1536, 1, 64))
    with pytest.raises(ValueError, match="too large"):
        native.present().windows_backward(*given, None)
