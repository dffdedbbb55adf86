"""One recurrent layer in one direction over a padded batch: the fastest way that computes the definition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.nn import functional

from unspool.ops import compiled, fused, reference
from unspool.ops.call import State, Weights, checked_call


def run(
    cell: str,
    x: Tensor,
    state: State,
    weights: Weights,
    lengths: Tensor | None = None,
    *,
    reverse: bool = False,
    state_mask: Tensor | None = None,
    zoneout: Tensor | float | None = None,
    nonlinearity: str = "tanh",
    reset_after: bool = True,
    tokens: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Run `cell` (a name of `layouts.CELLS`) over x (B, T, I) from `state`; returns (y (B, T, H), final state).

    tokens: (B, T) int64; then x is (N, I), and step t of row b reads x[tokens[b, t]]. The compiled core projects
    each of the N rows once, instead of every step.
    state: a tuple of (B, H), one for each of the layout's states; a cell with a window has one more, the k - 1
    inputs before the first step in the order of reading, (B, k - 1, I).
    weights: the parameters of `layouts.parameter_shapes`, by name; without biases, or with the gains and shifts
    of layer normalisation, as they are present.
    lengths: whole numbers (B,), default all T. y is exactly 0 past each length, whatever x holds there, and the
    final state is that after a row's last real step, or `state` itself for a length of 0.
    reverse: read each row from its own last real step to step 0; the final state is that after step 0.
    state_mask: (B, H), multiplies every read of the previous state that enters a recurrent product, at all steps
    alike (recurrent dropout of Gal & Ghahramani 2016, already scaled by 1 / (1 - p)).
    zoneout: in training a bool mask (states, B, T, H), True where a state keeps its value over step t; in
    evaluation the probability of that, which mixes old and new value (Krueger et al. 2017).
    nonlinearity: "tanh" or "relu", for "rnn". reset_after: for "gru", see `cells`.

    Raises TypeError or ValueError naming the argument that does not fit, before anything is computed.
    """
    call = checked_call(
        cell,
        x,
        state,
        weights,
        lengths,
        reverse=reverse,
        state_mask=state_mask,
        zoneout=zoneout,
        nonlinearity=nonlinearity,
        reset_after=reset_after,
        tokens=tokens,
    )
    if call.tokens is not None and not compiled.takes(call):  # perhaps it takes their vectors
        call = replace(call, x=functional.embedding(call.tokens, call.x), tokens=None)
    if compiled.takes(call):
        return compiled.run(call)
    return fused.run(call) if fused.takes(call) else reference.run(call)


def trace(
    cell: str, x: Tensor, state: State, weights: Weights, lengths: Tensor | None = None, **options: Any
) -> reference.Trace:
    """Gates and states at every step; takes what `run` takes but tokens, and computes the definition."""
    return reference.trace(checked_call(cell, x, state, weights, lengths, **options))
