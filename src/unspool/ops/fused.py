"""torch's own fused layers, where they compute exactly what the definition does.

torch is slow on ragged batches that are packed: on two CPU cores a packed LSTM takes 5 to 7 times as long as a
padded one (B 64, T 200, I 100, H 128, forward and backward). So the batch stays padded here: rows read backwards
are turned around, h is picked at each row's last step, and past the length an LSTM's memory is held still by its
own gates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unspool.ops.call import Call, State
from unspool.ops.lengths import keep, last_steps, reverse_rows, valid_steps


def takes(call: Call) -> bool:
    """Whether torch has a fused layer that is equal to the definition for this call."""
    return (
        call.layout.name in ("rnn", "gru", "lstm")
        and call.state_mask is None
        and call.zoneout is None
        and not call.layer_norm
        and call.reset_after
        and call.x.numel() > 0
    )


def run(call: Call) -> tuple[Tensor, State]:
    """(y, final state) of the call, as `unspool.ops.recurrent.run` describes them."""
    x, valid, lengths = call.x, None, call.lengths
    if lengths is not None:
        valid = valid_steps(lengths, x.shape[1])
        x = keep(x, valid)
    if call.reverse:
        x = reverse_rows(x, lengths)
    y, state = _layer(call, x, valid)
    if lengths is not None and valid is not None:
        y, state = keep(y, valid), (last_steps(y, lengths, call.state[0]), *state[1:])
    return reverse_rows(y, lengths) if call.reverse else y, state


def _layer(call: Call, x: Tensor, valid: Tensor | None) -> tuple[Tensor, State]:
    weights = [call.weights["weight_ih"], call.weights["weight_hh"]]
    biases = [call.weights[name] for name in ("bias_ih", "bias_hh") if name in call.weights]
    # torch saves what backward needs only when told that this is training; without dropout it changes nothing else
    options = (bool(biases), 1, 0.0, torch.is_grad_enabled(), False, True)
    if call.layout.name == "lstm":
        if valid is not None:
            x, weights[0] = _hold_memory(x, weights[0], valid)
        y, h, c = torch.lstm(x, [part[None] for part in call.state], weights + biases, *options)
        return y, (h[0], c[0])
    layer = torch.gru if call.layout.name == "gru" else _SIMPLE[call.nonlinearity]
    y, h = layer(x, call.state[0][None], weights + biases, *options)
    return y, (h[0],)


_SIMPLE = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


def _hold_memory(x: Tensor, weight: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """One more input, 1 at padding and 0 elsewhere, that opens f and shuts i and o: c stays what it is, to the
    last bit, since σ of ± the weight is 1 and 0; so the c after the last step is that of the last real step."""
    shut = torch.finfo(x.dtype).max ** 0.5
    hidden = weight.shape[0] // 4
    column = weight.new_tensor([-shut, shut, 0.0, -shut]).repeat_interleave(hidden)[:, None]
    return torch.cat([x, (~valid)[..., None].to(x.dtype)], 2), torch.cat([weight, column], 1)
