"""Each pooling against NumPy, row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unspool.errors import SettingError
from unspool.nn import POOLINGS, AttentionPool, LastPool, MeanVariancePool, make_pooling

Array = npt.NDArray[np.float64]
BY_HAND: dict[str, Callable[[Array], Array]] = {
    "last": lambda row: row[-1],
    "max": lambda row: row.max(0),
    "mean": lambda row: row.mean(0),
    "mean+variance": lambda row: np.concatenate([row.mean(0), row.var(0)]),
}


@pytest.mark.parametrize("name", BY_HAND)
@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=4), width=st.integers(1, 5), seed=st.integers(0, 99))
def test_pooling_is_numpys(name: str, lengths: list[int], width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(lengths) + 2, width, generator=generator, dtype=torch.float64)
    layer = make_pooling(name, width)
    found = layer(x, torch.tensor(lengths)).numpy()
    assert found.shape == (len(lengths), layer.out_features)
    for row, length in enumerate(lengths):
        wanted = BY_HAND[name](x[row, :length].numpy()) if length else np.zeros(layer.out_features)
        np.testing.assert_allclose(found[row], wanted, atol=1e-12)


def test_last_of_two_directions_takes_the_backward_half_at_step_0() -> None:
    x = torch.arange(2 * 3 * 4, dtype=torch.float32).view(2, 3, 4)
    found = LastPool(4, bidirectional=True)(x, torch.tensor([3, 2]))
    assert found.tolist() == [[8.0, 9.0, 2.0, 3.0], [16.0, 17.0, 14.0, 15.0]]


def test_last_is_a_recurrent_layers_final_state() -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.GRU(3, 5, batch_first=True, bidirectional=True), torch.randn(4, 6, 3)
    states, final = layer(x)
    pooled = LastPool(10, bidirectional=True)(states)
    torch.testing.assert_close(pooled, torch.cat([final[0], final[1]], 1))


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=4), size=st.integers(1, 5), seed=st.integers(0, 99))
def test_attention_is_its_equation(lengths: list[int], size: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = AttentionPool(3, attention_size=size).double()
    torch.nn.init.normal_(layer.project.bias)
    x, counts = torch.randn(len(lengths), max(lengths) + 2, 3, dtype=torch.float64), torch.tensor(lengths)
    weights, found = layer.attention(x, counts).detach().numpy(), layer(x, counts).detach().numpy()
    matrix, bias, context = (part.detach().numpy() for part in layer.parameters())
    for row, length in enumerate(lengths):
        steps = x[row, :length].numpy()
        scores = np.exp(np.tanh(steps @ matrix.T + bias) @ context[0])
        assert not weights[row, length:].any()
        np.testing.assert_allclose(weights[row, :length], scores / scores.sum() if length else [], atol=1e-12)
        assert weights[row].sum() == pytest.approx(1 if length else 0)
        np.testing.assert_allclose(found[row], weights[row, :length] @ steps, atol=1e-12)


def test_the_greatest_of_minus_infinities_is_minus_infinity() -> None:
    x = torch.full((1, 2, 1), -torch.inf)
    assert make_pooling("max", 1)(x).item() == -torch.inf


def test_table_and_widths() -> None:
    assert list(POOLINGS) == ["last", "max", "mean", "mean+variance", "attention"]
    assert [make_pooling(name, 6, bidirectional=True).out_features for name in POOLINGS] == [6, 6, 6, 12, 6]
    assert make_pooling("last", 6, bidirectional=True).bidirectional
    assert not make_pooling("last", 6).bidirectional
    assert repr(MeanVariancePool(6)) == "MeanVariancePool(6)"


def test_wrong_settings_are_named() -> None:
    with pytest.raises(
        SettingError, match=r"^pooling must be one of last, max, mean, mean\+variance, attention, not 'men'"
    ):
        make_pooling("men", 6)
    with pytest.raises(SettingError, match=r"^in_features must be even for two directions, not 5$"):
        LastPool(5, bidirectional=True)
    with pytest.raises(SettingError, match=r"^attention_size must be a whole number of at least 1, not 0$"):
        AttentionPool(5, attention_size=0)
    with pytest.raises(SettingError, match=r"^in_features must be a whole number of at least 1, not '5'$"):
        make_pooling("mean", "5")  # type: ignore[arg-type]
