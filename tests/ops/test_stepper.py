"""Steps on packed weights against the same steps of the layer, and what the native entry refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unspool import native, nn

pytestmark = [
    pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off"),
    pytest.mark.usefixtures("target"),
]

CELLS = [name for name, kind in nn.RECURRENT.items() if kind(2, 2).layout.recurrent]


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rows", [0, 1, 9, 70])
@pytest.mark.parametrize("hidden", [5, 65])
def test_equals_the_steps_of_the_layer(cell, rows, hidden):
    """In double, by the definition."""
    torch.manual_seed(0)
    layer = nn.RECURRENT[cell](3, hidden, 2, zoneout=0.1, bias=cell != "gru")
    weight, bias = torch.randn(7, hidden), torch.randn(7)
    stepper = layer.stepper([(torch.eye(hidden), None), (weight, bias)])
    definition = nn.RECURRENT[cell](3, hidden, 2, zoneout=0.1, bias=cell != "gru", dtype=torch.float64).eval()
    definition.load_state_dict(layer.state_dict())
    names = definition.layout.states
    state = tuple(torch.randn(2, rows, hidden) for _ in names)
    wanted_state, quick = tuple(part.double() for part in state), [part.numpy() for part in state]
    for _ in range(3):
        x = torch.randn(rows, 3)
        wanted, wanted_state = definition.step(x.double(), wanted_state if len(names) > 1 else wanted_state[0])
        wanted_state = parts_of(wanted_state)
        said = torch.log_softmax(wanted @ weight.T.double() + bias.double(), -1)
        y, quick = stepper(x.numpy(), quick, log_softmax=True)
        np.testing.assert_allclose(y, said.detach().numpy(), rtol=2e-5, atol=2e-5)
        for found, part in zip(quick, wanted_state, strict=True):
            np.testing.assert_allclose(found, part.detach().numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "normalised"])
def test_same_bits_alone_beside_others_and_on_any_number_of_threads(cell):
    layer = nn.RECURRENT[cell](30, 130, 2)
    stepper = layer.stepper([(torch.randn(70, 130), None)])
    x = np.random.default_rng(0).normal(size=(70, 30)).astype(np.float32)
    state = [np.zeros((2, 70, 130), np.float32) for _ in layer.layout.states]
    threads, answers = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            answers.append([stepper(x, state, log_softmax=True) for _ in range(3)][-1])  # not the first: that is alone
    finally:
        torch.set_num_threads(threads)
    for y, after in answers[1:]:
        assert np.array_equal(y, answers[0][0])
        assert all(map(np.array_equal, after, answers[0][1]))
    for row in (0, 33, 69):
        alone, _ = stepper(x[row : row + 1], [part[:, row : row + 1].copy() for part in state], log_softmax=True)
        assert np.array_equal(alone[0], answers[0][0][row])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("largest", [0, 2**20], ids=["looked up", "projected"])
def test_tokens_stand_for_their_vectors(cell, largest, monkeypatch):
    """Also alone, and on another number of threads, to the same bits; an odd number of units and of inputs."""
    monkeypatch.setattr("unspool.ops.stepper._LARGEST_TABLE", largest)
    torch.manual_seed(0)
    layer, vectors = nn.RECURRENT[cell](3, 65, 2, bias=cell != "gru"), torch.randn(6, 3)
    stepper, plain = layer.stepper(vectors=vectors), layer.stepper()
    tokens = np.arange(70) % 6
    state = [np.random.default_rng(0).normal(size=(2, 70, 65)).astype(np.float32) for _ in layer.layout.states]
    wanted, wanted_state = plain(vectors.numpy()[tokens], state)
    found, after = stepper(tokens, state)
    for a, b in zip((found, *after), (wanted, *wanted_state), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert np.array_equal(layer.stepper(vectors=vectors)(tokens, state)[0], found)
    finally:
        torch.set_num_threads(threads)
    alone, _ = stepper(tokens[33:34], [part[:, 33:34].copy() for part in state])
    assert np.array_equal(alone[0], found[33])
    vectors.zero_()
    assert np.array_equal(stepper(tokens, state)[0], found)


def test_a_token_without_a_vector_is_refused():
    stepper = nn.GRU(3, 5).stepper(vectors=torch.randn(6, 3))
    state = [np.zeros((1, 2, 5), np.float32)]
    for wrong in (np.array([0, 6]), np.array([-1, 0])):
        with pytest.raises(ValueError, match=r"^tokens: one is none of"):
            stepper(wrong, state)
    with pytest.raises(ValueError, match=r"^x: expected, or tokens"):
        stepper(np.zeros((2, 3), np.float32), state)
    with pytest.raises(ValueError, match=r"^vectors: expected"):
        nn.GRU(3, 5).stepper(vectors=torch.randn(6, 4))


def test_a_row_of_nan_stays_in_its_row():
    stepper = nn.LSTM(3, 20, 2).stepper([(torch.randn(5, 20), None)])
    x, state = np.ones((7, 3), np.float32), [np.zeros((2, 7, 20), np.float32) for _ in range(2)]
    clean, _ = stepper(x, state, log_softmax=True)
    x[3] = np.nan
    spoiled, after = stepper(x, state, log_softmax=True)
    others = np.arange(7) != 3
    assert np.isnan(spoiled[3]).all() and np.isnan(after[0][:, 3]).all()
    assert np.array_equal(spoiled[others], clean[others])


def test_what_it_does_not_take_has_no_stepper():
    assert nn.LSTM(3, 4, bidirectional=True).stepper() is None
    assert nn.LSTM(3, 4, layer_norm=True).stepper() is None
    assert nn.LSTM(3, 4, 2, residual=True).stepper() is None
    assert nn.LSTM(3, 4, dtype=torch.float64).stepper() is None
    assert nn.MinGRU(3, 4).stepper() is None


def test_it_keeps_the_weights_it_was_made_with():
    layer = nn.GRU(3, 5)
    stepper, x, state = layer.stepper(), np.ones((2, 3), np.float32), [np.zeros((1, 2, 5), np.float32)]
    before, _ = stepper(x, state)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
    assert np.array_equal(stepper(x, state)[0], before)
    assert not np.array_equal(layer.stepper()(x, state)[0], before)


def test_the_native_entry_refuses_what_does_not_fit():
    stepper = nn.LSTM(3, 4, 2).stepper()
    entry, zeros = stepper._native, lambda *shape: np.zeros(shape, np.float32)
    good = {"x": zeros(2, 3), "tokens": None, "h": zeros(2, 2, 4), "c": zeros(2, 2, 4), "y": zeros(2, 4)}
    good |= {"new_h": zeros(2, 2, 4), "new_c": zeros(2, 2, 4), "log_softmax": False, "threads": 1}
    entry.step(**good)
    for name, wrong in [
        ("x", zeros(2, 4)),
        ("x", zeros(3)),
        ("x", None),
        ("h", zeros(2, 1, 4)),
        ("c", zeros(1, 2, 4)),
        ("c", None),
        ("y", zeros(2, 5)),
        ("new_h", zeros(2, 2, 4, 1)),
        ("new_c", zeros(2, 4)),
        ("threads", 0),
    ]:
        with pytest.raises(ValueError, match=f"^{name}:"):
            entry.step(**good | {name: wrong})
    with pytest.raises(TypeError):
        entry.step(**good | {"x": np.zeros((2, 3))})
    with pytest.raises(TypeError):
        entry.step(**good | {"h": zeros(4, 2, 2).transpose(2, 1, 0)})
    with pytest.raises(ValueError, match="product: expected"):
        entry.add_product(torch.zeros(2, 5), None)
    with pytest.raises(ValueError, match="weight: expected"):
        entry.add_product(torch.zeros(2, 4).double(), None)
    with pytest.raises(ValueError, match="has no layer"):
        native.core().Stepper().step(**good)
    tokens, chosen, uniform = np.zeros(2, np.int64), np.zeros(2, np.float32), np.zeros(2)
    drawing = native.core().draw
    assert drawing(zeros(2, 3), uniform, 1.0, tokens, chosen)
    for name, wrong in [("temperature", 0.0), ("uniform", np.zeros(1)), ("tokens", tokens[:1]), ("chosen", chosen[:1])]:
        call = {"log_probs": zeros(2, 3), "uniform": uniform, "temperature": 1.0, "tokens": tokens, "chosen": chosen}
        with pytest.raises(ValueError, match=f"^{name}:"):
            drawing(**call | {name: wrong})
    with pytest.raises(ValueError, match=r"^log_probs:"):
        drawing(zeros(2, 0), uniform, 1.0, tokens, chosen)


@pytest.mark.parametrize("cell", CELLS)
def test_without_a_state_it_begins_with_zeros_as_the_layer_does(cell):
    layer, x = nn.RECURRENT[cell](3, 5, 2).eval(), torch.randn(4, 3)
    with torch.no_grad():
        wanted, wanted_state = layer.step(x, None)
    for y, after in (layer.stepper()(x.numpy(), None), layer.stepper()(x.numpy())):
        np.testing.assert_allclose(y, wanted.numpy(), rtol=1e-5, atol=1e-6)
        for found, part in zip(after, parts_of(wanted_state), strict=True):
            np.testing.assert_allclose(found, part.numpy(), rtol=1e-5, atol=1e-6)
