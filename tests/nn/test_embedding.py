"""The four ways to use word vectors: what is looked up, what is trained, what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unspool.errors import SettingError
from unspool.nn import Embedding

IDS = torch.tensor([[3, 1, 0], [4, 0, 0]])
TRAINED = {"rand": ["weight"], "static": [], "nonstatic": ["weight"], "multichannel": ["weight"]}
STORED = {**TRAINED, "static": ["weight"], "multichannel": ["weight", "frozen_weight"]}


def given(mode: str) -> Tensor | None:
    return None if mode == "rand" else torch.arange(1.0, 11.0).view(5, 2)


@pytest.mark.parametrize("mode", TRAINED)
def test_vectors_are_looked_up_and_padding_is_zero(mode: str) -> None:
    layer = Embedding(5, 2, mode, given(mode))
    found = layer(IDS)
    assert found.shape == (2, 3, layer.out_features)
    assert layer.out_features == (4 if mode == "multichannel" else 2)
    assert not found[IDS == 0].any()
    assert torch.equal(found[0, 0], layer.weight[3].repeat(2 if mode == "multichannel" else 1))
    if mode != "rand":
        assert found[1, 0, :2].tolist() == [9.0, 10.0]
    assert torch.equal(layer(IDS.int()), found)


@pytest.mark.parametrize("mode", TRAINED)
def test_what_is_trained_and_what_is_stored(mode: str) -> None:
    layer = Embedding(5, 2, mode, given(mode))
    assert [name for name, _ in layer.named_parameters()] == TRAINED[mode]
    assert list(layer.state_dict()) == STORED[mode]
    if TRAINED[mode]:
        layer(IDS).sum().backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad.tolist() == [[0, 0], [1, 1], [0, 0], [1, 1], [1, 1]]
    else:
        assert not layer(IDS).requires_grad


def test_a_trained_channel_leaves_the_frozen_one() -> None:
    layer = Embedding(5, 2, "multichannel", given("multichannel"))
    layer(IDS).square().sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    found = layer(IDS)
    assert found[0, 0].tolist() != pytest.approx([7.0, 8.0, 7.0, 8.0])
    assert found[0, 0, 2:].tolist() == [7.0, 8.0]
    assert not found[IDS == 0].any()


def test_the_callers_vectors_are_copied() -> None:
    vectors = given("nonstatic")
    layer = Embedding(5, 2, "nonstatic", vectors)
    layer.weight.data.zero_()
    assert vectors[0].tolist() == [1.0, 2.0]
    array = np.ones((5, 2), np.float32)
    array.setflags(write=False)
    assert Embedding(5, 2, "static", array)(IDS)[0, 0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("mode", TRAINED)
def test_state_dict_round_trip(mode: str) -> None:
    layer, other = Embedding(5, 2, mode, given(mode)), Embedding(5, 2, mode)
    other.load_state_dict({name: value.clone() for name, value in layer.state_dict().items()})
    assert torch.equal(other(IDS), layer(IDS))


def test_random_vectors_fill_the_range() -> None:
    weight = Embedding(2000, 50).weight.detach()[1:]
    assert weight.abs().max() <= 0.25
    assert weight.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.02)
    assert Embedding(2000, 50, scale=2.0).weight.abs().max() > 1.9


def test_wrong_settings_are_named() -> None:
    with pytest.raises(SettingError, match=r"not 'non-static' \(did you mean 'nonstatic'\?\)$"):
        Embedding(5, 2, "non-static")
    with pytest.raises(SettingError, match=r'^mode "rand" takes no vectors; choose static, nonstatic or multichannel$'):
        Embedding(5, 2, "rand", torch.zeros(5, 2))
    with pytest.raises(
        SettingError, match=r"^vectors must be a floating tensor of shape \(5, 2\), got torch.float32 \(4, 2\)$"
    ):
        Embedding(5, 2, "static", torch.zeros(4, 2))
    with pytest.raises(SettingError, match=r"got torch.int64 \(5, 2\)$"):
        Embedding(5, 2, "static", torch.zeros(5, 2, dtype=torch.int64))
    with pytest.raises(SettingError, match=r"^vectors must be finite numbers; they hold NaN or infinity$"):
        Embedding(5, 2, "static", torch.full((5, 2), torch.inf))
    with pytest.raises(SettingError, match=r"^scale must be a number above 0, not 0$"):
        Embedding(5, 2, scale=0)


def test_wrong_ids_are_named() -> None:
    layer = Embedding(5, 2)
    with pytest.raises(ValueError, match=r"^input: expected token ids from 0 to 4, got 0 to 5$"):
        layer(torch.tensor([[5, 0]]))
    with pytest.raises(ValueError, match=r"^input: expected token ids from 0 to 4, got -1 to 0$"):
        layer(torch.tensor([[-1, 0]]))
    with pytest.raises(TypeError, match=r"^input: expected token ids of int32 or int64, got torch.float32$"):
        layer(torch.zeros(1, 2))
    assert layer(torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3, 2)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("mode", ["rand", "static", "multichannel"])
def test_the_paddings_vector_is_zero_whatever_is_loaded(mode: str, assign: bool) -> None:
    embedding = Embedding(5, 3, mode)
    given = {name: torch.ones(5, 3) for name in embedding.state_dict()}
    embedding.load_state_dict(given, assign=assign)
    assert not embedding(torch.tensor([[0]])).any()
    assert (embedding(torch.tensor([[1, 4]])) == 1).all()
    assert all((part == 1).all() for part in given.values())
