"""The convolutions against loops over every window, written in NumPy, with their gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unspool.errors import SettingError
from unspool.ops.convolution import ACTIVATIONS, REGION_POOLINGS, dilated_conv, moments, region_conv, window_conv

Array = npt.NDArray[np.float64]
K = 2
KINDS = [(activation, pooling) for activation in ACTIVATIONS for pooling in REGION_POOLINGS]


def problem(lengths: list[int], steps: int, width: int, filters: int, size: int, seed: int = 0) -> list[Tensor]:
    """x, lengths, weight, bias in double; the padding of x holds numbers that would show."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return [draw(len(lengths), steps, width), torch.tensor(lengths), draw(filters, size, width), draw(filters)]


def windows_of(row: Array, size: int) -> list[tuple[int, Array]]:
    """Every window (start, (k, E)) of one text, zero-extended to one window when it is shorter; none when empty."""
    if not len(row):
        return []
    row = np.concatenate([row, np.zeros((max(size - len(row), 0), row.shape[1]))])
    return [(start, row[start : start + size]) for start in range(len(row) - size + 1)]


def by_hand(
    x: Array, lengths: Array, weight: Array, bias: Array, activation: str, pooling: str, grad: Array
) -> tuple[Array, Array, Array, Array]:
    """Answer, and the gradients of x, weight and bias for the output gradient `grad`, one filter and text at a time."""
    batch, filters, size = len(x), weight.shape[0], weight.shape[1]
    answer = np.zeros((batch, filters * (2 if pooling in ("mean+variance", "k-max") else 1)))
    padded = np.zeros((batch, x.shape[1] + size, x.shape[2]))  # room for windows that leave a short text
    grad_weight, grad_bias = np.zeros_like(weight), np.zeros_like(bias)
    for b in range(batch):
        windows = windows_of(x[b, : lengths[b]], size)
        for f in range(filters if windows else 0):
            before = np.array([(window * weight[f]).sum() + bias[f] for _, window in windows])
            after = np.maximum(before, 0) if activation == "relu" else np.tanh(before)
            slope = (before > 0).astype(float) if activation == "relu" else 1 - after**2
            if pooling == "max":
                answer[b, f] = after.max()
                share = grad[b, f] * (np.arange(len(after)) == after.argmax())
            elif pooling == "k-max":
                share = np.zeros(len(after))
                for place, start in enumerate(sorted(np.argsort(-before, kind="stable")[:K])):
                    answer[b, place * filters + f] = after[start]
                    share[start] = grad[b, place * filters + f]
            else:
                answer[b, f] = after.mean()
                share = np.full(len(after), grad[b, f] / len(after))
            if pooling == "mean+variance":
                answer[b, filters + f] = after.var()
                share = share + grad[b, filters + f] * 2 * (after - after.mean()) / len(after)
            for (start, window), part in zip(windows, share * slope, strict=True):
                grad_weight[f] += part * window
                grad_bias[f] += part
                padded[b, start : start + size] += part * weight[f]
        padded[b, lengths[b] :] = 0  # the zeros a short text is extended by are no input
    return answer, padded[:, : x.shape[1]], grad_weight, grad_bias


@pytest.mark.parametrize(("activation", "pooling"), KINDS)
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    beyond=st.integers(0, 3),
    width=st.integers(1, 4),
    filters=st.integers(1, 4),
    size=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_region_conv_is_the_loop_over_windows(
    activation: str, pooling: str, lengths: list[int], beyond: int, width: int, filters: int, size: int, seed: int
) -> None:
    x, counts, weight, bias = problem(lengths, max(lengths) + beyond, width, filters, size, seed)
    leaves = [part.requires_grad_() for part in (x, weight, bias)]
    answer = region_conv(x, counts, weight, bias, activation, pooling, K if pooling == "k-max" else 1)
    grad = torch.randn(answer.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    arrays = [part.detach().numpy() for part in (x, counts, weight, bias)]
    expected, *gradients = by_hand(*arrays, activation, pooling, grad.numpy())
    np.testing.assert_allclose(answer.detach().numpy(), expected, atol=1e-12)
    for found, wanted in zip(torch.autograd.grad(answer, leaves, grad), gradients, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-11)


def test_region_conv_agrees_with_torch_on_equal_lengths() -> None:
    x, _, weight, bias = (part.float() for part in problem([12] * 5, 12, 7, 6, 4))
    wanted = F.conv1d(x.transpose(1, 2), weight.transpose(1, 2), bias).relu().amax(2)
    torch.testing.assert_close(region_conv(x, None, weight, bias), wanted, atol=2e-6, rtol=0)
    torch.testing.assert_close(region_conv(x, torch.full((5,), 12), weight, bias), wanted, atol=2e-6, rtol=0)


def test_region_conv_works_without_a_bias() -> None:
    x, lengths, weight, bias = problem([5, 2, 0], 6, 3, 4, 3)
    with_zero = region_conv(x, lengths, weight, torch.zeros_like(bias))
    torch.testing.assert_close(region_conv(x, lengths, weight), with_zero)


@pytest.mark.parametrize(("activation", "pooling"), KINDS)
def test_region_conv_passes_gradcheck_twice(activation: str, pooling: str) -> None:
    x, lengths, weight, bias = problem([7, 2, 0, 5], 7, 3, 3, 3)
    inputs = tuple(part.requires_grad_() for part in (x, weight, bias))

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return region_conv(x, lengths, weight, bias, activation, pooling, K if pooling == "k-max" else 1)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize(("activation", "pooling"), KINDS)
def test_region_conv_of_no_text_and_of_no_step_is_zero(activation: str, pooling: str) -> None:
    _, _, weight, bias = problem([1], 1, 3, 4, 2)
    out = 8 if pooling in ("mean+variance", "k-max") else 4
    leaves = [weight.requires_grad_(), bias.requires_grad_()]
    for batch, steps in ((0, 5), (0, 0), (3, 0)):
        x = torch.zeros(batch, steps, 3, dtype=torch.float64)
        answer = region_conv(x, None, weight, bias, activation, pooling, K if pooling == "k-max" else 1)
        assert answer.shape == (batch, out)
        assert not answer.any()
        assert not any(part.any() for part in torch.autograd.grad(answer.sum(), leaves))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-6)], ids=str)
