"""The three layers that torch has, too: same values, gradients, shapes and names, and weights move both ways."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unspool import nn

KINDS = [
    (torch.nn.RNN, nn.RNN, {}),
    (torch.nn.RNN, nn.RNN, {"nonlinearity": "relu"}),
    (torch.nn.GRU, nn.GRU, {}),
    (torch.nn.LSTM, nn.LSTM, {}),
]
SHAPES = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "batch_first": True},
    {"bidirectional": True, "bias": False, "batch_first": True},
]
BOUND = {torch.float64: 1e-12, torch.float32: 2e-6}


@pytest.fixture(params=[(*kind, shape, dtype) for kind, shape, dtype in product(KINDS, SHAPES, BOUND)], ids=str)
def pair(request):
    """torch's layer and ours with the same weights, which moved as a state dict."""
    theirs, ours, own, shape, dtype = request.param
    torch.manual_seed(1)
    first, second = theirs(3, 5, dtype=dtype, **own, **shape), ours(3, 5, dtype=dtype, **own, **shape)
    assert [(n, p.shape) for n, p in first.named_parameters()] == [(n, p.shape) for n, p in second.named_parameters()]
    second.load_state_dict(first.state_dict())
    return first, second, BOUND[dtype]


def initial(layer, dtype, rows=4):
    """(num_layers · D, B, H), twice for the LSTM, at random."""
    shape = (layer.num_layers * (1 + layer.bidirectional), *([rows] if rows else []), 5)
    state = [torch.randn(shape, dtype=dtype).requires_grad_() for _ in range(2)]
    return tuple(state) if isinstance(layer, torch.nn.LSTM) else state[0]


def check_same(pair, inputs, state=None, ours=None):
    """Outputs, final states and all gradients."""
    first, second, bound = pair
    seen = []
    for layer, arguments in ((first, (inputs, state)), (second, ours or (inputs, state))):
        y, final = layer(*arguments)
        flat = [y.data if not isinstance(y, torch.Tensor) else y, *(final if isinstance(final, tuple) else (final,))]
        leaves = [*layer.parameters(), *([] if state is None else state if isinstance(state, tuple) else [state])]
        total = sum((part * (1 + torch.arange(part.numel()).reshape(part.shape) % 3)).sum() for part in flat)
        seen.append([*flat, *torch.autograd.grad(total, leaves)])
    for found, expected in zip(seen[1], seen[0], strict=True):
        torch.testing.assert_close(found, expected, rtol=10 * bound, atol=10 * bound)


def test_a_batch_gives_the_same(pair):
    dtype = next(pair[0].parameters()).dtype
    x = torch.randn((4, 7, 3) if pair[0].batch_first else (7, 4, 3), dtype=dtype)
    check_same(pair, x)
    check_same(pair, x, initial(pair[0], dtype))


def test_one_row_without_a_batch_gives_the_same(pair):
    dtype = next(pair[0].parameters()).dtype
    x = torch.randn(7, 3, dtype=dtype)
    check_same(pair, x)
    check_same(pair, x, initial(pair[0], dtype, rows=0))


@pytest.mark.parametrize("lengths, ordered", [([7, 5, 5, 1], True), ([2, 7, 1, 7], False), ([3, 3, 3, 3], False)])
def test_a_packed_sequence_gives_the_same_packed(pair, lengths, ordered):
    first, second, _ = pair
    dtype = next(first.parameters()).dtype
    x = torch.randn(4, 7, 3, dtype=dtype)
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=ordered)
    check_same(pair, packed)
    check_same(pair, packed, initial(first, dtype))
    theirs, ours = first(packed)[0], second(packed)[0]
    assert torch.equal(theirs.batch_sizes, ours.batch_sizes)
    if not ordered:
        assert torch.equal(theirs.sorted_indices, ours.sorted_indices)
        assert torch.equal(theirs.unsorted_indices, ours.unsorted_indices)


def test_lengths_do_what_packing_does(pair):
    first, second, bound = pair
    lengths = torch.tensor([2, 7, 1, 6])
    x = torch.randn(4, 7, 3, dtype=next(first.parameters()).dtype)
    y, final = first(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    expected = pad_packed_sequence(y, batch_first=True)[0]
    found, last = second(x if second.batch_first else x.transpose(0, 1), None, lengths)
    torch.testing.assert_close(found if second.batch_first else found.transpose(0, 1), expected, rtol=bound, atol=bound)
    torch.testing.assert_close(last, final, rtol=bound, atol=bound)


def test_weights_move_back_into_torch(pair):
    first, second, _ = pair
    second.reset_parameters()
    first.load_state_dict(second.state_dict())
    check_same(pair, torch.randn(3, 3, 3, dtype=next(first.parameters()).dtype))


def test_dropout_between_layers_is_that_of_torch():
    first, second = torch.nn.LSTM(3, 5, 3, dropout=0.4), nn.LSTM(3, 5, 3, dropout=0.4)
    second.load_state_dict(first.state_dict())
    ours, theirs = second.eval(), first.eval()
    x = torch.randn(7, 4, 3)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    single = [nn.LSTM(3 if k == 0 else 5, 5) for k in range(3)]
    for k, layer in enumerate(single):
        weights = second.state_dict()
        layer.load_state_dict({n.replace(f"l{k}", "l0"): w for n, w in weights.items() if n.endswith(f"l{k}")})
    torch.manual_seed(3)
    found = second.train()(x)[0]
    torch.manual_seed(3)
    # the layer draws its masks over (B, T, D)
    y = single[0](x)[0].transpose(0, 1)
    for layer in single[1:]:
        y = layer(torch.nn.functional.dropout(y, 0.4).transpose(0, 1))[0].transpose(0, 1)
    torch.testing.assert_close(found, y.transpose(0, 1))
