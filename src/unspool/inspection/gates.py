"""What recurrent layers do with a text: gates and states at every step, and how far back an
answer can look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from unspool.inspection.reading import Reading, network_of
from unspool.models.encoders import CnnRecurrentEncoder, RecurrentEncoder
from unspool.nn.recurrent import Recurrent
from unspool.predictors import ClassifierPredictor

Floats = npt.NDArray[np.float64]

SHARES = ("i", "f", "o", "r", "z")
"""Gates that lie between 0 and 1."""
NEAR = 0.1
UNITS_AT_ONCE = 128


@dataclass(frozen=True)
class LayerTrace:
    """One layer in one direction over one text.

    Attributes:
        name: layer and direction, for people.
        gates: gate or candidate → (T, H).
        states: state → (T, H), as it is carried on.
    """

    name: str
    gates: dict[str, Floats]
    states: dict[str, Floats]


@dataclass(frozen=True)
class Reach:
    """How strongly the last output of a direction depends on each step's input.

    norms: (T,) Frobenius norm of the derivative of the last output (all units) with respect to the input of the step
    that is 0, 1, 2, … steps before the end of reading.
    """

    name: str
    norms: Floats

    def within(self, share: float) -> int:
        """How many steps, counted from the end of reading, hold that share of the sum of the norms."""
        total = np.cumsum(self.norms)
        return int(np.searchsorted(total, share * total[-1]) + 1) if total.size and total[-1] > 0 else 0

    def fades(self, share: float = 0.01) -> int | None:
        """Steps after which the norm stays below that share of its greatest; None when it does not."""
        above = np.flatnonzero(self.norms >= share * self.norms.max(initial=0.0))
        return None if not above.size or above[-1] + 1 == len(self.norms) else int(above[-1] + 1)


def recurrent_part(predictor: ClassifierPredictor) -> RecurrentEncoder | None:
    """The recurrent layers of the model, None when it has none."""
    encoder = network_of(predictor).encoder
    if isinstance(encoder, CnnRecurrentEncoder):
        return encoder.recurrent
    return encoder if isinstance(encoder, RecurrentEncoder) else None


def entering(predictor: ClassifierPredictor, reading: Reading) -> Reading:
    """What the recurrent layers read: the tokens, or what a convolution before them has made of them."""
    encoder = network_of(predictor).encoder
    if not isinstance(encoder, CnnRecurrentEncoder):
        return reading
    convolution = encoder.convolution
    with torch.no_grad():
        shorter, lengths = convolution(reading.vectors, reading.lengths)
    names = []
    for step in range(int(lengths[0])):
        first = step * convolution.pool_size
        last = min(first + convolution.pool_size + convolution.kernel_size - 1, len(reading.tokens))
        names.append(f"{reading.tokens[first]}…{reading.tokens[last - 1]}")
    return Reading(names, shorter[:, : len(names)], lengths)


def trace(predictor: ClassifierPredictor, reading: Reading) -> list[LayerTrace]:
    """Gates and states of every layer and direction of a classifier, in the order of the layer's state."""
    part = recurrent_part(predictor)
    return [] if part is None else traces_of(part.layer, reading)


def traces_of(layer: Recurrent, reading: Reading) -> list[LayerTrace]:
    """The same of recurrent layers that read `reading`."""
    with torch.no_grad():
        traces = layer.trace(reading.vectors, lengths=reading.lengths)
    return [
        LayerTrace(
            _name(layer, k),
            {name: value[0].double().numpy() for name, value in found.gates.items()},
            {name: value[0].double().numpy() for name, value in found.states.items()},
        )
        for k, found in enumerate(traces)
    ]


def selectivity(gate: Floats) -> Floats:
    """(H,) share of the steps at which each unit of a gate (T, H) is within 0.1 of 0 or of 1."""
    return np.asarray(((gate < NEAR) | (gate > 1 - NEAR)).mean(axis=0)) if len(gate) else np.zeros(gate.shape[1])


def most_selective(gate: Floats) -> npt.NDArray[np.intp]:
    """(H,) the units of a gate (T, H), the most selective first, and of equals the one that is further from 1/2."""
    further = np.abs(gate - 0.5).sum(axis=0)
    return np.lexsort((-further, -selectivity(gate)))


def reaches(predictor: ClassifierPredictor, reading: Reading) -> list[Reach]:
    """The reach of each direction of a classifier's last layer."""
    part = recurrent_part(predictor)
    return [] if part is None else reaches_of(part.layer, reading)


def reaches_of(layer: Recurrent, reading: Reading) -> list[Reach]:
    """The same of recurrent layers that read `reading`."""
    steps, found = len(reading.tokens), []
    for direction in range((2 if layer.bidirectional else 1) if steps else 0):
        squares = torch.zeros(steps, dtype=torch.float64)
        for start in range(0, layer.hidden_size, UNITS_AT_ONCE):
            units = range(start, min(start + UNITS_AT_ONCE, layer.hidden_size))
            x = reading.vectors.repeat(len(units), 1, 1).requires_grad_()  # one row a unit: one pass back for all
            output, _ = layer(x, lengths=reading.lengths.expand(len(units)))
            last = output[:, 0 if direction else steps - 1]
            rows = torch.arange(len(units))
            chosen = last[rows, direction * layer.hidden_size + start + rows].sum()
            (gradient,) = torch.autograd.grad(chosen, x)
            squares += gradient.double().square().sum((0, 2))
        norms = squares.sqrt().numpy()
        found.append(Reach(_name(layer, direction).split(", ")[-1], norms if direction else norms[::-1].copy()))
    return found


def _name(layer: Recurrent, place: int) -> str:
    if not layer.bidirectional:
        return f"layer {place + 1}, forwards" if layer.num_layers > 1 else "forwards"
    way = "backwards" if place % 2 else "forwards"
    return f"layer {place // 2 + 1}, {way}" if layer.num_layers > 1 else way
