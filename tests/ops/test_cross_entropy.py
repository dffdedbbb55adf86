"""The output layer and its loss in one pass, against torch's own two steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from unspool import native
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


def test_a_gradient_of_gradients_is_refused_by_message() -> None:
    """Also beside a term that has one: a penalty on the gradient must not count as a constant."""
    x, weight, bias, targets = parts()
    (first,) = torch.autograd.grad(linear_cross_entropy(x, weight, bias, targets), x, create_graph=True)
    with pytest.raises(RuntimeError, match="linear_cross_entropy has no gradient of gradients: use torch"):
        (first.square().sum() + x.square().sum()).backward()


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


core = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")


def by_hand(logits: np.ndarray, targets: np.ndarray, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """The losses of the rows and their gradients, in double."""
    logits = logits.astype(np.float64)
    logs = logits - logits.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    wanted = np.full(logs.shape, smoothing / logs.shape[1])
    wanted[np.arange(len(logs)), targets] += 1 - smoothing
    return -(wanted * logs).sum(1), np.exp(logs) - wanted


@core
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("columns", [1, 2, 15, 16, 17, 67, 1003])
def test_losses_of_the_core_are_those_by_hand(target: str, smoothing: float, columns: int) -> None:
    assert native.present().target() == target
    generator = torch.Generator().manual_seed(columns)
    # far below 0, far above, far apart
    logits = torch.randn(130, columns, generator=generator) * 10 + torch.linspace(-300, 300, 130)[:, None]
    targets = torch.randint(0, columns, (130,), generator=generator)
    losses, gradients = by_hand(logits.numpy(), targets.numpy(), smoothing)
    found = []
    for threads in (1, 2, 3):
        shares, own = logits.clone(), torch.full((130,), torch.nan)
        native.present().cross_entropy(shares, targets, smoothing, 0.25, threads, own)
        found.append((own, shares))
    np.testing.assert_allclose(found[0][0].numpy(), losses, rtol=3e-6, atol=5e-5)  # of logits up to 340
    np.testing.assert_allclose(found[0][1].numpy(), gradients / 4, rtol=0, atol=3e-6)
    assert all(torch.equal(one, other) for pair in found[1:] for one, other in zip(found[0], pair, strict=True))


@core
def test_a_logit_that_is_no_number_shows() -> None:
    for bad in (torch.nan, torch.inf):
        logits, losses = torch.zeros(2, 5), torch.empty(2)
        logits[1, 3] = bad
        native.present().cross_entropy(logits, torch.tensor([0, 0]), 0.0, 1.0, 1, losses)
        assert losses[0] == pytest.approx(np.log(5))
        assert losses[1].isnan()


@core
@pytest.mark.parametrize(
    ("name", "wrong", "error"),
    [
        ("logits", torch.zeros(3, 4, dtype=torch.float64), TypeError),
        ("logits", torch.zeros(3), ValueError),
        ("logits", torch.zeros(3, 0), ValueError),
        ("logits", torch.zeros(4, 3).t(), ValueError),
        ("targets", torch.tensor([0, 4, 1]), ValueError),
        ("targets", torch.tensor([0, -1, 1]), ValueError),
        ("targets", torch.tensor([0, 1]), ValueError),
        ("targets", torch.tensor([0, 1, 2], dtype=torch.int32), TypeError),
        ("losses", torch.zeros(2), ValueError),
        ("losses", None, TypeError),
        ("smoothing", 1.5, ValueError),
        ("smoothing", float("nan"), ValueError),
        ("scale", -1.0, ValueError),
        ("threads", 0, ValueError),
    ],
)
def test_wrong_arguments_of_the_core_are_named(name: str, wrong: object, error: type[Exception]) -> None:
    right = {
        "logits": torch.zeros(3, 4),
        "targets": torch.tensor([0, 3, 1]),
        "smoothing": 0.1,
        "scale": 1.0,
        "threads": 1,
        "losses": torch.zeros(3),
    }
    native.present().cross_entropy(**right)
    with pytest.raises(error, match=f"^{name}: "):
        native.present().cross_entropy(**right | {name: wrong})


@core
def test_losses_may_not_lie_in_the_logits() -> None:
    logits = torch.zeros(3, 4)
    with pytest.raises(ValueError, match="overlaps"):
        native.present().cross_entropy(logits, torch.zeros(3, dtype=torch.int64), 0.0, 1.0, 1, logits[0, :3])


def test_targets_may_be_a_column() -> None:
    x, weight, bias, targets = parts(dtype=torch.float32)
    column = torch.stack([targets, targets], 1)[:, 1]
    assert torch.equal(linear_cross_entropy(x, weight, bias, column), linear_cross_entropy(x, weight, bias, targets))
