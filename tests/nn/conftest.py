"""A table of recurrent layers with their settings; every shared check takes its rows from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unspool import nn

LAYERS: list[tuple[type, dict[str, Any]]] = [
    *((layer, {}) for layer in nn.RECURRENT.values()),
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.GRU, {"reset_after": False}),
    (nn.QRNN, {"kernel_size": 3}),
]
DEEP = {"num_layers": 2, "bidirectional": True, "residual": True, "layer_norm": True, "zoneout": 0.2}
SETTINGS: list[dict[str, Any]] = [{}, {"num_layers": 3, "bias": False}, DEEP]


def name_of(row: tuple[type, dict[str, Any]]) -> str:
    return "-".join([row[0].__name__, *(f"{name}={value}" for name, value in row[1].items())])


def make_layer(kind: type, own: dict[str, Any], **settings: Any) -> Any:
    """The layer in double precision with every parameter at random, so that none hides behind a 0 or a 1."""
    torch.manual_seed(0)
    layer = kind(3, 5, **own, **{"batch_first": True, "dtype": torch.float64} | settings)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer.eval()


@pytest.fixture(params=LAYERS, ids=name_of)
def kind(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """kind(**settings) -> a layer of each kind, in evaluation."""
    return lambda **settings: make_layer(*request.param, **settings)


@pytest.fixture(
    params=[(*row, settings) for row in LAYERS for settings in SETTINGS],
    ids=lambda row: f"{name_of(row[:2])}-{'deep' if row[2] is DEEP else 'stacked' if row[2] else 'single'}",
)
def layer(request: pytest.FixtureRequest) -> Any:
    """A layer of each kind and setting, in evaluation."""
    kind, own, settings = request.param
    return make_layer(kind, own, **settings)


@pytest.fixture
def parts() -> Callable[[Any], tuple[torch.Tensor, ...]]:
    """A state as a tuple, whether it is one tensor or several."""
    return lambda state: state if isinstance(state, tuple) else (state,)
