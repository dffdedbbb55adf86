"""What every recurrent layer does around its cell: layers, directions, lengths, pieces, steps, masks, storage."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unspool import native, nn
from unspool.ops import recurrent
from unspool.ops.layouts import CELLS

LENGTHS = [6, 2, 0, 5]
CLOSE = {"rtol": 0.0, "atol": 1e-12}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_state(layer, rows, parts):
    """A state of the layer's own shape, at random."""
    state = layer(torch.zeros(rows, 1, 3, dtype=torch.float64))[1]
    drawn = tuple(draw(*part.shape, seed=k + 1) for k, part in enumerate(parts(state)))
    return drawn if isinstance(state, tuple) else drawn[0]


def run_part(layer, index, x, state, lengths):
    """One layer in one direction, from the layer's own parameters but by the operation alone."""
    suffix = f"_l{index // (1 + layer.bidirectional)}"
    reverse = layer.bidirectional and index % 2 == 1
    ending = suffix + "_reverse" * reverse
    weights = {name.removesuffix(ending): p for name, p in layer.named_parameters() if name.endswith(ending)}
    options = {name: getattr(layer, name) for name in ("nonlinearity", "reset_after") if hasattr(layer, name)}
    options |= {"reverse": reverse, "zoneout": layer.zoneout or None}
    return recurrent.run(layer.cell, x, state, weights, lengths, **options)


def composed(layer, x, state, lengths, parts, mask=1.0):
    """Outputs and final states by composing single layers and directions; `mask` is multiplied in between layers."""
    directions, finals = 1 + layer.bidirectional, []
    common = len(CELLS[layer.cell].states)
    for k in range(layer.num_layers):
        outputs = []
        for index in range(k * directions, (k + 1) * directions):
            own = [part[index] for part in parts(state)[:common]]
            own += [parts(state)[common + index].transpose(0, 1)] if CELLS[layer.cell].window else []
            y, final = run_part(layer, index, x * mask if k else x, tuple(own), lengths)
            outputs.append(y)
            finals.append(final)
        x = torch.cat(outputs, 2) + (x if layer.residual and k else 0)
    windows = [final[common].transpose(0, 1) for final in finals] if CELLS[layer.cell].window else []
    return x, [*(torch.stack(column) for column in list(zip(*finals, strict=True))[:common]), *windows]


def test_a_layer_is_its_parts_composed(layer, parts):
    x, state, lengths = draw(4, 6, 3), random_state(layer, 4, parts), torch.tensor(LENGTHS)
    for given in (None, lengths):
        y, final = layer(x, state, given)
        expected, last = composed(layer, x, state, given, parts)
        torch.testing.assert_close(y, expected, **CLOSE)
        torch.testing.assert_close(parts(final), tuple(last), **CLOSE)


def test_a_missing_state_is_zero(layer, parts):
    x = draw(4, 6, 3)
    zero = tuple(torch.zeros_like(part) for part in parts(random_state(layer, 4, parts)))
    y, final = layer(x, zero if len(zero) > 1 else zero[0])
    torch.testing.assert_close((y, final), layer(x), rtol=0, atol=0)


def test_time_may_come_first_and_a_batch_may_be_missing(kind, parts):
    first, second = kind(num_layers=2), kind(num_layers=2, batch_first=False)
    x, state = draw(4, 6, 3), random_state(kind(num_layers=2), 4, parts)
    y, final = first(x, state, LENGTHS)
    turned, last = second(x.transpose(0, 1), state, LENGTHS)
    torch.testing.assert_close((turned.transpose(0, 1), last), (y, final), rtol=0, atol=0)
    for row, length in ((0, 6), (1, 2)):
        alone = tuple(part[:, row] for part in parts(state))
        one, end = second(x[row], alone if len(alone) > 1 else alone[0], length)
        torch.testing.assert_close(one, y[row], **CLOSE)
        torch.testing.assert_close(parts(end), tuple(part[:, row] for part in parts(final)), **CLOSE)


def test_a_packed_sequence_comes_back_packed(layer, parts):
    x, lengths = draw(4, 6, 3), torch.tensor([3, 6, 1, 3])
    state = random_state(layer, 4, parts)
    packed, final = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), state)
    y, last = layer(x, state, lengths)
    torch.testing.assert_close(pad_packed_sequence(packed, batch_first=True)[0], y, **CLOSE)
    torch.testing.assert_close(parts(final), parts(last), **CLOSE)


