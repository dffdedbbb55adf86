"""The cost of each kind of layer, as formulas in its sizes.

Counted is one text of T steps. A multiply-add is one product and one sum inside a matrix product or a convolution;
pointwise work (activations, gates, normalisations) is not counted. Memory is counted in float32 values: what must
live at once to compute the layer's answer, and what its backward pass needs again. Letters: T steps that enter, W
windows, P pools, I features that enter, H units, F filters, V token kinds, E width of a token vector, C labels.
"""

from __future__ import annotations

from dataclasses import dataclass

from unspool.inspection.complexity.formula import Formula
from unspool.ops.layouts import CellLayout

T, W, P, I, H, F, V, E, C = map(Formula.of, "TWPIHFVEC")  # noqa: E741 — the letters of the equations
ONE = Formula({"": 1})
ZERO = Formula({})

# Per unit and step, what the backward pass needs besides the gates: the product under the reset gate, the memory,
# the state as it was read.
_KEPT_BESIDE_GATES = {"rnn": 0, "gru": 1, "normalised": 2, "pseudo": 2, "mingru": 0, "qrnn": 0}


@dataclass(frozen=True)
class Layer:
    """One layer's cost.

    Attributes:
        name: what it is, for people.
        sizes: the value of every letter in the formulas.
        parameters: trained values.
        multiply_adds: products that need no earlier step of the same layer, for one text.
        recurrent: products that wait for the step before, for one text.
        pointwise: values computed one by one: gates, activations, weights of attention.
        live: float32 values that live at once in inference: what enters and what leaves.
        kept: float32 values kept from forward to backward in training.
        depth: how many computations must follow one another.
        field: steps of the layer's own input that one of its outputs sees; None: all of them.
        stride: steps of the input between two steps of the output; None where one vector leaves.
    """

    name: str
    sizes: dict[str, int]
    parameters: Formula
    multiply_adds: Formula = ZERO
    recurrent: Formula = ZERO
    pointwise: Formula = ZERO
    live: Formula = ZERO
    kept: Formula = ZERO
    depth: Formula = ONE
    field: int | None = 1
    stride: int | None = 1

    def value(self, formula: Formula) -> int:
        """The formula at this layer's sizes."""
        return formula(**self.sizes)

    @property
    def products(self) -> Formula:
        """All multiply-adds, recurrent or not."""
        return self.multiply_adds + self.recurrent


def embedding(kinds: int, width: int, steps: int, tables: int = 1) -> Layer:
    """A look-up; `tables` is 2 for a trained and a frozen one side by side, of which one counts as parameters."""
    return Layer(
        "embedding",
        {"V": kinds, "E": width, "T": steps},
        V * E,
        live=tables * T * E,
        kept=T,
    )


def recurrent(
    name: str,
    layout: CellLayout,
    width: int,
    hidden: int,
    steps: int,
    *,
    directions: int = 1,
    kernel_size: int = 1,
    layer_norm: bool = False,
) -> Layer:
    """One recurrent layer of any cell, in one or both directions."""
    gates = len(layout.gates)
    parameters = gates * kernel_size * H * I + gates * H
    waiting = ZERO
    if layout.recurrent:
        parameters += gates * H * H + gates * H
        waiting = directions * gates * T * H * H
    parameters += (3 * H if layout.peepholes else ZERO) + (2 * H if layout.normalised else ZERO)
    kept = gates + _KEPT_BESIDE_GATES.get(layout.name, 1)
    if layer_norm:
        normalised = gates * (2 if layout.recurrent else 1) + layout.has_memory
        parameters += 2 * normalised * H
        kept += normalised
    return Layer(
        name,
        {"T": steps, "I": width, "H": hidden},
        directions * parameters,
        directions * gates * kernel_size * T * H * I,
        waiting,
        pointwise=directions * (gates + 1) * T * H,
        live=T * I + directions * (gates + 1) * T * H,
        kept=T * I + directions * (kept + 1) * T * H,
        depth=T,
        field=None,
    )


