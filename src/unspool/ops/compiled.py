"""The compiled core behind `recurrent.run`: one native call forward, one backward, for float32 on the CPU.

The kernels know lengths, both directions, state gradients, state masks and zoneout; what they do not know
(`takes` says so) goes to torch's fused layers or to the definition. All arguments are checked once more in C++
(native/check.cpp), so nothing here can make the kernels read or write outside a tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from unspool import native
from unspool.ops.call import Call, State


@dataclass(frozen=True)
class _Options:
    """What the kernels are told besides tensors."""

    core: ModuleType
    cell: str
    reverse: bool
    keep_share: float
    real_steps: int

    @property
    def has_memory(self) -> bool:
        return self.cell in ("lstm", "peephole")


# x, lengths, w_ih, w_hh, b_ih, b_hh, extra, h, c, mask, keep: the order of native/bindings.cpp
_Inputs = tuple[Tensor | None, ...]
_X, _LENGTHS, _H, _C, _MASK, _KEEP = 0, 1, 7, 8, 9, 10
_DIFFERENTIABLE = (0, 2, 3, 4, 5, 6, 7, 8)


def takes(call: Call) -> bool:
    """Whether the compiled core is present and computes this call."""
    x, mask = call.x, call.state_mask
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and call.layout.recurrent
        and not call.layer_norm
        and not (mask is not None and mask.requires_grad)
        and type(x) in (Tensor, torch.nn.Parameter)
        and not torch.compiler.is_compiling()
        and native.core() is not None
    )


def run(call: Call) -> tuple[Tensor, State]:
    """(y, final state) of the call, as `unspool.ops.recurrent.run` describes them."""
    core = native.core()
    assert core is not None  # `takes` has seen it
    options = _Options(core, _kernel_name(call), call.reverse, _keep_share(call), _real_steps(call))
    inputs = tuple(None if part is None else part.contiguous() for part in _inputs(call))
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in inputs):
        y, *state = _Layer.apply(options, *inputs)
        return y, tuple(state)
    return _forward(options, inputs, None)


def _kernel_name(call: Call) -> str:
    if call.layout.name == "rnn":
        return f"rnn_{call.nonlinearity}"
    return "gru_reset_before" if call.layout.name == "gru" and not call.reset_after else call.layout.name


def _keep_share(call: Call) -> float:
    return call.zoneout if isinstance(call.zoneout, float | int) else 0.0


def _real_steps(call: Call) -> int:
    rows, steps, _ = call.x.shape
    return rows * steps if call.lengths is None else int(call.lengths.sum())


def _inputs(call: Call) -> _Inputs:
    weights = call.weights
    extra = weights.get("weight_ch")
    if call.layout.normalised:
        extra = torch.cat([weights["norm_weight"], weights["norm_bias"]])
    return (
        call.x,
        call.lengths,
        weights["weight_ih"],
        weights["weight_hh"],
        weights.get("bias_ih"),
        weights.get("bias_hh"),
        extra,
        call.state[0],
        call.state[1] if call.layout.has_memory else None,
        call.state_mask,
        call.zoneout if isinstance(call.zoneout, Tensor) else None,
    )


def _forward(options: _Options, inputs: _Inputs, saved: Tensor | None) -> tuple[Tensor, State]:
    x, h = inputs[_X], inputs[_H]
    assert x is not None and h is not None
    y = x.new_empty(x.shape[0], x.shape[1], h.shape[1])
    h, c = torch.empty_like(h), torch.empty_like(h) if options.has_memory else None
    options.core.recurrent_forward(*_arguments(options, inputs), y, saved, h, c)
    return y, (h,) if c is None else (h, c)


def _arguments(options: _Options, inputs: _Inputs) -> tuple[Any, ...]:
    return (options.cell, *inputs, options.keep_share, options.reverse, torch.get_num_threads())


def _room_to_save(options: _Options, inputs: _Inputs) -> Tensor:
    h = inputs[_H]
    assert h is not None
    rows, hidden = h.shape
    return h.new_empty(options.core.saved_floats(options.cell, rows, options.real_steps, hidden))


class _Layer(torch.autograd.Function):
    """(options, *inputs) -> y, final h, and final c where there is one."""

    @staticmethod
    def forward(ctx: Any, options: _Options, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        saved = _room_to_save(options, inputs)
        y, state = _forward(options, inputs, saved)
        ctx.save_for_backward(*inputs, y)
        ctx.options, ctx.saved = options, saved
        ctx.set_materialize_grads(False)
        return y, *state

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        options: _Options = ctx.options
        *inputs, y = ctx.saved_tensors
        saved, ctx.saved = ctx.saved, None
        if saved is None:  # a second backward through the same graph: the first has used the saved values up
            saved = _room_to_save(options, tuple(inputs))
            _forward(options, tuple(inputs), saved)
        given = [None if d is None else d.contiguous() for d in (*gradients, None)[:3]]
        wanted = _wanted(ctx, inputs)
        options.core.recurrent_backward(
            *_arguments(options, tuple(inputs)), y, saved, *given, *(wanted[k] for k in _DIFFERENTIABLE)
        )
        return None, *(wanted[k] if ctx.needs_input_grad[k + 1] else None for k in range(len(inputs)))


def _wanted(ctx: FunctionCtx, inputs: list[Tensor | None]) -> list[Tensor | None]:
    """Room for the gradient of each input that needs one; those of the states the kernels need themselves."""
    needed: tuple[bool, ...] = ctx.needs_input_grad[1:]  # type: ignore[attr-defined]
    return [
        torch.empty_like(part) if part is not None and (needed[k] or k in (_H, _C)) else None
        for k, part in enumerate(inputs)
    ]
