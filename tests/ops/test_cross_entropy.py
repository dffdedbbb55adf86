"""The output layer and its loss in one pass, against torch's own two steps."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from unspool.ops import cross_entropy
from unspool.ops.cross_entropy import linear_cross_entropy


def parts(rows: int = 37, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((rows, 5), (11, 5), (11,))
    x, weight, bias = (torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes)
    return x, weight, bias, torch.randint(0, 11, (rows,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("floats", [11, 100, 10**6])  # one row at a time, some, all
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_value_and_gradients_are_those_of_torch(
    smoothing: float, floats: int, dtype: torch.dtype, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "FLOATS_AT_ONCE", floats)
    monkeypatch.setattr(cross_entropy, "ROWS_AT_ONCE", 1)
    x, weight, bias, targets = parts(dtype=dtype)
    own = linear_cross_entropy(x, weight, bias, targets, smoothing)
    theirs = functional.cross_entropy(functional.linear(x, weight, bias), targets, label_smoothing=smoothing)
    torch.testing.assert_close(own, theirs, atol=bound, rtol=0)
    wanted = torch.autograd.grad(3 * theirs, (x, weight, bias))
    for got, want in zip(torch.autograd.grad(3 * own, (x, weight, bias)), wanted, strict=True):
        torch.testing.assert_close(got, want, atol=bound, rtol=0)


def test_rows_may_lie_in_memory_in_any_order() -> None:
    x, weight, bias, targets = parts(dtype=torch.float32)
    other = x.detach().t().contiguous().t().requires_grad_()
    grads = [torch.autograd.grad(linear_cross_entropy(one, weight, bias, targets), one)[0] for one in (x, other)]
    assert torch.equal(*grads)


def test_large_logits_do_not_overflow_and_no_row_costs_nothing() -> None:
    x, weight, bias, targets = parts(dtype=torch.float32)
    assert torch.isfinite(linear_cross_entropy(x * 1e6, weight, bias, targets))
    loss = linear_cross_entropy(x[:0], weight, bias, targets[:0])
    assert loss == 0
    assert torch.equal(torch.autograd.grad(loss, weight)[0], torch.zeros_like(weight))


def test_wrong_arguments_are_named() -> None:
    x, weight, bias, targets = parts()
    with pytest.raises(ValueError, match=r"targets: expected 0 to 10, got 0 to 11|targets: expected 0 to 10"):
        linear_cross_entropy(x, weight, bias, targets + 11)
    with pytest.raises(ValueError, match=r"expected x \(N, D\) and weight \(V, D\)"):
        linear_cross_entropy(x[:, :4], weight, bias, targets)
    with pytest.raises(ValueError, match=r"expected bias \(V,\)"):
        linear_cross_entropy(x, weight, bias[:3], targets)


def test_a_second_gradient_is_refused_in_words() -> None:
    x, weight, bias, targets = parts()
    loss = linear_cross_entropy(x, weight, bias, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        loss.backward()
