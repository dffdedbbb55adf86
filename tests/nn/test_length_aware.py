"""One table of every convolution and pooling: padding, other rows, and empty texts never change an answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unspool.nn import POOLINGS, ConvPool, DilatedConv, LastPool, StackedConv, TextConv

E = 6
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "region max": lambda: TextConv(E, 5),
    "region tanh": lambda: TextConv(E, 5, (1, 2, 2), "tanh"),
    "region mean": lambda: TextConv(E, 5, (2, 7), "relu", "mean"),
    "region mean+variance": lambda: TextConv(E, 5, (3,), "tanh", "mean+variance"),
    "conv pool": lambda: ConvPool(E, 5, 3, 2),
    "stacked max": lambda: StackedConv(E, 5, 3, 2),
    "stacked mean+variance": lambda: StackedConv(E, 5, 2, 3, 2, "mean+variance"),
    # Wide enough that no step has nearly equal channels: normalising those divides rounding by next to nothing.
    "dilated": lambda: DilatedConv(E, 16, 3, 3),
    "dilated causal": lambda: DilatedConv(E, 16, 2, 3, causal=True),
    "last of two directions": lambda: LastPool(E, bidirectional=True),
    **{f"pool {name}": lambda kind=kind: kind(E) for name, kind in POOLINGS.items()},
}


def build(name: str) -> nn.Module:
    torch.manual_seed(3)
    layer = LAYERS[name]().eval()
    for parameter in layer.parameters():  # biases that are not zero would show an answer where none belongs
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def answer(layer: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    result = layer(x, lengths)
    return result[0] if isinstance(result, tuple) else result


def gradients(layer: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The answer, and the gradients of x and of every parameter, for one fixed loss."""
    x = x.clone().requires_grad_()
    result = answer(layer, x, lengths)
    loss = (result * torch.linspace(-1, 1, result.shape[-1])).sum()
    return result.detach(), list(torch.autograd.grad(loss, [x, *layer.parameters()]))


def assert_close_in_time(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Equal to `tolerance` of the largest number (at least 1); a sequence may be longer by steps of exact zeros."""
    if found.dim() == 3:
        steps = min(found.shape[1], wanted.shape[1])
        assert not found[:, steps:].any()
        assert not wanted[:, steps:].any()
        found, wanted = found[:, :steps], wanted[:, :steps]
    scale = float(wanted.detach().abs().max()) if wanted.numel() else 0.0
    torch.testing.assert_close(found, wanted, atol=tolerance * max(1.0, scale), rtol=0)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(0, 12), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_padding_changes_no_bit(name: str, lengths: list[int], seed: int) -> None:
    layer, steps = build(name), max(lengths) + 3
    torch.manual_seed(seed)
    x, counts = torch.randn(len(lengths), steps, E), torch.tensor(lengths)
    padding = torch.arange(steps) >= counts[:, None]
    clean, clean_gradients = gradients(layer, x.masked_fill(padding[..., None], 0), counts)
    assert clean.isfinite().all()
    assert not clean_gradients[0][padding].any()
    for filling in (1e30, float("nan"), float("inf")):
        found, found_gradients = gradients(layer, x.masked_fill(padding[..., None], filling), counts)
        assert torch.equal(found, clean)
        for left, right in zip(found_gradients, clean_gradients, strict=True):
            assert torch.equal(left, right)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(0, 12), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_a_row_alone_and_unpadded_is_the_row_in_a_batch(name: str, lengths: list[int], seed: int) -> None:
    layer = build(name)
    torch.manual_seed(seed)
    x, counts = torch.randn(len(lengths), max(lengths) + 2, E), torch.tensor(lengths)
    together = answer(layer, x, counts)
    exact, exact_gradients = gradients(layer.double(), x.double(), counts)
    for row, length in enumerate(lengths):
        alone = x[row : row + 1, :length], counts[row : row + 1]
        assert_close_in_time(together[row : row + 1], answer(layer.float(), *alone), 1e-6)
        one, one_gradients = gradients(layer.double(), alone[0].double(), alone[1])
        assert_close_in_time(exact[row : row + 1], one, 1e-12)
        assert_close_in_time(exact_gradients[0][row : row + 1], one_gradients[0], 1e-12)
        if not length:
            assert not together[row].any()
            assert not any(part.any() for part in one_gradients)


@pytest.mark.parametrize("name", LAYERS)
def test_an_empty_text_makes_no_nan_on_the_way(name: str) -> None:
    with torch.autograd.set_detect_anomaly(True):  # raises when a step of the backward pass gives NaN
        gradients(build(name), torch.full((3, 5, E), torch.nan), torch.tensor([0, 0, 0]))
        gradients(build(name), torch.randn(3, 5, E), torch.tensor([0, 5, 2]))


@pytest.mark.parametrize("name", LAYERS)
def test_a_broken_row_stays_alone(name: str) -> None:
    layer, lengths = build(name), torch.tensor([9, 8, 9])
    x = torch.randn(3, 9, E)
    clean = answer(layer, x, lengths)
    x[1, 4] = float("nan")
    broken = answer(layer, x, lengths)
    assert torch.equal(broken[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("name", LAYERS)
def test_no_lengths_means_all_steps(name: str) -> None:
    layer, x = build(name), torch.randn(3, 9, E)
    assert torch.equal(answer(layer, x, None), answer(layer, x, torch.tensor([9, 9, 9])))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("batch", "steps"), [(0, 4), (2, 0), (0, 0)])
def test_no_row_and_no_step_give_zeros(name: str, batch: int, steps: int) -> None:
    layer = build(name)
    result, found = gradients(layer, torch.zeros(batch, steps, E), torch.zeros(batch, dtype=torch.int64))
    assert result.shape[0] == batch
    assert result.shape[-1] == layer.out_features
    assert not result.any()
    assert not any(part.any() for part in found)


@pytest.mark.parametrize("name", LAYERS)
def test_gradcheck_in_double(name: str) -> None:
    layer = build(name).double()
    lengths = torch.tensor([8, 1, 0, 5])
    x = torch.randn(4, 8, E, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    names = [key for key, _ in layer.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        result = torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x, lengths))
        return result[0] if isinstance(result, tuple) else result

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize("name", LAYERS)
def test_state_dict_round_trip(name: str) -> None:
    layer, other = build(name), LAYERS[name]().eval()
    x, lengths = torch.randn(3, 9, E), torch.tensor([9, 4, 0])
    other.load_state_dict({key: value.clone() for key, value in layer.state_dict().items()})
    assert torch.equal(answer(other, x, lengths), answer(layer, x, lengths))


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_inputs_are_named(name: str) -> None:
    layer = build(name)
    with pytest.raises(ValueError, match=rf"^input: expected shape \(batch, time, {E}\), got \(2, 5, {E + 1}\)$"):
        layer(torch.zeros(2, 5, E + 1))
    with pytest.raises(ValueError, match=r"^lengths: expected shape \(2,\), one a row, got \(3,\)$"):
        layer(torch.zeros(2, 5, E), torch.tensor([1, 2, 3]))
    with pytest.raises(TypeError, match=r"^lengths: expected whole numbers, got torch.float32$"):
        layer(torch.zeros(2, 5, E), torch.tensor([1.0, 2.0]))
