"""A table of recurrent cells with their choices, random cases for each, and each computed by hand in NumPy.

The NumPy part takes one row at a time and only its real steps, so it knows no padding, no masks over a batch and
no direction: nothing that could be wrong in the same way as in the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unspool import native
from unspool.ops import reference
from unspool.ops.call import checked_call
from unspool.ops.layouts import CELLS, parameter_shapes

Array = NDArray[Any]


def present_targets() -> list[str]:
    """The instruction sets of the compiled core that this CPU has; none without the core."""
    core, present = native.core(), []
    if core is not None:
        before = core.target()
        for name in ("avx512", "avx2", "neon", "scalar"):
            with suppress(ValueError):
                core.choose_target(name)
                present.append(name)
        core.choose_target(before)
    return present


@pytest.fixture(params=present_targets())
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs on every instruction set of this CPU."""
    core = native.present()
    before = core.target()
    core.choose_target(request.param)
    yield request.param
    core.choose_target(before)


@dataclass(frozen=True)
class Variant:
    """A cell and what can be chosen about it."""

    cell: str
    options: dict[str, Any] = field(default_factory=dict)
    kernel_size: int = 1
    bias: bool = True
    layer_norm: bool = False

    def __str__(self) -> str:
        chosen = [f"{name}={value}" for name, value in self.options.items()]
        chosen += [f"k={self.kernel_size}"] * (self.kernel_size > 1)
        return "-".join([self.cell, *chosen, *["nobias"] * (not self.bias), *["ln"] * self.layer_norm])


PLAIN = [
    *(Variant(cell, kernel_size=2 if cell == "qrnn" else 1) for cell in CELLS),
    Variant("rnn", {"nonlinearity": "relu"}),
    Variant("gru", {"reset_after": False}),
    Variant("qrnn"),
    Variant("qrnn", kernel_size=4),
]
IN_TORCH = [v for v in PLAIN if v.cell in ("rnn", "gru", "lstm") and v.options.get("reset_after", True)]
WITHOUT_BIAS = [replace(variant, bias=False) for variant in PLAIN]
NORMALISED = [replace(variant, layer_norm=True) for variant in PLAIN]


@pytest.fixture(params=PLAIN, ids=str)
def plain(request: pytest.FixtureRequest) -> Variant:
    return request.param


@pytest.fixture(params=IN_TORCH, ids=str)
def in_torch(request: pytest.FixtureRequest) -> Variant:
    """Those that torch has a layer for."""
    return request.param


KNOWN_NORMALISED = [
    v for v in NORMALISED if v.cell in ("rnn", "gru", "lstm", "peephole") and v.options.get("reset_after", True)
]


@pytest.fixture(params=KNOWN_NORMALISED, ids=str)
def normalised(request: pytest.FixtureRequest) -> Variant:
    """The cells whose layer normalisation the kernels know, with it."""
    return request.param


@pytest.fixture(params=[*PLAIN, *NORMALISED], ids=str)
def differentiable(request: pytest.FixtureRequest) -> Variant:
    """Without those that lack a bias, whose derivatives are among those of the others."""
    return request.param


@pytest.fixture(params=[*PLAIN, *WITHOUT_BIAS, *NORMALISED, replace(NORMALISED[2], bias=False)], ids=str)
def variant(request: pytest.FixtureRequest) -> Variant:
    return request.param


@dataclass
class Case:
    """Arguments of `recurrent.run` for one variant, drawn at random."""

    variant: Variant
    x: torch.Tensor
    state: tuple[torch.Tensor, ...]
    weights: dict[str, torch.Tensor]
    lengths: torch.Tensor | None
    options: dict[str, Any]

    def run(self, way: Callable[..., Any], **changes: Any) -> Any:
        """`way` is `recurrent.run`, `recurrent.trace`, or `definition`."""
        given = {"x": self.x, "state": self.state, "weights": self.weights, "lengths": self.lengths} | changes
        arguments = [given.pop(name) for name in ("x", "state", "weights", "lengths")]
        return way(self.variant.cell, *arguments, **self.options | given)

    def leaves(self) -> list[torch.Tensor]:
        """Everything a gradient is wanted for, detached and ready to receive it."""
        self.x = self.x.detach().requires_grad_()
        self.state = tuple(part.detach().requires_grad_() for part in self.state)
        self.weights = {name: weight.detach().requires_grad_() for name, weight in self.weights.items()}
        return [self.x, *self.state, *self.weights.values()]


@pytest.fixture
def definition() -> Callable[..., Any]:
    """The plain loop, with the arguments of `recurrent.run`."""
    return lambda *arguments, **options: reference.run(checked_call(*arguments, **options))


