"""The backward pass by chunks of steps, in one part or two: many chunks, few rows, more threads than parts."""

import copy

import pytest
import torch
from torch.nn import functional

from unspool import native, nn

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")

LAYERS = {
    "rnn": {},
    "lstm": {},
    "peephole": {},
    "gru": {},
    "gru, reset before": {"reset_after": False},
    "pseudo": {},
    "lstm, layer norm": {"layer_norm": True},
    "gru, layer norm": {"layer_norm": True},
}


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def gradients(layer, given, lengths, tokens=None):
    """y, and the gradients of `given` and of every weight."""
    given = given.detach().requires_grad_()
    if tokens is None:
        y, _ = layer(given, lengths=lengths)
    else:
        y, _ = layer.over_tokens(tokens, lambda ids: functional.embedding(ids, given), lengths=lengths)
    outer = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape).sin()
    return [y.detach(), *torch.autograd.grad(y, [given, *layer.parameters()], outer)]


def assert_same_for_any_threads(threads, layer, *call):
    found = []
    for count in (2, 1, 3, 5):
        threads(count)
        found.append(gradients(layer, *call))
        for mine, first in zip(found[-1], found[0], strict=True):
            assert torch.equal(mine, first), count
    threads(2)
    definition = copy.deepcopy(layer).double()
    expected = gradients(definition, call[0].double(), *call[1:])
    for mine, theirs in zip(found[0], expected, strict=True):
        assert float((mine - theirs).norm()) <= 2e-5 * max(1e-2, float(theirs.norm()))


@pytest.mark.parametrize("name", LAYERS)
def test_many_rows(threads, name, target):
    """So many that a part has several groups; few steps, after which rounding has not grown in any cell."""
    torch.manual_seed(1)
    layer = nn.RECURRENT[name.split(",")[0]](5, 48, batch_first=True, **LAYERS[name])
    lengths = torch.arange(150) % 21  # about 750 places in each part: chunks of at most 512
    assert_same_for_any_threads(threads, layer, torch.randn(150, 20, 5), lengths)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_many_steps(threads, cell):
    torch.manual_seed(5)
    lengths = torch.tensor([400, 0, 399, 30, 400, 1, 257, 400, 390])  # 1,139 and 1,138 places
    assert_same_for_any_threads(threads, nn.RECURRENT[cell](5, 48, batch_first=True), torch.randn(9, 400, 5), lengths)


def test_tokens_in_two_parts(threads):
    torch.manual_seed(2)
    layer = nn.LSTM(6, 48, batch_first=True)
    tokens, lengths = torch.randint(40, (8, 300)), torch.tensor([300, 299, 150, 300, 2, 0, 300, 77])
    tokens[:, ::7] = 3
    assert_same_for_any_threads(threads, layer, torch.randn(40, 6), lengths, tokens)


def test_one_part_where_sums_are_large(threads):
    torch.manual_seed(3)
    layer = nn.LSTM(4, 368, batch_first=True)
    assert_same_for_any_threads(threads, layer, torch.randn(4, 160, 4), torch.tensor([160, 159, 160, 40]))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows(threads, rows, target):
    torch.manual_seed(4)
    layer = nn.GRU(3, 33, batch_first=True)
    assert_same_for_any_threads(threads, layer, torch.randn(rows, 90, 3), torch.tensor([90, 88, 0][:rows]))
