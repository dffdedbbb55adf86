"""Every wrong argument of `recurrent.run` is refused by its name, before anything is computed."""

from __future__ import annotations

import re

import pytest
import torch

from unspool.errors import SettingError
from unspool.ops import recurrent
from unspool.ops.layouts import CELLS, parameter_shapes


def call(cell="lstm", *, without=(), weights=None, **changes):
    """A call of B 2, T 3, I 4, H 5 that is right but for `changes`."""
    shapes = parameter_shapes(cell, 4, 5, kernel_size=2 if cell == "qrnn" else 1)
    right = {name: torch.zeros(shape) for name, shape in shapes.items() if name not in without} | (weights or {})
    state = tuple(torch.zeros(2, 5) for _ in CELLS[cell].states)
    if CELLS[cell].window:
        state = (*state, torch.zeros(2, 1, 4))
    arguments = {"x": torch.zeros(2, 3, 4), "state": state, "weights": right} | changes
    return recurrent.run(cell, arguments.pop("x"), arguments.pop("state"), arguments.pop("weights"), **arguments)


H, LONG = torch.zeros(2, 5), torch.zeros(2, 6)
WRONG = [
    ({"x": torch.zeros(3, 4)}, ValueError, "x: expected shape (B, T, I), got (3, 4)"),
    ({"x": torch.zeros(2, 3, 4, dtype=torch.int64)}, TypeError, "x: expected floating-point numbers, got torch.int64"),
    ({"x": [[0.0]]}, TypeError, "x: expected a tensor, got list"),
    ({"x": torch.zeros(2, 3, 6)}, ValueError, "weight_ih: expected shape (20, 6), got (20, 4)"),
    ({"x": torch.zeros(2, 3, 4, dtype=torch.float64)}, TypeError, "weight_ih: expected torch.float64, as x"),
    ({"x": torch.zeros(2, 3, 4, device="meta")}, ValueError, "weight_ih: expected device meta, as x, got cpu"),
    ({"state": (H,)}, TypeError, "state: expected a tuple of 2 tensors, got 1"),
    ({"state": H}, TypeError, "state: expected a tuple of 2 tensors, got Tensor"),
    ({"state": (H, None)}, TypeError, "state[1]: expected a tensor, got NoneType"),
    ({"state": (H, LONG)}, ValueError, "state[1]: expected shape (2, 5), got (2, 6)"),
    ({"state": (torch.zeros(3, 5), H)}, ValueError, "state[0]: expected shape (2, 5), got (3, 5)"),
    ({"state": (H.double(), H)}, TypeError, "state[0]: expected torch.float32, as x, got torch.float64"),
    ({"lengths": torch.tensor([1, -1])}, ValueError, "lengths: expected 0 to 3, the steps of the input, got -1 to 1"),
    ({"lengths": torch.tensor([1, 4])}, ValueError, "lengths: expected 0 to 3, the steps of the input, got 1 to 4"),
    ({"lengths": torch.tensor([1, 2, 3])}, ValueError, "lengths: expected shape (2,), one a row, got (3,)"),
    ({"lengths": torch.tensor([[1], [2]])}, ValueError, "lengths: expected shape (2,), one a row, got (2, 1)"),
    ({"lengths": torch.tensor([1.0, 2.0])}, TypeError, "lengths: expected whole numbers, got torch.float32"),
    ({"lengths": torch.tensor([True, True])}, TypeError, "lengths: expected whole numbers, got torch.bool"),
    ({"lengths": "ab"}, TypeError, "lengths: expected whole numbers, one a row, got str"),
    ({"lengths": [2**70, 1]}, TypeError, "lengths: expected whole numbers, one a row, got list"),
    ({"state_mask": LONG}, ValueError, "state_mask: expected shape (2, 5), got (2, 6)"),
    ({"state_mask": H.bool()}, TypeError, "state_mask: expected floating-point numbers, got torch.bool"),
    ({"zoneout": 1.5}, ValueError, "zoneout: expected a probability, 0 to 1, got 1.5"),
    ({"zoneout": float("nan")}, ValueError, "zoneout: expected a probability, 0 to 1, got nan"),
    ({"zoneout": torch.zeros(2, 2, 3, 5)}, ValueError, "of torch.bool, got (2, 2, 3, 5) of torch.float32"),
    (
        {"zoneout": torch.zeros(1, 2, 3, 5).bool()},
        ValueError,
        "(2, 2, 3, 5) of torch.bool, got (1, 2, 3, 5)",
    ),
    ({"nonlinearity": "selu"}, SettingError, "nonlinearity: expected tanh or relu, got 'selu'"),
    ({"nonlinearity": "relu"}, SettingError, "nonlinearity: the cell lstm has no choice of it"),
    ({"reset_after": False}, SettingError, "reset_after: the cell lstm has no reset gate"),
    ({"without": ["weight_hh"]}, ValueError, "weights: weight_hh is missing"),
    ({"without": ["weight_ih"]}, ValueError, "weights: weight_ih is missing"),
    ({"without": ["bias_hh"]}, ValueError, "weights: bias_hh is missing"),
    ({"without": ["bias_ih"]}, ValueError, "weights: bias_hh has no place in this cell"),
    ({"weights": {"weight_hi": H}}, ValueError, "weights: weight_hi has no place in this cell"),
    (
        {"weights": {"weight_ih": torch.zeros(21, 4)}},
        ValueError,
        "weight_ih: expected 2 dimensions and rows for 4",
    ),
    ({"weights": {"weight_hh": torch.zeros(20, 6)}}, ValueError, "weight_hh: expected shape (20, 5), got (20, 6)"),
    ({"weights": {"weight_hh": None}}, TypeError, "weight_hh: expected a tensor, got NoneType"),
    ({"weights": {"bias_hh": torch.zeros(5)}}, ValueError, "bias_hh: expected shape (20,), got (5,)"),
    ({"weights": {"bias_hh": torch.zeros(20).half()}}, TypeError, "bias_hh: expected torch.float32, as x"),
    ({"weights": {"ln_ih_weight": torch.zeros(20)}}, ValueError, "weights: ln_c_bias is missing"),
    ({"cell": "ltsm"}, SettingError, "cell: expected one of rnn, gru, lstm"),
    ({"cell": "qrnn", "state_mask": H}, SettingError, "state_mask: the cell qrnn has no recurrent product"),
    ({"cell": "qrnn", "state": (H,)}, TypeError, "state: expected a tuple of 2 tensors, got 1"),
    ({"cell": "qrnn", "state": (H, torch.zeros(2, 2, 4))}, ValueError, "state[1]: expected shape (2, 1, 4)"),
    ({"cell": "qrnn", "weights": {"weight_ih": torch.zeros(10, 4)}}, ValueError, "weight_ih: expected 3 dimensions"),
]


@pytest.mark.parametrize("changes, error, words", WRONG, ids=[words[:40] for _, _, words in WRONG])
def test_a_wrong_argument_is_refused_by_name(changes, error, words):
    changes = dict(changes)
    weights = dict(changes.pop("weights", {}))
    if changes.get("cell") == "ltsm":
        with pytest.raises(error, match=re.escape(words)):
            recurrent.run("ltsm", torch.zeros(2, 3, 4), (H, H), {})
        return
    with pytest.raises(error, match=re.escape(words)) as caught:
        call(weights=weights, **changes)
    assert caught.type is error


def test_the_right_call_is_taken_for_every_cell():
    for cell in CELLS:
        y, _ = call(cell, lengths=[3, 1])
        assert y.shape == (2, 3, 5)


def test_lengths_may_be_a_list_or_shorter_integers():
    expected, _ = call(lengths=torch.tensor([3, 1]))
    for lengths in ([3, 1], torch.tensor([3, 1], dtype=torch.int32), torch.tensor([3, 1], dtype=torch.uint8)):
        assert torch.equal(call(lengths=lengths)[0], expected)
