"""Weights taken over: what is old stays where it belongs, what is new begins as the mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unspool.models.transfer import graft, named, prefix


def test_old_rows_keep_their_values_and_new_ones_are_the_mean() -> None:
    network, old = nn.Linear(3, 5), torch.randn(4, 3)
    graft(network, {"weight": old}, {"weight": (torch.tensor([0, 1, 2, 4]),)})
    weight = network.weight.detach().numpy()
    np.testing.assert_array_equal(weight[[0, 1, 2, 4]], old.numpy())
    np.testing.assert_allclose(weight[3], old.numpy().mean(axis=0), rtol=1e-6)


def test_two_dimensions_may_grow() -> None:
    network, old = nn.Module(), torch.arange(4.0).reshape(2, 2)
    network.register_parameter("table", nn.Parameter(torch.zeros(3, 3)))
    where = named(["a", "b"], ["b", "new", "a"])
    graft(network, {"table": old}, {"table": (where, where)})
    assert network.table.tolist() == [[3.0, 1.5, 2.0], [1.5, 1.5, 1.5], [1.0, 1.5, 0.0]]


def test_what_is_not_named_stays_and_another_shape_is_refused() -> None:
    network = nn.Linear(3, 5)
    before = network.bias.detach().clone()
    graft(network, {"weight": torch.ones(5, 3)}, {})
    assert torch.equal(network.bias, before)
    assert torch.equal(network.weight, torch.ones(5, 3))
    with pytest.raises(ValueError, match=r"weight has the shape \(5, 3\), the trained one \(4, 3\)"):
        graft(network, {"weight": torch.ones(4, 3)}, {})
    assert prefix(3).tolist() == [0, 1, 2]
