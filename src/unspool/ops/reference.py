"""The definition of a recurrent layer: a plain loop over time around the steps of `cells.py`.

It computes on every device and dtype, autograd goes through it, and every faster way must give the same answers.
`trace` is the same loop with its gates and states kept, for inspection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from unspool.ops.call import Call, State
from unspool.ops.cells import Gates, make_cell, normalise
from unspool.ops.lengths import keep, reverse_rows, valid_steps


@dataclass(frozen=True)
class Trace:
    """What a layer in one direction did: everything (B, T, H), by name, and 0 past each length.

    output and final: what the layer returns. `gates`: each gate and candidate of the cell's layout. `states`:
    each state after its step, as it is carried on (for the prototype family the raw s).
    """

    output: Tensor
    final: State
    gates: dict[str, Tensor]
    states: dict[str, Tensor]


@dataclass
class _Record:
    """Gates and states of each step visited, in the order of time."""

    gates: dict[int, Gates] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)


def run(call: Call) -> tuple[Tensor, State]:
    """(y, final state) of the call, as `unspool.ops.recurrent.run` describes them."""
    return _loop(call, None)


def trace(call: Call) -> Trace:
    """Gates, states and output of every step of the call."""
    record = _Record()
    output, final = _loop(call, record)
    valid = None if call.lengths is None else valid_steps(call.lengths, output.shape[1])

    def over_time(steps: list[Tensor]) -> Tensor:
        stacked = torch.stack(steps, 1) if steps else torch.zeros_like(output)
        return stacked if valid is None else keep(stacked, valid)

    order = sorted(record.gates)
    gates = {name: over_time([record.gates[t][name] for t in order]) for name in call.layout.gates}
    states = {
        name: over_time([record.states[t][index] for t in order]) for index, name in enumerate(call.layout.states)
    }
    return Trace(output, final, gates, states)


def project(call: Call, x: Tensor, linear: Callable[[Tensor, Tensor], Tensor] = functional.linear) -> Tensor:
    """The input's part of all pre-activations, (B, T, G·H): every product that does not wait for a state."""
    weights = call.weights
    projected = _convolve(call, x, linear) if call.layout.window else linear(x, weights["weight_ih"])
    if "ln_ih_weight" in weights:
        projected = normalise(projected, weights["ln_ih_weight"], weights["ln_ih_bias"])
    return projected + weights["bias_ih"] if "bias_ih" in weights else projected


def final_window(call: Call, x: Tensor) -> Tensor:
    """The last k - 1 inputs (B, k - 1, I) in the order of reading, those before the first step included."""
    read = _with_window(call, x)
    size = call.kernel_size - 1
    lengths = torch.full(x.shape[:1], x.shape[1], device=x.device) if call.lengths is None else call.lengths
    steps = lengths[:, None] + torch.arange(size, device=x.device)
    return read[torch.arange(x.shape[0], device=x.device)[:, None], steps]


def _convolve(call: Call, x: Tensor, linear: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """p_t = Σ_j weight_ih[:, :, j] x_{t - k + 1 + j}, where "before" means before in the order of reading."""
    if x.shape[1] == 0:
        return linear(x, call.weights["weight_ih"][:, :, -1])
    windows = _with_window(call, x).unfold(1, call.kernel_size, 1)  # (B, T, I, k)
    projected = linear(windows.flatten(2), call.weights["weight_ih"].flatten(1))
    return reverse_rows(projected, call.lengths) if call.reverse else projected


def _with_window(call: Call, x: Tensor) -> Tensor:
    """(B, k - 1 + T, I): the inputs in the order of reading, after those that the state remembers."""
    return torch.cat([call.state[-1], reverse_rows(x, call.lengths) if call.reverse else x], 1)


def _loop(call: Call, record: _Record | None) -> tuple[Tensor, State]:
    steps = call.x.shape[1]
    valid = None if call.lengths is None else valid_steps(call.lengths, steps)
    x = call.x if valid is None else keep(call.x, valid)
    projected = project(call, x)
    inputs = projected.unbind(1)
    real = None if valid is None else valid.unsqueeze(2).unbind(1)
    cell, state = make_cell(call), call.state[: len(call.layout.states)]
    outputs: list[Tensor] = [projected] * steps
    for t in reversed(range(steps)) if call.reverse else range(steps):
        new, gates = cell.step(inputs[t], state)
        new = _zoned_out(call.zoneout, t, state, new)
        if real is not None:
            new = tuple(torch.where(real[t], after, before) for after, before in zip(new, state, strict=True))
        state = new
        outputs[t] = cell.output(state)
        if record is not None:
            record.gates[t], record.states[t] = gates, state
    output = torch.stack(outputs, 1) if outputs else projected[..., : call.hidden_size]
    output = output if valid is None else keep(output, valid)
    return output, (*state, final_window(call, x)) if call.layout.window else state


def _zoned_out(zoneout: Tensor | float | None, t: int, old: State, new: State) -> State:
    """Krueger et al. 2017: each state keeps its previous value where the mask says so, or its expectation."""
    if zoneout is None:
        return new
    if isinstance(zoneout, Tensor):
        masks = zoneout[:, :, t]
        return tuple(torch.where(masks[k], old[k], new[k]) for k in range(len(new)))
    return tuple(zoneout * before + (1 - zoneout) * after for before, after in zip(old, new, strict=True))