@pytest.fixture
def make_case() -> Callable[..., Case]:
    """make_case(variant, rows, steps, inputs, hidden, dtype=, lengths=, mask=, zoneout=, **options) -> Case."""

    def make(
        variant: Variant,
        rows: int = 4,
        steps: int = 6,
        inputs: int = 3,
        hidden: int = 5,
        *,
        dtype: torch.dtype = torch.float64,
        lengths: list[int] | None = None,
        mask: bool = False,
        zoneout: float | str | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Case:
        random = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)

        layout = CELLS[variant.cell]
        shapes = parameter_shapes(
            variant.cell,
            inputs,
            hidden,
            bias=variant.bias,
            layer_norm=variant.layer_norm,
            kernel_size=variant.kernel_size,
        )
        state = [draw(rows, hidden) for _ in layout.states]
        state += [draw(rows, variant.kernel_size - 1, inputs)] if layout.window else []
        if mask and layout.recurrent:
            kept = torch.rand(rows, hidden, generator=random) < 0.7
            options["state_mask"] = kept.to(dtype) / 0.7
        if zoneout == "mask":
            zoneout = torch.rand(len(layout.states), rows, steps, hidden, generator=random) < 0.3  # type: ignore
        return Case(
            variant,
            draw(rows, steps, inputs),
            tuple(state),
            {name: draw(*shape) * 0.4 for name, shape in shapes.items()},
            None if lengths is None else torch.tensor(lengths, dtype=torch.int64),
            variant.options | {"zoneout": zoneout} | options,
        )

    return make


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def norm(x: Array, gain: Array, shift: Array) -> Array:
    return gain * (x - x.mean()) / np.sqrt(x.var() + 1e-5) + shift


class Row:
    """The step of a cell on one row, in the order of reading."""

    def __init__(self, variant: Variant, weights: dict[str, Array], mask: Array | None) -> None:
        self.variant, self.w = variant, weights
        self.gates: dict[str, Array] = {}
        self.hidden = len(weights["weight_ih"]) // len(CELLS[variant.cell].gates)
        self.mask = np.ones(self.hidden) if mask is None else mask

    def rows(self, name: str, gates: str) -> Array:
        order = CELLS[self.variant.cell].gates
        blocks = [self.w[name][order.index(g) * self.hidden : (order.index(g) + 1) * self.hidden] for g in gates]
        return np.concatenate(blocks)

    def of_input(self, window: Array) -> list[Array]:
        """window (k, I): the last k inputs, the current one at the end."""
        weight = self.w["weight_ih"]
        product = (
            sum(weight[:, :, j] @ window[j] for j in range(len(window))) if weight.ndim == 3 else weight @ window[-1]
        )
        if self.variant.layer_norm:
            product = norm(product, self.w["ln_ih_weight"], self.w["ln_ih_bias"])
        return np.split(product + self.w.get("bias_ih", 0.0), len(CELLS[self.variant.cell].gates))

    def of_state(self, seen: Array, gates: str) -> list[Array]:
        product = self.rows("weight_hh", gates) @ (seen * self.mask)
        if self.variant.layer_norm:
            product = norm(product, self.rows("ln_hh_weight", gates), self.rows("ln_hh_bias", gates))
        if self.variant.bias:
            product = product + self.rows("bias_hh", gates)
        return np.split(product, len(gates))

    def shown(self, c: Array) -> Array:
        return np.tanh(norm(c, self.w["ln_c_weight"], self.w["ln_c_bias"]) if self.variant.layer_norm else c)

    def read(self, s: Array) -> Array:
        if self.variant.cell == "normalised":
            return norm(s, self.w["norm_weight"], self.w["norm_bias"])
        return np.tanh(s) if self.variant.cell == "pseudo" else s

    def output(self, state: list[Array]) -> Array:
        return self.read(state[0]) if self.variant.cell in ("prototype", "normalised", "pseudo") else state[0]

    def step(self, window: Array, state: list[Array]) -> list[Array]:
        return getattr(self, self.variant.cell)(self.of_input(window), *state)

    def rnn(self, p: list[Array], h: Array) -> list[Array]:
        n = p[0] + self.of_state(h, "n")[0]
        n = np.maximum(n, 0) if self.variant.options.get("nonlinearity") == "relu" else np.tanh(n)
        self.gates = {"n": n}
        return [n]

    def gru(self, p: list[Array], h: Array) -> list[Array]:
        if self.variant.options.get("reset_after", True):
            q_r, q_z, q_n = self.of_state(h, "rzn")
            r, z = sigmoid(p[0] + q_r), sigmoid(p[1] + q_z)
            n = np.tanh(p[2] + r * q_n)
        else:
            q_r, q_z = self.of_state(h, "rz")
            r, z = sigmoid(p[0] + q_r), sigmoid(p[1] + q_z)
            n = np.tanh(p[2] + self.of_state(r * h, "n")[0])
        self.gates = {"r": r, "z": z, "n": n}
        return [n - z * n + z * h]

    def lstm(self, p: list[Array], h: Array, c: Array) -> list[Array]:
        i, f, g, o = (a + b for a, b in zip(p, self.of_state(h, "ifgo"), strict=True))
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        self.gates = {"i": i, "f": f, "g": g, "o": o}
        return [o * self.shown(f * c + i * g), f * c + i * g]

    def peephole(self, p: list[Array], h: Array, c: Array) -> list[Array]:
        w_i, w_f, w_o = np.split(self.w["weight_ch"], 3)
        i, f, g, o = (a + b for a, b in zip(p, self.of_state(h, "ifgo"), strict=True))
        i, f, g = sigmoid(i + w_i * c), sigmoid(f + w_f * c), np.tanh(g)
        new = f * c + i * g
        o = sigmoid(o + w_o * new)
        self.gates = {"i": i, "f": f, "g": g, "o": o}
        return [o * self.shown(new), new]

    def prototype(self, p: list[Array], s: Array) -> list[Array]:
        seen = self.read(s)
        q_i, q_o, q_f = (self.of_state(seen, "ifo")[k] for k in (0, 2, 1))
        i, f, o = sigmoid(p[0] + q_i), sigmoid(p[1] + q_f), sigmoid(p[3] + q_o)
        g = np.tanh(p[2] + self.of_state(o * seen, "g")[0])
        self.gates = {"i": i, "f": f, "g": g, "o": o}
        return [f * s + i * g]

    normalised = pseudo = prototype

    def mingru(self, p: list[Array], h: Array) -> list[Array]:
        z, candidate = sigmoid(p[0]), p[1] if self.variant.cell == "mingru" else np.tanh(p[1])
        self.gates = {"z": z, "h": candidate}
        return [h - z * h + z * candidate]

    qrnn = mingru