def test_padding_changes_no_bit_and_gets_no_gradient(layer, parts):
    padding = torch.arange(6) >= torch.tensor(LENGTHS)[:, None]
    seen = []
    for poison in (0.0, 1e30, float("nan")):
        x = draw(4, 6, 3)
        x[padding] = poison
        x.requires_grad_()
        y, final = layer(x, lengths=LENGTHS)
        leaves = [x, *layer.parameters()]
        gradients = torch.autograd.grad(y.sum() + sum(part.square().sum() for part in parts(final)), leaves)
        assert not y[padding].any() and not gradients[0][padding].any()
        seen.append([y, *parts(final), *gradients])
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


LITTLE = [(0, 5, None), (3, 0, None), (3, 0, [0, 0, 0]), (3, 4, [0, 0, 0]), (3, 1, None)]


@pytest.mark.parametrize("rows, steps, lengths", LITTLE)
def test_little_or_nothing_to_read(layer, parts, rows, steps, lengths):
    state = random_state(layer, rows, parts)
    x = draw(rows, steps, 3).requires_grad_()
    y, final = layer(x, state, lengths)
    assert y.shape == (rows, steps, 5 * (1 + layer.bidirectional))
    if steps != 1:
        assert not y.any() and all(torch.equal(a, b) for a, b in zip(parts(final), parts(state), strict=True))
        y.sum().backward()
        assert not x.grad.any()
        assert not any(p.grad is not None and p.grad.any() for p in layer.parameters())


def test_a_row_alone_is_the_row_in_a_batch(layer, parts):
    x, lengths = draw(9, 6, 3), torch.tensor([6, 2, 1, 5, 0, 6, 3, 3, 4])
    y, final = layer(x, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        one, end = layer(x[row : row + 1, :length])
        torch.testing.assert_close(one[0], y[row, :length], **CLOSE)
        torch.testing.assert_close(parts(end), tuple(part[:, row : row + 1] for part in parts(final)), **CLOSE)


def test_pieces_and_steps_equal_the_whole(kind, parts):
    for settings in ({}, {"num_layers": 2, "layer_norm": True, "residual": True, "zoneout": 0.2}):
        layer = kind(**settings)
        x, state = draw(4, 6, 3), random_state(layer, 4, parts)
        y, final = layer(x, state)
        pieces, middle = [], state
        for piece in x.split([1, 3, 2], 1):
            out, middle = layer(piece, middle)
            pieces.append(out)
        steps, last = [], state
        for t in range(6):
            out, last = layer.step(x[:, t], last)
            steps.append(out)
        for found, end in ((torch.cat(pieces, 1), middle), (torch.stack(steps, 1), last)):
            torch.testing.assert_close(found, y, **CLOSE)
            torch.testing.assert_close(parts(end), parts(final), **CLOSE)
        torch.testing.assert_close(layer.step(x[:, 0])[0], layer(x[:, :1])[0][:, 0], **CLOSE)


def test_the_state_carries_gradients(layer, parts):
    state = random_state(layer, 2, parts)
    leaves = [part.requires_grad_() for part in parts(state)]
    x, shape_of = draw(2, 2, 3).requires_grad_(), type(state)

    def outputs(x, *given):
        y, final = layer(x, given if shape_of is tuple else given[0], [2, 1])
        return y, *parts(final)

    assert torch.autograd.gradcheck(outputs, (x, *leaves), fast_mode=True)


def test_trace_shows_every_layer_and_direction(layer):
    x = draw(4, 6, 3)
    traces = layer.trace(x, lengths=LENGTHS)
    y, _ = layer(x, lengths=LENGTHS)
    assert len(traces) == layer.num_layers * (1 + layer.bidirectional)
    layout = CELLS[layer.cell]
    for trace in traces:
        assert (tuple(trace.gates), tuple(trace.states)) == (layout.gates, layout.states)
        assert {value.shape for value in trace.gates.values()} == {(4, 6, 5)}
        assert not any(value[2].any() for value in [*trace.gates.values(), *trace.states.values()])
    last = torch.cat([trace.output for trace in traces[-1 - layer.bidirectional :]], 2)
    if not layer.residual:
        torch.testing.assert_close(last, y, **CLOSE)


@pytest.mark.parametrize("lengths", [[3, 1, 2], [0, 3, 3]], ids=str)
def test_gradients_of_every_weight_equal_numerical_differences(kind, parts, lengths):
    """Through two layers in both directions; along random directions, which finds as much and takes a tenth."""
    layer = kind(num_layers=2, bidirectional=True)
    state = random_state(layer, 3, parts)
    leaves, names = [part.requires_grad_() for part in parts(state)], [name for name, _ in layer.named_parameters()]
    x, count = draw(3, 3, 3).requires_grad_(), len(leaves)

    def outputs(x, *given):
        own = given[:count] if isinstance(state, tuple) else given[0]
        weights = dict(zip(names, given[count:], strict=True))
        y, final = torch.func.functional_call(layer, weights, (x, own, lengths))
        return y, *parts(final)

    options = {"eps": 1e-6, "atol": 1e-5, "rtol": 1e-3, "nondet_tol": 0.0, "fast_mode": True}
    assert torch.autograd.gradcheck(outputs, (x, *leaves, *layer.parameters()), **options)


def test_copies_pickles_and_state_dicts_answer_alike(layer):
    x = draw(4, 6, 3)
    expected = layer(x, lengths=LENGTHS)[0]
    stream = io.BytesIO()
    torch.save(layer, stream)
    stream.seek(0)
    for other in (copy.deepcopy(layer), torch.load(stream, weights_only=False)):
        assert torch.equal(other(x, lengths=LENGTHS)[0], expected)
    other = copy.deepcopy(layer)
    other.reset_parameters()
    assert not torch.equal(other(x, lengths=LENGTHS)[0], expected)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x, lengths=LENGTHS)[0], expected)


@pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")
def test_copies_in_float32_answer_to_the_same_bits(kind):
    """On the compiled core, where it knows the layer; gradients as well."""
    x = draw(4, 6, 3).float()
    for settings in ({}, {"num_layers": 2, "bidirectional": True, "layer_norm": True, "zoneout": 0.2}):
        layer = kind(**settings).float()
        stream = io.BytesIO()
        torch.save(layer, stream)
        stream.seek(0)
        filled = copy.deepcopy(layer)
        filled.reset_parameters()
        filled.load_state_dict(layer.state_dict())
        copies = (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), filled)
        found = []
        for other in (*copies, torch.load(stream, weights_only=False)):
            y, _ = other(x, lengths=LENGTHS)
            found.append([y.detach(), *torch.autograd.grad(y.square().sum(), list(other.parameters()))])
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def told_by(layer, x, monkeypatch):
    """What the layer tells the operation about each of its parts."""
    told, checked_call = [], recurrent.checked_call

    def spy(*arguments, **options):
        told.append(options)
        return checked_call(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(recurrent, "checked_call", spy)
        layer(x)
    return told


def test_recurrent_dropout_draws_one_scaled_mask_for_each_row_and_part(kind, monkeypatch):
    if kind().cell in ("mingru", "qrnn"):
        with pytest.raises(ValueError, match=r"recurrent_dropout: .* has no recurrent product to drop from"):
            kind(recurrent_dropout=0.1)
        return
    layer = kind(recurrent_dropout=0.25, num_layers=2, bidirectional=True)
    told = told_by(layer.train(), draw(400, 3, 3), monkeypatch)
    masks = torch.stack([options["state_mask"] for options in told])
    assert masks.shape == (4, 400, 5)
    assert sorted(set(masks.flatten().tolist())) == [0.0, 1 / 0.75]
    assert abs(masks.mean() - 1) < 0.03  # 8000 draws: standard deviation 0.0065
    assert not torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
    told = told_by(layer.eval(), draw(4, 3, 3), monkeypatch)
    assert [options["state_mask"] for options in told] == [None] * 4


def test_zoneout_draws_a_mask_for_each_state_and_step_and_mixes_in_evaluation(kind, monkeypatch):
    layer = kind(zoneout=0.25)
    mask = told_by(layer.train(), draw(400, 4, 3), monkeypatch)[0]["zoneout"]
    assert mask.dtype == torch.bool and mask.shape == (len(CELLS[layer.cell].states), 400, 4, 5)
    assert abs(mask.double().mean() - 0.25) < 0.02  # 8000 draws or more: standard deviation 0.005
    assert not torch.equal(mask[:, :, 0], mask[:, :, 1])
    assert mask.shape[0] == 1 or not torch.equal(mask[0], mask[1])
    assert told_by(layer.eval(), draw(4, 3, 3), monkeypatch)[0]["zoneout"] == 0.25
    told = told_by(kind().train(), draw(4, 3, 3), monkeypatch)
    assert told[0]["zoneout"] is None and told[0]["state_mask"] is None


def test_random_parts_are_off_in_evaluation_and_follow_the_seed_in_training(kind):
    settings = {"num_layers": 2, "dropout": 0.3, "zoneout": 0.1}
    settings |= {} if kind().cell in ("mingru", "qrnn") else {"recurrent_dropout": 0.3}
    layer, x = kind(**settings), draw(4, 6, 3)
    assert torch.equal(layer(x)[0], layer(x)[0])
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(layer.train()(x)[0])
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_parameters_start_as_described():
    torch.manual_seed(0)
    for kind in nn.RECURRENT.values():
        layer = kind(40, 30, layer_norm=True)
        blocks = len(CELLS[kind.cell].gates)
        for name, parameter in layer.named_parameters():
            if name == "weight_hh_l0":
                for block in parameter.chunk(blocks):
                    torch.testing.assert_close(block @ block.T, torch.eye(30), rtol=0, atol=1e-5)
            elif name == "weight_ih_l0":
                fan = (40 + blocks * 30) * (2 if kind is nn.QRNN else 1)
                assert 0.95 < parameter.abs().max() / (6 / fan) ** 0.5 <= 1
            elif name == "bias_ih_l0" and "f" in CELLS[kind.cell].gates:
                assert torch.equal(parameter, torch.tensor([0.0, 1, 0, 0]).repeat_interleave(30))
            else:
                one = name.startswith(("ln", "norm")) and "weight" in name
                assert torch.equal(parameter, torch.full_like(parameter, float(one)))
    layer = nn.LSTM(4, 3, forget_bias=2.5)
    assert layer.bias_ih_l0.tolist() == [0, 0, 0, 2.5, 2.5, 2.5, *[0] * 6]


def test_a_layer_prints_its_settings():
    assert repr(nn.GRU(3, 5, 2, reset_after=False)) == "GRU(3, 5, num_layers=2, reset_after=False)"
    assert repr(nn.QRNN(3, 5, kernel_size=3)) == "QRNN(3, 5, kernel_size=3)"
    assert repr(nn.RNN(3, 5, 1, "relu", bias=False)) == "RNN(3, 5, nonlinearity=relu, bias=False)"
    assert repr(nn.LSTM(3, 5)) == "LSTM(3, 5)"
    text = "LSTM(3, 5, num_layers=2, dropout=0.5, variational=True)"
    assert repr(nn.LSTM(3, 5, 2, dropout=0.5, variational=True)) == text


@pytest.mark.parametrize("more", [{}, {"bidirectional": True}, {"residual": True}], ids=str)
def test_variational_dropout_hides_the_same_units_at_all_steps(kind, parts, more):
    """Against single layers with a mask a row between them, drawn as the layer draws it."""
    layer = kind(num_layers=2, dropout=0.4, variational=True, **more).train()
    x, state, width = draw(4, 6, 3).requires_grad_(), random_state(layer, 4, parts), 5 * (1 + layer.bidirectional)
    for given in (None, torch.tensor(LENGTHS)):
        torch.manual_seed(8)
        y, final = layer(x, state, given)
        torch.manual_seed(8)
        mask = torch.empty(4, 1, width, dtype=torch.float64).bernoulli_(0.6)
        assert 0 < mask.sum() < mask.numel()
        expected, last = composed(layer, x, state, given, parts, mask / 0.6)
        torch.testing.assert_close(y, expected, **CLOSE)
        torch.testing.assert_close(parts(final), tuple(last), **CLOSE)
        slopes = [torch.autograd.grad(found.square().sum(), x) for found in (y, expected)]
        torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)
    layer.eval()
    torch.testing.assert_close(layer(x, state)[0], composed(layer, x, state, None, parts)[0], **CLOSE)
