"""The compiled core behind `recurrent.run`: one native call forward, one backward, for float32 on the CPU.

The kernels know lengths, both directions, state gradients, state masks and zoneout; what they do not know
(`takes` says so) goes to torch's fused layers or to the definition. All arguments are checked once more in C++
(native/check.cpp), so nothing here can make the kernels read or write outside a tensor. Gradients of gradients
are those of the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from unspool import native
from unspool.ops import reference
from unspool.ops.call import Call, State, Weights
from unspool.ops.layouts import CellLayout
from unspool.ops.lengths import keep, valid_steps
from unspool.ops.linear import linear
from unspool.ops.registered import DIFFERENTIABLE, NAMES, once
from unspool.ops.rooms import room

_WEIGHTS = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh", "weight_ch": "extra"}
_NORM = ("ln_hh_weight", "ln_hh_bias", "ln_ih_weight", "ln_ih_bias")
_Inputs = dict[str, Tensor | None]


@dataclass(frozen=True)
class _Options:
    """What the kernels are told besides tensors."""

    layout: CellLayout
    reverse: bool
    nonlinearity: str
    reset_after: bool
    keep_share: float
    real_steps: int

    @property
    def cell(self) -> str:
        """The kernels' name of the cell."""
        return kernel_name(self.layout, self.nonlinearity, self.reset_after)


def kernel_name(layout: CellLayout, nonlinearity: str, reset_after: bool) -> str:
    """The kernels' name of a cell with its settings."""
    if layout.name == "rnn":
        return f"rnn_{nonlinearity}"
    return "gru_reset_before" if layout.name == "gru" and not reset_after else layout.name


def takes(call: Call) -> bool:
    """Whether the compiled core is present and computes this call."""
    x, mask = call.x, call.state_mask
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and (not call.layer_norm or _normalises(call))
        and (call.tokens is None or call.layout.recurrent)
        and not (mask is not None and mask.requires_grad)
        and (torch.compiler.is_compiling() or type(x) in (Tensor, torch.nn.Parameter))
        and _present()
    )


def _present() -> bool:
    return native.core() is not None


# What torch.compiler.assume_constant_result does. It would import torch's whole compiler first, which takes as long
# as torch itself and makes a folder below /tmp, also for those who compile nothing.
_present._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _normalises(call: Call) -> bool:
    """Whether the kernels know layer normalisation for the cell: one recurrent product a step, over all its units."""
    return call.layout.name in ("rnn", "lstm", "peephole") or (call.layout.name == "gru" and call.reset_after)


def infers(layout: CellLayout, x: Tensor) -> bool:
    """Whether `infer` takes a cell and an input like x."""
    return (
        layout.recurrent
        and x.device.type == "cpu"
        and type(x) in (Tensor, torch.nn.Parameter)
        and not torch.compiler.is_compiling()
        and native.core() is not None
    )


def run(call: Call) -> tuple[Tensor, State]:
    """(y, final state) of the call, as `unspool.ops.recurrent.run` describes them."""
    options, inputs = _prepared(call)
    if torch.compiler.is_compiling():
        told = (options.cell, options.keep_share, options.reverse, _needs_gradient(inputs))
        y, *state, _ = torch.ops.unspool.recurrent(*told, *inputs.values())
        final = state if call.layout.has_memory else state[:1]
    elif _needs_gradient(inputs):
        y, *final = _Layer.apply(options, *inputs.values())  # type: ignore[no-untyped-call]
    else:
        y, final = _forward(options, inputs, None)
    return y, (*final, reference.final_window(call, call.x)) if call.layout.window else tuple(final)


def _prepared(call: Call) -> tuple[_Options, _Inputs]:
    """The call as the kernels are told of it."""
    rows, steps = call.shape
    options = _Options(
        call.layout,
        call.reverse,
        call.nonlinearity,
        call.reset_after,
        0.0 if call.zoneout is None or isinstance(call.zoneout, Tensor) else float(call.zoneout),
        rows * steps if call.lengths is None or torch.compiler.is_compiling() else int(call.lengths.sum()),
    )
    if call.layer_norm and call.tokens is not None:
        call = replace(call, x=functional.embedding(call.tokens, call.x), tokens=None)
    parts = _inputs(call) if call.layout.recurrent else _projected_inputs(call)
    return options, {name: None if part is None else part.contiguous() for name, part in parts.items()}


def _needs_gradient(inputs: _Inputs) -> bool:
    return torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in inputs.values())


