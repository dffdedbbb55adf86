"""The compiled core as operators of torch's own dispatcher: what `torch.compile` and `torch.export` see of it.

`unspool::recurrent` and `unspool::recurrent_backward` tell torch their schema, the shapes of their results and their
gradient, so that a compiled graph calls the kernels instead of the definition, unrolled step by step. Without a
compiler `compiled.py` calls the kernels directly: the dispatcher would cost tens of microseconds a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unspool import native

NAMES = (
    *("x", "lengths", "tokens", "w_ih", "w_hh", "b_ih", "b_hh", "extra", "h", "c", "mask", "keep"),
    *("norm", "norm_memory"),
)
"""The tensors of a call in the order of native/bindings.cpp; None for those it has not."""
DIFFERENTIABLE = ("x", "w_ih", "w_hh", "b_ih", "b_hh", "extra", "h", "c", "norm", "norm_memory")
_TENSORS = ", ".join(f"Tensor{'' if name in ('x', 'h') else '?'} {name}" for name in NAMES)
_OPTIONS = "str cell, float keep_share, bool reverse"


def _core() -> Any:
    core = native.core()  # asked again: a graph may be run by a process that has asked nothing
    assert core is not None, "this graph needs unspool's compiled core: unspool doctor says why it is not in use"
    return core


def once(given: Tensor | None) -> Tensor | None:
    """A gradient (B, T, H) as the kernels take it: what is the same in all rows, or at all steps, stands there once."""
    if given is None:
        return None
    for dim in (0, 1):
        if given.stride(dim) == 0 and given.shape[dim] > 0:
            given = given.narrow(dim, 0, 1)
    return given.contiguous()


def saved_floats(cell: str, rows: Any, real_steps: Any, hidden: int, norm: bool) -> Any:
    """The core's `saved_floats`, for sizes that may be symbols: it is linear in rows and in steps."""
    a_row = _core().saved_floats(cell, 1, 0, hidden, norm)
    a_step = _core().saved_floats(cell, 0, 1, hidden, norm)
    return rows * a_row + real_steps * a_step


def _shape(x: Tensor, tokens: Tensor | None) -> tuple[Any, Any]:
    rows, steps = (x if tokens is None else tokens).shape[:2]
    return rows, steps


def _room(cell: str, inputs: Sequence[Tensor | None]) -> Tensor:
    """`saved` for rows of full length: how much the true lengths need is not known while a graph is traced."""
    parts = dict(zip(NAMES, inputs, strict=True))
    x, h = parts["x"], parts["h"]
    assert x is not None and h is not None
    rows, steps = _shape(x, parts["tokens"])
    return h.new_empty(saved_floats(cell, rows, rows * steps, h.shape[1], parts["norm"] is not None))


def _used(cell: str, inputs: Sequence[Tensor | None], saved: Tensor) -> Tensor:
    """The part of `saved` that the kernels use: that of the true lengths."""
    parts = dict(zip(NAMES, inputs, strict=True))
    h, lengths = parts["h"], parts["lengths"]
    assert h is not None
    if lengths is None:
        return saved
    norm = parts["norm"] is not None
    return saved[: saved_floats(cell, h.shape[0], int(lengths.sum()), h.shape[1], norm)]


def _forward(
    cell: str, keep_share: float, reverse: bool, training: bool, *inputs: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    y, new_h, new_c, saved = _results(cell, keep_share, reverse, training, *inputs)
    parts = tuple(None if part is None else part.contiguous() for part in inputs)
    used = _used(cell, parts, saved) if training else None
    memory = new_c if new_c.dim() == 2 else None
    _core().recurrent_forward(cell, *parts, keep_share, reverse, torch.get_num_threads(), y, used, new_h, memory)
    return y, new_h, new_c, saved


def _results(
    cell: str, _share: float, _reverse: bool, training: bool, *inputs: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, final h, final c and saved, not computed; what a cell has not is an empty vector."""
    parts = dict(zip(NAMES, inputs, strict=True))
    x, h, c = parts["x"], parts["h"], parts["c"]
    assert x is not None and h is not None
    y = h.new_empty(*_shape(x, parts["tokens"]), h.shape[1])
    saved = _room(cell, inputs) if training else h.new_empty(0)
    return y, h.new_empty(h.shape), h.new_empty(0) if c is None else h.new_empty(c.shape), saved


def _backward(
    cell: str,
    keep_share: float,
    reverse: bool,
    y: Tensor,
    saved: Tensor,
    d_y: Tensor | None,
    d_h: Tensor | None,
    d_c: Tensor | None,
    *inputs: Tensor | None,
) -> list[Tensor]:
    parts = tuple(None if part is None else part.contiguous() for part in inputs)
    outer = (once(d_y), *(None if part is None else part.contiguous() for part in (d_h, d_c)))
    wanted = _gradients(*inputs)
    by_name = dict(zip([n for n in DIFFERENTIABLE if parts[NAMES.index(n)] is not None], wanted, strict=True))
    _core().recurrent_backward(
        *(cell, *parts, keep_share, reverse, torch.get_num_threads(), y, _used(cell, parts, saved), *outer),
        *(by_name.get(name) for name in DIFFERENTIABLE),
    )
    return wanted


def _gradients(*given: Any) -> list[Tensor]:
    """Room for the gradients of those that are present, in the order of DIFFERENTIABLE."""
    parts = dict(zip(NAMES, given[-len(NAMES) :], strict=True))
    return [part.new_empty(part.shape) for name in DIFFERENTIABLE if (part := parts[name]) is not None]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.options, training, tensors = inputs[:3], inputs[3], inputs[4:]
    ctx.training = training
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[3])
    ctx.save_for_backward(*tensors, output[0], output[3])


def _differentiate(ctx: Any, d_y: Tensor | None, d_h: Tensor | None, d_c: Tensor | None, _: Any) -> tuple[Any, ...]:
    *inputs, y, saved = ctx.saved_tensors
    if not ctx.training:
        raise RuntimeError("unspool::recurrent was called with training=False: it has kept nothing for a gradient")
    d_c = None if inputs[NAMES.index("c")] is None else d_c
    found = torch.ops.unspool.recurrent_backward(*ctx.options, y, saved, d_y, d_h, d_c, *inputs)
    by_name = dict(zip([n for n in DIFFERENTIABLE if inputs[NAMES.index(n)] is not None], found, strict=True))
    return (None, None, None, None, *(by_name.get(name) for name in NAMES))


def _refuse_twice(*_: Any) -> tuple[Any, ...]:
    raise RuntimeError(
        "unspool::recurrent has no gradient of gradients: call the layer without torch.compile, or in double"
    )


torch.library.define(
    "unspool::recurrent", f"({_OPTIONS}, bool training, {_TENSORS}) -> (Tensor, Tensor, Tensor, Tensor)"
)
torch.library.define(
    "unspool::recurrent_backward",
    f"({_OPTIONS}, Tensor y, Tensor saved, Tensor? d_y, Tensor? d_h, Tensor? d_c, {_TENSORS}) -> Tensor[]",
)
torch.library.impl("unspool::recurrent", "cpu", _forward)
torch.library.impl("unspool::recurrent_backward", "cpu", _backward)
torch.library.register_fake("unspool::recurrent", _results)
torch.library.register_fake("unspool::recurrent_backward", _gradients)
torch.library.register_autograd("unspool::recurrent", _differentiate, setup_context=_setup)
torch.library.register_autograd("unspool::recurrent_backward", _refuse_twice, setup_context=lambda **_: None)