def region(name: str, width: int, filters: int, size: int, steps: int, *, pooling: str, first: bool = True) -> Layer:
    """Windows of one region size and a pooling over them: one vector a text. `steps` counts the zeros around it.

    Regions side by side keep what enters them once: that is counted with the `first`.
    """
    windows = max(steps - size + 1, 1)
    summaries = 2 if pooling == "mean+variance" else 1
    return Layer(
        name,
        {"T": steps, "W": windows, "I": width, "F": filters},
        size * I * F + F,
        size * W * I * F,
        pointwise=W * F,
        live=T * I + W * F,
        kept=(T * I if first else ZERO) + (2 * F if pooling == "max" else (summaries * W + W + summaries) * F),
        depth=2 * ONE,
        field=size,
        stride=None,
    )


def pooled_windows(name: str, width: int, filters: int, size: int, pool: int, steps: int) -> Layer:
    """A convolution, then the greatest of each `pool` windows: a shorter sequence."""
    windows = max(steps - size + 1, 1)
    return Layer(
        name,
        {"T": steps, "W": windows, "P": -(-windows // pool), "I": width, "F": filters},
        size * I * F + F,
        size * W * I * F,
        pointwise=W * F,
        live=T * I + W * F,
        kept=T * I + W * F + 3 * P * F,
        depth=2 * ONE,
        field=size + pool - 1,
        stride=pool,
    )


def dilated_block(name: str, filters: int, size: int, dilation: int, steps: int) -> Layer:
    """Normalisation, dilated convolution, relu, projection, added to what entered."""
    return Layer(
        name,
        {"T": steps, "F": filters},
        (size + 1) * F * F + 4 * F,
        (size + 1) * T * F * F,
        pointwise=3 * T * F,
        live=3 * T * F,
        kept=4 * T * F,
        depth=3 * ONE,
        field=1 + (size - 1) * dilation,
    )


def attention(name: str, width: int, hidden: int, steps: int) -> Layer:
    """Self-attention (Vaswani et al. 2017): queries, keys and values, every step against every other, a projection."""
    return Layer(
        name,
        {"T": steps, "I": width, "H": hidden},
        3 * I * H + H * H + 4 * H,
        3 * T * I * H + T * H * H + 2 * T * T * H,
        pointwise=T * T,
        live=T * I + 4 * T * H,
        kept=T * I + 5 * T * H + T,
        depth=3 * ONE,
        field=None,
    )


def linear(name: str, width: int, units: int, steps: int) -> Layer:
    """The same product at every step."""
    return Layer(name, {"T": steps, "I": width, "F": units}, I * F + F, T * I * F, live=T * (I + F), kept=T * I)


def norm(name: str, width: int, steps: int) -> Layer:
    """Layer normalisation of every step."""
    return Layer(name, {"T": steps, "F": width}, 2 * F, pointwise=T * F, live=2 * T * F, kept=T * F + 2 * T)


def pooling(kind: str, width: int, steps: int) -> Layer:
    """From the steps to one vector."""
    learned = kind == "attention"
    return Layer(
        f"pooling ({kind})",
        {"T": steps, "I": width},
        I * I + 2 * I if learned else ZERO,
        T * I * I + 2 * T * I if learned else ZERO,
        pointwise=(2 if learned else 1) * T * I,
        live=(2 if learned else 1) * T * I + I,
        kept={"last": ZERO, "max": T * I + 2 * I, "mean": ZERO, "mean+variance": T * I}.get(kind, 2 * T * I + T),
        field=None,
        stride=None,
    )


def output(width: int, labels: int) -> Layer:
    """The linear layer whose values become the labels' probabilities."""
    return Layer("output", {"I": width, "C": labels}, C * I + C, C * I, live=I + C, kept=I)
