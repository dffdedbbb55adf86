"""One step of each recurrent cell: the definition that every faster way is tested against.

Shapes: `p` (B, G·H) is the input's part of the pre-activations with its bias (`reference.project`), each state
and each gate (B, H). σ is the logistic function, φ is tanh, ⊙ is elementwise. W_* are blocks of `weight_hh`,
U_* of `weight_ih`; p_* stands for U_* x_t + b_*. A step knows nothing of time, lengths or zoneout.

Every read of the previous state that enters a recurrent product is multiplied by the call's `state_mask`
(Gal & Ghahramani 2016). With layer normalisation (Ba et al. 2016) each recurrent product is normalised over its
own units before its bias is added, and h = o ⊙ φ(LN(c)) in cells with a memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from unspool.ops.call import Call, State

EPSILON = 1e-5  # added to the variance in every normalisation, as torch.nn.LayerNorm does
Gates = dict[str, Tensor]


@dataclass(frozen=True)
class Cell:
    """`step(p, state) -> (next state, gates by name)`, and the output that a state shows to the outside."""

    step: Callable[[Tensor, State], tuple[State, Gates]]
    output: Callable[[State], Tensor]


def make_cell(call: Call) -> Cell:
    """The step of the call's cell with the call's weights."""
    return _MAKERS[call.layout.name](call)


def normalise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last dimension, then the learned gain and shift."""
    return functional.layer_norm(x, x.shape[-1:], weight, bias, EPSILON)


def _first(state: State) -> Tensor:
    return state[0]


def _rnn(call: Call) -> Cell:
    """Elman 1990: h_t = φ(W h_{t-1} + U x_t + b), or with max(0, ·) for φ."""
    product = _product(call)
    activation = torch.tanh if call.nonlinearity == "tanh" else torch.relu

    def step(p: Tensor, state: State) -> tuple[State, Gates]:
        h = activation(p + product(state[0]))
        return (h,), {"n": h}

    return Cell(step, _first)


def _gru(call: Call) -> Cell:
    """Cho et al. 2014: h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}, r and z = σ(p + W h_{t-1} + b_h), and
    n = φ(p_n + r ⊙ (W_n h_{t-1} + b_n)) when the reset comes after the product, as in torch and Keras."""
    if not call.reset_after:
        return _gru_reset_before(call)
    product = _product(call)

    def step(p: Tensor, state: State) -> tuple[State, Gates]:
        (h,) = state
        p_r, p_z, p_n = p.chunk(3, -1)
        q_r, q_z, q_n = product(h).chunk(3, -1)
        r, z = torch.sigmoid(p_r + q_r), torch.sigmoid(p_z + q_z)
        n = torch.tanh(p_n + r * q_n)
        return ((1 - z) * n + z * h,), {"r": r, "z": z, "n": n}

    return Cell(step, _first)


def _gru_reset_before(call: Call) -> Cell:
    """The same with n = φ(p_n + W_n (r ⊙ h_{t-1}) + b_n), the order of Cho et al. 2014."""
    gates, candidate = _product(call, ("r", "z")), _product(call, ("n",))

    def step(p: Tensor, state: State) -> tuple[State, Gates]:
        (h,) = state
        p_r, p_z, p_n = p.chunk(3, -1)
        q_r, q_z = gates(h).chunk(2, -1)
        r, z = torch.sigmoid(p_r + q_r), torch.sigmoid(p_z + q_z)
        n = torch.tanh(p_n + candidate(r * h))
        return ((1 - z) * n + z * h,), {"r": r, "z": z, "n": n}

    return Cell(step, _first)


