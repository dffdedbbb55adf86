"""The conditional random field against the sum over all tag sequences, written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unspool.nn import LinearChainCRF
from unspool.nn.crf import FORBIDDEN
from unspool.ops import crf

LENGTHS = st.lists(st.integers(0, 4), min_size=1, max_size=4)


def make(tags: int, seed: int) -> LinearChainCRF:
    torch.manual_seed(seed)
    layer = LinearChainCRF(tags).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def score(row: np.ndarray, path: tuple[int, ...], layer: LinearChainCRF) -> float:
    """s(y) of one path over one row (T, C), from the equation."""
    if not path:
        return 0.0
    transitions, start, end = (weight.detach().numpy() for weight in (layer.transitions, layer.start, layer.end))
    steps = sum(transitions[a, b] for a, b in itertools.pairwise(path))
    return float(start[path[0]] + sum(row[t, tag] for t, tag in enumerate(path)) + steps + end[path[-1]])


def enumerate_row(row: np.ndarray, layer: LinearChainCRF) -> tuple[float, tuple[int, ...], np.ndarray]:
    """log Z, the best path and the marginals (T, C) of one row."""
    paths = list(itertools.product(range(layer.tags), repeat=len(row)))
    scores = np.array([score(row, path, layer) for path in paths])
    log_sum = float(np.logaddexp.reduce(scores))
    shares = np.zeros(row.shape)
    for path, probability in zip(paths, np.exp(scores - log_sum), strict=True):
        shares[np.arange(len(path)), list(path)] += probability
    return log_sum, paths[int(scores.argmax())], shares


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, tags=st.integers(1, 3), seed=st.integers(0, 99))
def test_likelihood_best_path_and_marginals_are_those_of_all_paths_written_out(
    lengths: list[int], tags: int, seed: int
) -> None:
    layer = make(tags, seed)
    emissions = torch.randn(len(lengths), max(lengths) + 1, tags, dtype=torch.float64)
    truth = torch.randint(tags, emissions.shape[:2])
    counts = torch.tensor(lengths)
    losses, best, shares = (
        layer(emissions, truth, counts),
        layer.decode(emissions, counts),
        layer.marginals(emissions, counts),
    )
    for row, length in enumerate(lengths):
        part = emissions[row, :length].numpy()
        log_sum, path, expected = enumerate_row(part, layer)
        wanted = log_sum - score(part, tuple(truth[row, :length].tolist()), layer)
        assert losses[row].detach().item() == pytest.approx(wanted, abs=1e-9)
        assert best[row].tolist() == [*path, *[0] * (best.shape[1] - length)]
        np.testing.assert_allclose(shares[row, :length].numpy(), expected, atol=1e-9)
        assert (shares[row, length:] == 0).all()


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, tags=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_fast_partition_is_the_definition_with_its_gradients(lengths: list[int], tags: int, seed: int) -> None:
    torch.manual_seed(seed)
    shapes = ((len(lengths), max(lengths), tags), (tags, tags), (tags,), (tags,))
    values = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    weights = torch.randn(len(lengths), dtype=torch.float64)
    gradients: list[tuple[Tensor | None, ...]] = []
    for function in (crf.log_partition, crf.log_partition_fast):
        found = function(values[0], torch.tensor(lengths), crf.Chain(*values[1:]))
        gradients.append((found, *torch.autograd.grad((found * weights).sum(), values, allow_unused=True)))
    for slow, fast in zip(*gradients, strict=True):
        if slow is None or fast is None:
            assert max(lengths) < 2
            assert all(part is None or not part.any() for part in (slow, fast))
        else:
            torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)


def test_gradcheck_in_double() -> None:
    layer = make(3, 1)
    emissions = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    truth, lengths = torch.randint(3, (3, 4)), torch.tensor([4, 1, 3])
    assert torch.autograd.gradcheck(lambda x, *_: layer(x, truth, lengths), (emissions, *layer.parameters()))


def test_a_gradient_of_gradients_is_refused_by_message() -> None:
    """Also beside a term that has one: a penalty on the gradient must not count as a constant."""
    layer, emissions = make(3, 1), torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    value = crf.log_partition_fast(emissions, torch.tensor([4, 1, 3]), layer._chain()).sum()
    (first,) = torch.autograd.grad(value, emissions, create_graph=True)
    with pytest.raises(RuntimeError, match="log_partition_fast has no gradient of gradients: use log_partition"):
        (first.square().sum() + emissions.square().sum()).backward()


@pytest.mark.parametrize("rubbish", [0.0, 1e30, float("nan")])
def test_padding_changes_nothing(rubbish: float) -> None:
    layer = make(3, 2)
    lengths, truth = torch.tensor([2, 0, 4]), torch.randint(3, (3, 4))
    clean = torch.randn(3, 4, 3, dtype=torch.float64)
    answers = []
    for filling in (0.5, rubbish):
        emissions = clean.clone()
        emissions[torch.arange(4) >= lengths[:, None]] = filling
        emissions.requires_grad_()
        layer.zero_grad()
        losses = layer(emissions, truth, lengths)
        losses.sum().backward()
        gradients = [emissions.grad, *(parameter.grad for parameter in layer.parameters())]
        answers.append((losses, layer.decode(emissions, lengths), layer.marginals(emissions, lengths), *gradients))
    for one, other in zip(*answers, strict=True):
        assert one is not None and torch.equal(one, other)
    assert answers[0][3][torch.arange(4) >= lengths[:, None]].abs().max() == 0


def test_long_rows_and_large_scores_stay_finite() -> None:
    layer = make(5, 3)
    emissions, lengths = torch.randn(2, 3000, 5) * 50, torch.tensor([3000, 1])
    truth = torch.randint(5, (2, 3000))
    losses = layer(emissions, truth, lengths)
    assert losses.isfinite().all()
    slow = crf.log_partition(emissions.double(), lengths, layer._chain())
    torch.testing.assert_close(losses + crf.path_score(emissions.double(), lengths, layer._chain(), truth), slow)


def test_what_is_not_allowed_is_neither_answered_nor_likely() -> None:
    follows = torch.tensor([[True, True, False], [True, True, True], [True, True, True]])
    allowed = (follows, torch.tensor([True, True, False]), torch.ones(3, dtype=torch.bool))
    layer = LinearChainCRF(3)
    layer.restrict(*allowed)
    emissions = torch.zeros(1, 3, 3)
    emissions[0, :, 2] = 20.0  # everything speaks for tag 2, which may not begin and may not follow tag 0
    emissions[0, 0, 0] = 19.0
    path = layer.decode(emissions)[0].tolist()
    assert path == [1, 2, 2]
    assert layer.marginals(emissions)[0, 0, 2] < 1e-30
    assert FORBIDDEN <= -100
    assert set(layer.state_dict()) == {"transitions", "start", "end"}


def test_wrong_shapes_are_told() -> None:
    layer = LinearChainCRF(3)
    with pytest.raises(ValueError, match=r"input: expected shape \(batch, time, 3\), got \(2, 4, 2\)"):
        layer.decode(torch.zeros(2, 4, 2))
    with pytest.raises(ValueError, match=r"tags: expected shape \(2, 4\), got \(2, 3\)"):
        layer(torch.zeros(2, 4, 3), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="lengths: expected 0 to 4"):
        layer.decode(torch.zeros(2, 4, 3), torch.tensor([5, 1]))
    with pytest.raises(ValueError, match="restrict: expected shapes"):
        layer.restrict(torch.ones(2), torch.ones(3), torch.ones(3))