def infer(
    layout: CellLayout,
    x: Tensor,
    state: Sequence[Tensor],
    parts: Sequence[Weights],
    lengths: Tensor | None = None,
    *,
    directions: int = 1,
    keep_share: float = 0.0,
    nonlinearity: str = "tanh",
    reset_after: bool = True,
) -> tuple[Tensor, State]:
    """Stacked layers without gradients: (y (B, T, D·H), new state), D = `directions`.

    x (B, T, I); `state`: each tensor (layers · D, B, H); `parts`: the weights of each layer and direction, by name;
    lengths (B,) int64. For float32 on the CPU. One native call and nothing else: on few rows, checking the call as
    `recurrent.run` does would take longer than the products. The native entry still checks everything that it reads.
    """
    before = [tensor.contiguous() for tensor in state]
    after = [torch.empty_like(tensor) for tensor in before]
    y = room(x.shape[0], x.shape[1], directions * before[0].shape[2])
    native.present().recurrent_layers(
        kernel_name(layout, nonlinearity, reset_after),
        x.contiguous(),
        None if lengths is None else lengths.contiguous(),
        [native_weights(layout, weights) for weights in parts],
        directions == 2,
        before[0],
        before[1] if layout.has_memory else None,
        keep_share,
        torch.get_num_threads(),
        y,
        after[0],
        after[1] if layout.has_memory else None,
    )
    return y, tuple(after)