def test_window_conv_gives_each_window_in_order_and_zeros_past_them(dtype: torch.dtype, bound: float) -> None:
    x, lengths, weight, bias = problem([6, 2, 0, 3], 6, 3, 4, 3)
    answers, counts = window_conv(x.to(dtype), lengths, weight.to(dtype), bias.to(dtype))
    assert counts.tolist() == [4, 1, 0, 1]
    for b, length in enumerate(lengths.tolist()):
        for start, window in windows_of(x[b, :length].numpy(), 3):
            wanted = (window * weight.numpy()).sum((1, 2)) + bias.numpy()
            np.testing.assert_allclose(answers[b, start].numpy(), wanted, atol=bound)
        assert not answers[b, counts[b] :].any()


@pytest.mark.parametrize("causal", [False, True])
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    size=st.sampled_from([1, 2, 3, 5]),
    dilation=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_dilated_conv_is_its_equation(causal: bool, lengths: list[int], size: int, dilation: int, seed: int) -> None:
    size += 1 if size == 2 and not causal else 0
    x, counts, weight, bias = problem(lengths, max(lengths), 2, 3, size, seed)
    found = dilated_conv(x, counts, weight, bias, dilation=dilation, causal=causal)
    wanted = np.zeros(found.shape)
    middle = size - 1 if causal else (size - 1) // 2
    for b, length in enumerate(lengths):
        for t in range(length):
            wanted[b, t] = bias.numpy()
            for j in range(size):
                source = t + (j - middle) * dilation
                if 0 <= source < length:
                    wanted[b, t] += weight[:, j].numpy() @ x[b, source].numpy()
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_moments_of_large_numbers_do_not_cancel() -> None:
    x = torch.tensor([[[1e4], [1e4 + 1], [1e4 + 2], [7.0]]])
    assert moments(x, torch.tensor([3]), variance=True).tolist() == [[10001.0, pytest.approx(2 / 3, abs=1e-6)]]


def test_wrong_arguments_are_named() -> None:
    x, lengths, weight, bias = problem([5, 2], 5, 3, 4, 3)
    with pytest.raises(SettingError, match=r"^activation must be one of relu, tanh, not 'swish'$"):
        region_conv(x, lengths, weight, bias, "swish")
    known = r"^pooling must be one of max, mean, mean\+variance, k-max, not 'maxx' \(did you mean 'max'\?\)$"
    with pytest.raises(SettingError, match=known):
        region_conv(x, lengths, weight, bias, "relu", "maxx")
    with pytest.raises(SettingError, match='k goes with pooling "k-max"'):
        region_conv(x, lengths, weight, bias, "relu", "max", 2)
    with pytest.raises(ValueError, match=r"^input: expected shape \(batch, time, 3\), got \(2, 5, 4\)$"):
        region_conv(torch.zeros(2, 5, 4), lengths, weight, bias)
    with pytest.raises(ValueError, match=r"^input: expected shape \(batch, time, 3\), got \(2, 5\)$"):
        region_conv(torch.zeros(2, 5), lengths, weight, bias)
    with pytest.raises(TypeError, match=r"^input: expected floating-point numbers, got torch.int64$"):
        region_conv(torch.zeros(2, 5, 3, dtype=torch.int64), lengths, weight, bias)
    with pytest.raises(ValueError, match=r"^lengths: expected 0 to 5, the steps of the input, got 2 to 6$"):
        region_conv(x, torch.tensor([6, 2]), weight, bias)
