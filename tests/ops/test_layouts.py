"""The layout table, against torch's layers and against itself."""

from __future__ import annotations

import pytest
import torch

from unspool.errors import SettingError
from unspool.ops.layouts import CELLS, layout_of, parameter_shapes

TORCH = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", TORCH)
def test_parameters_are_those_of_torch_in_its_order(cell, bias):
    layer = TORCH[cell](3, 5, bias=bias)
    expected = [(name.removesuffix("_l0"), tuple(weight.shape)) for name, weight in layer.named_parameters()]
    assert list(parameter_shapes(cell, 3, 5, bias=bias).items()) == expected


def test_parameters_of_the_other_cells():
    assert parameter_shapes("peephole", 3, 5)["weight_ch"] == (15,)
    assert parameter_shapes("normalised", 3, 5)["norm_weight"] == (5,)
    assert parameter_shapes("mingru", 3, 5) == {"weight_ih": (10, 3), "bias_ih": (10,)}
    assert parameter_shapes("qrnn", 3, 5, kernel_size=2) == {"weight_ih": (10, 3, 2), "bias_ih": (10,)}
    names = {name for name in parameter_shapes("lstm", 3, 5, layer_norm=True) if name.startswith("ln_")}
    assert names == {f"ln_{part}_{kind}" for part in ("ih", "hh", "c") for kind in ("weight", "bias")}
    assert "ln_hh_weight" not in parameter_shapes("mingru", 3, 5, layer_norm=True)
    assert "ln_c_weight" not in parameter_shapes("prototype", 3, 5, layer_norm=True)


def test_every_cell_has_the_names_of_the_design():
    assert list(CELLS) == ["rnn", "gru", "lstm", "peephole", "prototype", "normalised", "pseudo", "mingru", "qrnn"]
    assert all(name == layout.name for name, layout in CELLS.items())


def test_an_unknown_cell_is_refused_with_the_nearest():
    with pytest.raises(SettingError, match=r"expected one of rnn, .*, got 'peepole' \(did you mean 'peephole'\?\)"):
        layout_of("peepole")
    with pytest.raises(SettingError, match="got 'None'"):
        layout_of(None)  # type: ignore[arg-type]