def native_weights(
    layout: CellLayout, weights: Weights
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """A layer's weights as the kernels are told of them: w_ih, w_hh, b_ih, b_hh, extra."""
    own = {name: weight.contiguous() for name, weight in weights.items()}
    extra = own.get("weight_ch")
    if layout.normalised:
        extra = torch.cat([own["norm_weight"], own["norm_bias"]])
    return own["weight_ih"], own["weight_hh"], own.get("bias_ih"), own.get("bias_hh"), extra


def _inputs(call: Call) -> _Inputs:
    parts: _Inputs = {name: call.weights.get(weight) for weight, name in _WEIGHTS.items()}
    if call.layout.normalised:
        parts["extra"] = torch.cat([call.weights["norm_weight"], call.weights["norm_bias"]])
    parts["x"] = call.x
    if call.layer_norm:
        parts |= _normalisation(call.weights) | {"b_ih": None, "b_hh": None}
    elif call.tokens is not None:  # each distinct token is projected once
        parts |= {"x": linear(call.x, call.weights["weight_ih"]), "w_ih": None}
    parts |= {"lengths": call.lengths, "tokens": call.tokens, "mask": call.state_mask, "h": call.state[0]}
    parts["c"] = call.state[1] if call.layout.has_memory else None
    parts["keep"] = call.zoneout if isinstance(call.zoneout, Tensor) else None
    return {name: parts.get(name) for name in NAMES}


def _normalisation(weights: Weights) -> _Inputs:
    """Gains and shifts of the two products, the biases with the shifts, and those of the memory."""
    shifts = {name: weights[name] for name in _NORM}
    for name in ("hh", "ih"):
        if (bias := weights.get(f"bias_{name}")) is not None:
            shifts[f"ln_{name}_bias"] = shifts[f"ln_{name}_bias"] + bias
    parts: _Inputs = {"norm": torch.cat(list(shifts.values()))}
    if "ln_c_weight" in weights:
        parts["norm_memory"] = torch.cat([weights["ln_c_weight"], weights["ln_c_bias"]])
    return parts


def _projected_inputs(call: Call) -> _Inputs:
    """For a cell without a recurrent product: all products are done before the kernel, by torch."""
    parts: _Inputs = dict.fromkeys(NAMES)
    zoneout = call.zoneout if isinstance(call.zoneout, Tensor) else None
    x = call.x if call.lengths is None else keep(call.x, valid_steps(call.lengths, call.x.shape[1]))
    parts |= {"x": reference.project(call, x, linear), "lengths": call.lengths}
    return parts | {"h": call.state[0], "keep": zoneout}


def _call(options: _Options, inputs: _Inputs) -> Call:
    """The call again; the opposite of `_inputs`."""
    weights = {weight: part for weight, name in _WEIGHTS.items() if (part := inputs[name]) is not None}
    if options.layout.normalised:
        weights["norm_weight"], weights["norm_bias"] = weights.pop("weight_ch").chunk(2)
    x, h, c = inputs["x"], inputs["h"], inputs["c"]
    assert x is not None and h is not None
    state: State = (h,) if c is None else (h, c)
    if inputs["tokens"] is not None:
        x = functional.embedding(inputs["tokens"], x)
    if inputs["w_ih"] is None:  # x is projected: the identity leaves it as it is
        identity = torch.eye(x.shape[2])
        weights["weight_ih"] = identity[..., None] if options.layout.window else identity
        state += (x.new_empty(x.shape[0], 0, x.shape[2]),) if options.layout.window else ()
    if (norm := inputs["norm"]) is not None:
        for name, part in zip(_NORM, norm.chunk(4), strict=True):
            weights[name] = part
    if (norm := inputs["norm_memory"]) is not None:
        weights["ln_c_weight"], weights["ln_c_bias"] = norm.chunk(2)
    return Call(
        options.layout,
        x,
        state,
        weights,
        inputs["lengths"],
        options.reverse,
        inputs["mask"],
        inputs["keep"] if inputs["keep"] is not None else options.keep_share or None,
        options.nonlinearity,
        options.reset_after,
    )


def _forward(options: _Options, inputs: _Inputs, saved: Tensor | None) -> tuple[Tensor, State]:
    h, shaped = inputs["h"], inputs["x"] if inputs["tokens"] is None else inputs["tokens"]
    assert h is not None and shaped is not None
    y = room(*shaped.shape[:2], h.shape[1])
    h, c = torch.empty_like(h), torch.empty_like(h) if options.layout.has_memory else None
    native.present().recurrent_forward(*_arguments(options, inputs), y, saved, h, c)
    return y, (h,) if c is None else (h, c)


def _arguments(options: _Options, inputs: _Inputs) -> tuple[Any, ...]:
    return (options.cell, *inputs.values(), options.keep_share, options.reverse, torch.get_num_threads())


def _room_to_save(options: _Options, inputs: _Inputs) -> Tensor:
    h = inputs["h"]
    assert h is not None
    norm = inputs["norm"] is not None
    size: int = native.present().saved_floats(options.cell, h.shape[0], options.real_steps, h.shape[1], norm)
    return room(size)


class _Layer(torch.autograd.Function):
    """(options, *inputs) -> y, final h, and final c where there is one."""

    @staticmethod
    def forward(ctx: Any, options: _Options, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        inputs = dict(zip(NAMES, tensors, strict=True))
        saved = _room_to_save(options, inputs)
        y, state = _forward(options, inputs, saved)
        ctx.save_for_backward(*tensors, y, saved)
        ctx.options = options
        ctx.set_materialize_grads(False)
        return y, *state

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, y, saved = ctx.saved_tensors
        inputs = dict(zip(NAMES, tensors, strict=True))
        needed = {name for name, need in zip(NAMES, ctx.needs_input_grad[1:], strict=True) if need}
        if torch.is_grad_enabled():  # create_graph=True
            wanted = _backward_of_definition(ctx.options, inputs, given, needed)
        else:
            wanted = _backward(ctx.options, inputs, given, needed, y, saved)
        return None, *(wanted[name] if name in needed else None for name in NAMES)


def _backward(
    options: _Options,
    inputs: _Inputs,
    given: Sequence[Tensor | None],
    needed: set[str],
    y: Tensor,
    saved: Tensor,
) -> _Inputs:
    wanted = {  # the gradients of the states the kernels need for themselves
        name: room(*part.shape) if part is not None and name in needed | {"h", "c"} else None
        for name, part in inputs.items()
    }
    d_y, d_h, d_c = (*given, None)[:3]
    outer = (once(d_y), *(None if part is None else part.contiguous() for part in (d_h, d_c)))
    native.present().recurrent_backward(
        *_arguments(options, inputs), y, saved, *outer, *(wanted[name] for name in DIFFERENTIABLE)
    )
    return wanted


def _backward_of_definition(
    options: _Options, inputs: _Inputs, given: Sequence[Tensor | None], needed: set[str]
) -> _Inputs:
    """The same gradients as functions of `inputs` and `given`, for a gradient of theirs."""
    own = {name: part.view_as(part) if part is not None and name in needed else part for name, part in inputs.items()}
    y, state = reference.run(_call(options, own))
    state = state[: len(options.layout.states)]
    pairs = [(out, outer) for out, outer in zip((y, *state), given, strict=True) if outer is not None]
    names = sorted(needed)
    gradients = torch.autograd.grad(
        [out for out, _ in pairs],
        [part for name in names if (part := own[name]) is not None],
        [outer for _, outer in pairs],
        create_graph=True,
        allow_unused=True,
    )
    return dict(zip(names, gradients, strict=True))