def _lstm(call: Call) -> Cell:
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000: i, f, o = σ(p + W h_{t-1}),
    g = φ(p_g + W_g h_{t-1}), c_t = f ⊙ c_{t-1} + i ⊙ g, h_t = o ⊙ φ(c_t)."""
    product, shown = _product(call), _shown_memory(call)

    def step(p: Tensor, state: State) -> tuple[State, Gates]:
        h, c = state
        p_i, p_f, p_g, p_o = (p + product(h)).chunk(4, -1)
        i, f, o = torch.sigmoid(p_i), torch.sigmoid(p_f), torch.sigmoid(p_o)
        g = torch.tanh(p_g)
        c = f * c + i * g
        return (o * shown(c), c), {"i": i, "f": f, "g": g, "o": o}

    return Cell(step, _first)


def _peephole(call: Call) -> Cell:
    """Gers et al. 2002: the LSTM whose i and f also see w ⊙ c_{t-1}, and whose o sees w ⊙ c_t."""
    product, shown = _product(call), _shown_memory(call)
    w_i, w_f, w_o = call.weights["weight_ch"].chunk(3)

    def step(p: Tensor, state: State) -> tuple[State, Gates]:
        h, c = state
        p_i, p_f, p_g, p_o = (p + product(h)).chunk(4, -1)
        i, f = torch.sigmoid(p_i + w_i * c), torch.sigmoid(p_f + w_f * c)
        g = torch.tanh(p_g)
        c = f * c + i * g
        o = torch.sigmoid(p_o + w_o * c)
        return (o * shown(c), c), {"i": i, "f": f, "g": g, "o": o}

    return Cell(step, _first)


def _prototype(call: Call) -> Cell:
    """i, o, f = σ(p + W read(s_{t-1})), g = φ(p_g + W_g (o ⊙ read(s_{t-1}))), s_t = f ⊙ s_{t-1} + i ⊙ g, and
    the output is read(s_t). `read` is nothing (prototype), a normalisation over units (normalised) or φ
    (pseudo); what f carries on is the raw s, which nothing bounds in the prototype."""
    gates, candidate = _product(call, ("i", "f", "o")), _product(call, ("g",))
    read = _read(call)

    def step(p: Tensor, state: State) -> tuple[State, Gates]:
        (s,) = state
        seen = read(s)
        p_i, p_f, p_g, p_o = p.chunk(4, -1)
        q_i, q_f, q_o = gates(seen).chunk(3, -1)
        i, f, o = torch.sigmoid(p_i + q_i), torch.sigmoid(p_f + q_f), torch.sigmoid(p_o + q_o)
        g = torch.tanh(p_g + candidate(o * seen))
        return (f * s + i * g,), {"i": i, "f": f, "g": g, "o": o}

    return Cell(step, lambda state: read(state[0]))


def _mingru(_: Call) -> Cell:
    """Feng et al. 2024: z = σ(p_z), h_t = (1 - z) ⊙ h_{t-1} + z ⊙ p_h."""

    def step(p: Tensor, state: State) -> tuple[State, Gates]:
        p_z, candidate = p.chunk(2, -1)
        z = torch.sigmoid(p_z)
        return ((1 - z) * state[0] + z * candidate,), {"z": z, "h": candidate}

    return Cell(step, _first)


def _qrnn(_: Call) -> Cell:
    """Bradbury et al. 2017 with one forget gate: z = σ(p_z), h_t = (1 - z) ⊙ h_{t-1} + z ⊙ φ(p_h), where p is
    a causal convolution of the inputs."""

    def step(p: Tensor, state: State) -> tuple[State, Gates]:
        p_z, p_h = p.chunk(2, -1)
        z, candidate = torch.sigmoid(p_z), torch.tanh(p_h)
        return ((1 - z) * state[0] + z * candidate,), {"z": z, "h": candidate}

    return Cell(step, _first)


_MAKERS: dict[str, Callable[[Call], Cell]] = {
    "rnn": _rnn,
    "gru": _gru,
    "lstm": _lstm,
    "peephole": _peephole,
    "prototype": _prototype,
    "normalised": _prototype,
    "pseudo": _prototype,
    "mingru": _mingru,
    "qrnn": _qrnn,
}


def _product(call: Call, gates: tuple[str, ...] | None = None) -> Callable[[Tensor], Tensor]:
    """The recurrent product of the named gates (default: all): mask, product, normalisation, bias."""
    weight, bias, gain, shift = (
        _rows(call, name, gates) for name in ("weight_hh", "bias_hh", "ln_hh_weight", "ln_hh_bias")
    )
    assert weight is not None  # checked_call has seen it

    def product(seen: Tensor) -> Tensor:
        if call.state_mask is not None:
            seen = seen * call.state_mask
        if gain is None or shift is None:
            return functional.linear(seen, weight, bias)
        normalised = normalise(functional.linear(seen, weight), gain, shift)
        return normalised if bias is None else normalised + bias

    return product


def _rows(call: Call, name: str, gates: tuple[str, ...] | None) -> Tensor | None:
    """The blocks of rows of a parameter that belong to the named gates; None when there is no such parameter."""
    parameter = call.weights.get(name)
    if parameter is None or gates is None:
        return parameter
    blocks = parameter.chunk(len(call.layout.gates))
    return torch.cat([blocks[call.layout.gates.index(gate)] for gate in gates])


def _shown_memory(call: Call) -> Callable[[Tensor], Tensor]:
    """φ(c), or φ(LN(c)) with layer normalisation."""
    if not call.layer_norm:
        return torch.tanh
    gain, shift = call.weights["ln_c_weight"], call.weights["ln_c_bias"]
    return lambda c: torch.tanh(normalise(c, gain, shift))


def _read(call: Call) -> Callable[[Tensor], Tensor]:
    """How the prototype family looks at its state."""
    if call.layout.name == "pseudo":
        return torch.tanh
    if not call.layout.normalised:
        return lambda s: s
    gain, shift = call.weights["norm_weight"], call.weights["norm_bias"]
    return lambda s: normalise(s, gain, shift)
