"""Wrong arguments of the recurrent layers, refused by name; accepted ones have an effect."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from unspool import nn
from unspool.errors import SettingError

SETTINGS = [
    (nn.LSTM, {"input_size": 0}, SettingError, "input_size must be a whole number of at least 1, not 0"),
    (nn.LSTM, {"hidden_size": -5}, SettingError, "hidden_size must be a whole number of at least 1, not -5"),
    (nn.LSTM, {"hidden_size": 2.0}, SettingError, "hidden_size must be a whole number of at least 1, not 2.0"),
    (nn.LSTM, {"num_layers": True}, SettingError, "num_layers must be a whole number of at least 1, not True"),
    (nn.LSTM, {"num_layers": 2, "dropout": 1.0}, SettingError, "dropout must be a number from 0 up to"),
    (nn.LSTM, {"dropout": 0.5}, SettingError, "dropout acts between layers and has no effect with num_layers=1"),
    (nn.LSTM, {"num_layers": 2, "variational": True}, SettingError, "variational is of the dropout between layers"),
    (nn.LSTM, {"num_layers": 2, "dropout": 0.5, "variational": 1}, TypeError, "variational: expected True or False"),
    (nn.LSTM, {"residual": True}, SettingError, "residual acts from the second layer on and has no effect"),
    (nn.LSTM, {"recurrent_dropout": -0.1}, SettingError, "recurrent_dropout must be a number from 0"),
    (nn.LSTM, {"zoneout": "0.1"}, SettingError, "zoneout must be a number from 0 up to"),
    (nn.LSTM, {"bias": 1}, TypeError, "bias: expected True or False, got int"),
    (nn.LSTM, {"batch_first": None}, TypeError, "batch_first: expected True or False, got NoneType"),
    (nn.LSTM, {"layer_norm": "yes"}, TypeError, "layer_norm: expected True or False, got str"),
    (nn.LSTM, {"forget_bias": "1"}, TypeError, "forget_bias: expected a number, got str"),
    (nn.LSTM, {"forget_bias": 2.0, "bias": False}, SettingError, "forget_bias has no effect with bias=False"),
    (nn.LSTM, {"proj_size": 2}, TypeError, "unexpected keyword argument 'proj_size'"),
    (nn.LSTM, {"reset_after": True}, TypeError, "unexpected keyword argument 'reset_after'"),
    (nn.MinGRU, {"forget_bias": 1.0}, TypeError, "unexpected keyword argument 'forget_bias'"),
    (nn.MinGRU, {"kernel_size": 2}, TypeError, "unexpected keyword argument 'kernel_size'"),
    (nn.MinGRU, {"recurrent_dropout": 0.1}, SettingError, "recurrent_dropout: MinGRU has no recurrent product"),
    (nn.QRNN, {"kernel_size": 0}, SettingError, "kernel_size must be a whole number of at least 1, not 0"),
    (nn.RNN, {"nonlinearity": "sine"}, SettingError, "nonlinearity must be one of tanh, relu, not 'sine'"),
    (nn.RNN, {"nonlinearity": True}, SettingError, "nonlinearity must be one of tanh, relu, not True"),
    (nn.GRU, {"reset_after": 0}, TypeError, "reset_after: expected True or False, got int"),
]


@pytest.mark.parametrize("kind, changes, error, words", SETTINGS, ids=[words[:40] for *_, words in SETTINGS])
def test_a_wrong_setting_is_refused(kind, changes, error, words):
    with pytest.raises(error, match=re.escape(words)):
        kind(**{"input_size": 3, "hidden_size": 5} | changes)


X, H = torch.zeros(2, 4, 3), torch.zeros(1, 2, 5)
CALLS = [
    (nn.LSTM, (None,), TypeError, "input: expected a tensor or a PackedSequence, got NoneType"),
    (nn.LSTM, (torch.zeros(3),), ValueError, "input: expected 2 or 3 dimensions, got shape (3,)"),
    (nn.LSTM, (torch.zeros(2, 4, 3, 1),), ValueError, "input: expected 2 or 3 dimensions, got shape (2, 4, 3, 1)"),
    (nn.LSTM, (torch.zeros(2, 4, 6),), ValueError, "input: expected 3 features, got 6"),
    (nn.LSTM, (torch.zeros(4, 6),), ValueError, "input: expected 3 features, got 6"),
    (nn.LSTM, (X.long(),), TypeError, "input: expected floating-point numbers, got torch.int64"),
    (nn.LSTM, (X.double(),), TypeError, "weight_ih: expected torch.float64, as x, got torch.float32"),
    (nn.LSTM, (X, H), ValueError, "state: expected (1, 2, 5), (1, 2, 5), got (1, 2, 5)"),
    (nn.LSTM, (X, (H, H, H)), ValueError, "state: expected (1, 2, 5), (1, 2, 5), got (1, 2, 5), (1, 2, 5), (1, 2, 5)"),
    (nn.LSTM, (X, (H, H[:, :1])), ValueError, "state: expected (1, 2, 5), (1, 2, 5), got (1, 2, 5), (1, 1, 5)"),
    (nn.LSTM, (X, (H, None)), TypeError, "state: expected a tensor or a tuple of tensors, got NoneType in it"),
    (nn.LSTM, (X, 3), TypeError, "state: expected a tensor or a tuple of tensors, got int"),
    (nn.LSTM, (X, (H, H.double())), TypeError, "state[1]: expected torch.float32, as x, got torch.float64"),
    (nn.GRU, (X, torch.zeros(2, 2, 5)), ValueError, "state: expected (1, 2, 5), got (2, 2, 5)"),
    (nn.QRNN, (X, H), ValueError, "state: expected (1, 2, 5), (1, 2, 3), got (1, 2, 5)"),
    (nn.LSTM, (X, None, [1]), ValueError, "lengths: expected shape (2,), one a row, got (1,)"),
    (nn.LSTM, (X, None, 4), ValueError, "lengths: expected shape (2,), one a row, got ()"),
    (nn.LSTM, (X, None, [1, 5]), ValueError, "lengths: expected 0 to 4, the steps of the input, got 1 to 5"),
    (nn.LSTM, (X, None, [-1, 4]), ValueError, "lengths: expected 0 to 4, the steps of the input, got -1 to 4"),
    (nn.LSTM, (X, None, [1.0, 4.0]), TypeError, "lengths: expected whole numbers, got torch.float32"),
    (nn.LSTM, (X[0], None, [1, 4]), ValueError, "lengths: expected shape (1,), one a row, got (2,)"),
    (nn.LSTM, (X[0], H), ValueError, "state: expected"),
]


@pytest.mark.parametrize("kind, arguments, error, words", CALLS, ids=[words[:60] for *_, words in CALLS])
def test_a_wrong_call_is_refused(kind, arguments, error, words):
    with pytest.raises(error, match=re.escape(words)):
        kind(3, 5, batch_first=True)(*arguments)


def test_a_packed_sequence_takes_no_lengths():
    with pytest.raises(ValueError, match="lengths: a PackedSequence brings its own; leave them out"):
        nn.LSTM(3, 5)(pack_padded_sequence(X, [4, 2], batch_first=True), None, [4, 2])


def test_a_step_is_refused_where_it_could_not_equal_the_sequence():
    with pytest.raises(SettingError, match="step: a bidirectional layer needs the whole sequence"):
        nn.LSTM(3, 5, bidirectional=True).step(X[:, 0])
    layer = nn.LSTM(3, 5, recurrent_dropout=0.2)
    with pytest.raises(SettingError, match=r"step: recurrent_dropout in training .* call eval\(\) first"):
        layer.step(X[:, 0])
    layer.eval().step(X[:, 0])
    layer = nn.LSTM(3, 5, 2, dropout=0.2, variational=True)
    with pytest.raises(SettingError, match=r"step: variational dropout in training .* call eval\(\) first"):
        layer.step(X[:, 0])
    layer.eval().step(X[:, 0])
    with pytest.raises(ValueError, match=re.escape("x: expected shape (B, 3), got (2, 4, 3)")):
        layer.step(X)


def test_a_trace_needs_a_batch():
    with pytest.raises(ValueError, match=re.escape("input: expected 3 dimensions, got shape (4, 3)")):
        nn.LSTM(3, 5).trace(X[0])
