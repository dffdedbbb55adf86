"""The compiled region convolution against the definition in double, and what the kernels promise of rows."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from unspool import native
from unspool.ops import compiled_regions
from unspool.ops.convolution import region_conv

pytestmark = [
    pytest.mark.skipif(native.core() is None, reason="the compiled core is not in use"),
    pytest.mark.usefixtures("target"),
]

SHAPES = [
    (*rows_steps, *width_filters)
    for rows_steps, width_filters in itertools.product(
        ((1, 1), (3, 7), (33, 40), (2, 131)), ((1, 1), (7, 8), (13, 33), (16, 17), (50, 70))
    )
]


def make(rows: int, steps: int, width: int, filters: int, size: int, fill: float) -> tuple[Tensor, ...]:
    """x with `fill` in its padding, ragged lengths among them a full and an empty one, weight, bias."""
    generator = torch.Generator().manual_seed(rows * 1000 + steps * 10 + width + filters + size)
    x = torch.randn(rows, steps, width, generator=generator)
    lengths = torch.randint(0, steps + 1, (rows,), generator=generator)
    lengths[0] = steps
    if rows > 2:
        lengths[1] = 0
    x.masked_fill_((torch.arange(steps) >= lengths[:, None])[..., None], fill)
    weight = torch.randn(filters, size, width, generator=generator) / (size * width) ** 0.5
    return x, lengths, weight, torch.randn(filters, generator=generator)


def answer_and_gradients(parts: tuple[Tensor, ...], activation: str = "relu", kept: int = 1) -> tuple[Tensor, ...]:
    x, lengths, weight, bias = parts
    leaves = [part.clone().requires_grad_() for part in (x, weight, bias)]
    pooling = "max" if kept == 1 else "k-max"
    y = region_conv(leaves[0], lengths, leaves[1], leaves[2], activation, pooling, kept)
    slope = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y.detach(), *torch.autograd.grad((y * slope).sum(), leaves)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize(("activation", "kept"), [("relu", 1), ("tanh", 1), ("tanh", 3)])
def test_equals_the_definition_in_double(size: int, activation: str, kept: int) -> None:
    for shape in SHAPES:
        x, lengths, weight, bias = make(*shape, size, fill=0.0)
        assert compiled_regions.takes(x)
        ours = answer_and_gradients((x, lengths, weight, bias), activation, kept)
        wanted = answer_and_gradients((x.double(), lengths, weight.double(), bias.double()), activation, kept)
        for found, expected in zip(ours, wanted, strict=True):
            worst = float((found.double() - expected).abs().max())
            assert worst <= 5e-6 * max(1.0, float(expected.abs().max())), shape


@pytest.mark.parametrize("fill", [1e30, float("nan"), float("inf")])
@pytest.mark.parametrize(("width", "size"), [(13, 3), (20, 2), (20, 3), (20, 5)])
def test_padding_changes_no_bit(width: int, size: int, fill: float) -> None:
    plain, filled = (answer_and_gradients(make(33, 40, width, 33, size, value)) for value in (0.0, fill))
    for found, wanted in zip(filled, plain, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("width", [13, 20])
def test_threads_change_no_bit(width: int) -> None:
    before = torch.get_num_threads()
    try:
        answers = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            answers.append(answer_and_gradients(make(33, 40, width, 33, 5, 0.0)))
    finally:
        torch.set_num_threads(before)
    for other in answers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(answers[0], other, strict=True))


@pytest.mark.parametrize(("width", "size"), [(13, 3), (20, 3), (20, 4)])
def test_a_row_alone_has_the_same_bits_and_a_nan_stays_in_its_row(width: int, size: int) -> None:
    x, lengths, weight, bias = make(33, 40, width, 33, size, 0.0)
    whole = region_conv(x, lengths, weight, bias)
    for row in (0, 2, 32):
        own = int(lengths[row])
        assert torch.equal(region_conv(x[row : row + 1, :own], lengths[row : row + 1], weight, bias)[0], whole[row])
    x[0, 3, 5] = float("nan")
    spoiled = region_conv(x, lengths, weight, bias)
    assert spoiled[0].isnan().all()
    assert torch.equal(spoiled[1:], whole[1:])


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [19, 20])
def test_windows_computed_in_pairs_keep_what_is_not_finite_to_themselves(size: int, bad: float, at: int) -> None:
    """Whichever step of a pair holds it: only the windows that hold it may show it."""
    x, _, weight, bias = make(1, 40, 20, 33, size, 0.0)
    x[0, at] = bad
    for end in range(size, 41):
        for part in (x[:, :end], x[:, end - size :]):
            spoiled = not region_conv(part, torch.tensor([part.shape[1]]), weight, bias).isfinite().all()
            holds = not part.isfinite().all()
            assert spoiled == holds if bad != bad else spoiled <= holds


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("large", [1e38, -1e38])
def test_what_is_large_but_finite_gives_what_the_definition_in_double_gives(size: int, large: float) -> None:
    x, lengths, weight, bias = make(5, 40, 20, 33, size, 0.0)
    x[:, ::9, 3] = large
    x[:, ::13, 19] = -large
    found = region_conv(x, lengths, weight, bias, "tanh")
    wanted = region_conv(x.double(), lengths, weight.double(), bias.double(), "tanh")
    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=0)
    found, wanted = (
        region_conv(x, lengths, weight, bias),
        region_conv(x.double(), lengths, weight.double(), bias.double()),
    )
    assert float(wanted.max()) < 3e38
    torch.testing.assert_close(found.double(), wanted, atol=5e-6, rtol=5e-6)


def call(**changed: object) -> None:
    x, lengths, weight, bias = make(3, 7, 5, 8, 3, 0.0)
    arguments: dict[str, object] = {
        "x": x, "lengths": lengths, "weight": weight, "bias": bias, "threads": 1,
        "y": torch.empty(3, 1, 8), "winner": torch.empty(3, 1, 8, dtype=torch.int32),
    }  # fmt: skip
    core = native.core()
    assert core is not None
    core.region_forward(**{**arguments, **changed})


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("x", torch.zeros(3, 7), ValueError),
        ("x", torch.zeros(3, 7, 5, dtype=torch.float64), TypeError),
        ("x", torch.zeros(3, 5, 7).transpose(1, 2), ValueError),
        ("weight", torch.zeros(8, 3, 4), ValueError),
        ("weight", torch.zeros(0, 3, 5), ValueError),
        ("bias", torch.zeros(7), ValueError),
        ("lengths", torch.tensor([7, 0, 8]), ValueError),
        ("lengths", torch.tensor([7, 0, -1]), ValueError),
        ("lengths", torch.tensor([7.0, 0.0, 1.0]), TypeError),
        ("y", torch.empty(3, 1, 9), ValueError),
        ("winner", torch.empty(3, 1, 8), TypeError),
        ("winner", torch.empty(3, 8, dtype=torch.int32), ValueError),
        ("winner", torch.empty(3, 0, 8, dtype=torch.int32), ValueError),
        ("threads", 0, ValueError),
    ],
)
def test_wrong_arguments_are_refused_by_name(name: str, value: object, error: type[Exception]) -> None:
    call()
    with pytest.raises(error, match=f"^{name}"):
        call(**{name: value})


def backward_call(**changed: object) -> None:
    x, lengths, weight, _ = make(3, 7, 5, 8, 3, 0.0)
    arguments: dict[str, object] = {
        "x": x, "lengths": lengths, "weight": weight, "threads": 1, "winner": torch.zeros(3, 1, 8, dtype=torch.int32),
        "d_y": torch.ones(3, 1, 8), "d_x": torch.empty(3, 7, 5), "d_weight": torch.empty(8, 3, 5),
        "d_bias": torch.empty(8),
    }  # fmt: skip
    core = native.core()
    assert core is not None
    core.region_backward(**{**arguments, **changed})


@pytest.mark.parametrize(
    ("name", "shape"), [("d_y", (3, 1, 8)), ("d_x", (3, 7, 5)), ("d_weight", (8, 3, 5)), ("d_bias", (8,))]
)
def test_wrong_gradients_are_refused_by_name(name: str, shape: tuple[int, ...]) -> None:
    backward_call()
    right = torch.zeros(shape)
    wider = torch.zeros(*shape[:-1], shape[-1] + 1)
    for value, error in (
        *((wrong, ValueError) for wrong in (wider, right[None], torch.zeros(*shape, 2)[..., 0])),
        *((wrong, TypeError) for wrong in (right.double(), right.int(), right.tolist())),
    ):
        with pytest.raises(error, match=f"^{name}: "):
            backward_call(**{name: value})


def test_a_winner_outside_its_text_is_refused() -> None:
    x, lengths, weight, _ = make(3, 7, 5, 8, 3, 0.0)
    core = native.core()
    assert core is not None
    winner = torch.full((3, 1, 8), 5, dtype=torch.int32)
    with pytest.raises(ValueError, match="winner: a window lies outside its text"):
        core.region_backward(x, lengths, weight, 1, winner, torch.ones(3, 1, 8), torch.empty_like(x), None, None)