@dataclass
class ByHand:
    """(B, T, H) outputs, gates and states, and the final state."""

    output: Array
    final: list[Array]
    gates: dict[str, Array]
    states: list[Array]


@pytest.fixture
def by_hand() -> Callable[[Case], ByHand]:
    return compute_by_hand


def compute_by_hand(case: Case) -> ByHand:
    """The whole case, row by row."""
    layout = CELLS[case.variant.cell]
    x = case.x.detach().double().numpy()
    rows, steps, _ = x.shape
    hidden = case.state[0].shape[1]
    blank = [np.zeros((rows, steps, hidden)) for _ in range(1 + len(layout.gates) + len(layout.states))]
    hand = ByHand(blank[0], [], dict(zip(layout.gates, blank[1:], strict=False)), blank[1 + len(layout.gates) :])
    hand.final = [part.detach().double().numpy().copy() for part in case.state]
    for b in range(rows):
        _fill_row(case, hand, b, x[b], steps if case.lengths is None else int(case.lengths[b]))
    return hand


def _fill_row(case: Case, hand: ByHand, b: int, x: Array, length: int) -> None:
    weights = {name: weight.detach().double().numpy() for name, weight in case.weights.items()}
    mask = case.options.get("state_mask")
    row = Row(case.variant, weights, None if mask is None else mask[b].double().numpy())
    count, zoneout = len(hand.states), case.options.get("zoneout")
    state = [part[b] for part in hand.final[:count]]
    past = list(hand.final[count][b]) if len(hand.final) > count else []
    for t in reversed(range(length)) if case.options.get("reverse") else range(length):
        new = row.step(np.array([*past, x[t]]), state)
        for k in range(count):
            kept = zoneout[k, b, t].double().numpy() if isinstance(zoneout, torch.Tensor) else zoneout or 0.0
            new[k] = kept * state[k] + (1 - kept) * new[k]
        state, past = new, [*past, x[t]][1:] if past else past
        hand.output[b, t] = row.output(state)
        for name, value in row.gates.items():
            hand.gates[name][b, t] = value
        for k in range(count):
            hand.states[k][b, t] = state[k]
    for k, part in enumerate(state):
        hand.final[k][b] = part
    if past:
        hand.final[count][b] = past
