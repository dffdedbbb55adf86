"""The layers of `models/graph.py`, with the meaning they have in Keras 3.

A `Value` is (B, T, D), (B, D), or (B, T) ids, and the mask (B, T) of the steps that count, None when all do. Where a
layer knows no mask in Keras (convolutions, maxima, flattening) it reads the padding like any step, and what follows
sees no mask either.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from unspool.nn import RECURRENT

IDS = 0  # the width that stands for token ids


class Value(NamedTuple):
    """What a layer gives, and its mask."""

    x: Tensor
    mask: Tensor | None


class Shape(NamedTuple):
    """steps: fixed length, or None for any; -1 for an answer without steps, (B, width)."""

    steps: int | None
    width: int


FLAT = -1

_ACTIVATIONS: dict[str, Any] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: x.softmax(-1),
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
}


class Layer(nn.Module):
    """Made from its spec and the shapes of what it reads; `shape` is that of its answer.

    Raises ValueError when they do not fit.
    """

    shape: Shape

    @abstractmethod
    def forward(self, inputs: Sequence[Value]) -> Value:
        """The answer for a batch."""


class Embedding(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        shape = _one(shapes)
        if shape.width != IDS:
            raise ValueError("an embedding reads token ids")
        self.masks = spec.mask
        self.weight = nn.Parameter(torch.empty(spec.size, spec.width))
        self.shape = Shape(shape.steps, spec.width)

    def forward(self, inputs: Sequence[Value]) -> Value:
        ids = inputs[0].x
        return Value(functional.embedding(ids, self.weight), ids != 0 if self.masks else None)


class Recurrent(Layer):
    """One of our recurrent layers a direction.

    With a mask, the steps that count are moved to the front, in order, and the layer runs over those alone; the
    output at step t is then that of the last step up to t that counted, which is what Keras repeats, or 0.
    """

    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        shape = _steps(shapes)
        self.backward_first, self.sequence, self.zeros, self.merge = (
            spec.backward,
            spec.sequence,
            spec.zeros,
            spec.merge,
        )
        options: dict[str, Any] = {"reset_after": spec.reset_after} if spec.cell == "gru" else {}
        options |= {"nonlinearity": spec.nonlinearity} if spec.cell == "rnn" else {}
        names = ["first"] if spec.merge is None else ["first", "second"]
        for name in names:
            layer = RECURRENT[spec.cell](shape.width, spec.units, bias=spec.bias, batch_first=True, **options)
            self.add_module(name, layer)
        width = spec.units * (2 if spec.merge == "concat" else 1)
        self.shape = Shape(shape.steps if spec.sequence else FLAT, width)

    def forward(self, inputs: Sequence[Value]) -> Value:
        x, mask = inputs[0]
        y = self._run("first", x, mask, reverse=self.backward_first)
        if self.merge is not None:
            other = self._run("second", x, mask, reverse=not self.backward_first)
            y = _merge(y, other.flip(1) if self.sequence else other, self.merge)
        return Value(y, mask if self.sequence else None)

    def _run(self, name: str, x: Tensor, mask: Tensor | None, *, reverse: bool) -> Tensor:
        """(B, T, H) in the order in which the steps were read, or (B, H)."""
        if reverse:
            x, mask = x.flip(1), None if mask is None else mask.flip(1)
        layer = self.get_submodule(name)
        y: Tensor
        if mask is None:
            y = layer(x)[0]
        else:
            order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
            packed = x.gather(1, order[:, :, None].expand_as(x))
            y = _spread(layer(packed, lengths=mask.sum(1))[0], mask, zeros=self.zeros)
        return y if self.sequence else y[:, -1]


class Convolution(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        shape = _steps(shapes)
        self.stride, self.dilation = spec.stride, spec.dilation
        if spec.stride > 1 and spec.dilation > 1:
            raise ValueError("a convolution has a stride or a dilation, not both")
        self.span, self.padding = (spec.size - 1) * spec.dilation + 1, spec.padding
        self.activation = _ACTIVATIONS[spec.activation]
        self.weight = nn.Parameter(torch.empty(spec.filters, shape.width, spec.size))
        self.bias = nn.Parameter(torch.empty(spec.filters)) if spec.bias else None
        self.shape = Shape(_windows(shape.steps, self.span, spec.stride, spec.padding), spec.filters)

    def forward(self, inputs: Sequence[Value]) -> Value:
        x = inputs[0].x.transpose(1, 2)
        x = functional.pad(x, _zeros_around(x.shape[2], self.span, self.stride, self.padding))
        y = functional.conv1d(x, self.weight, self.bias, stride=self.stride, dilation=self.dilation)
        return Value(self.activation(y.transpose(1, 2)), None)


class Pooling(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        shape = _steps(shapes)
        self.how, self.size, self.stride, self.padding = spec.how, spec.size, spec.stride, spec.padding
        self.shape = Shape(_windows(shape.steps, spec.size, spec.stride, spec.padding), shape.width)

    def forward(self, inputs: Sequence[Value]) -> Value:
        x = inputs[0].x.transpose(1, 2)
        around = _zeros_around(x.shape[2], self.size, self.stride, self.padding)
        if self.how == "max":
            y = functional.max_pool1d(functional.pad(x, around, value=-math.inf), self.size, self.stride)
        else:  # the mean of the steps that are there
            inside = functional.pad(torch.ones_like(x[:1, :1]), around)
            y = functional.avg_pool1d(functional.pad(x, around), self.size, self.stride)
            y = y / functional.avg_pool1d(inside, self.size, self.stride)
        return Value(y.transpose(1, 2), None)


class GlobalPooling(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        self.how = spec.how
        self.shape = Shape(FLAT, _steps(shapes).width)

    def forward(self, inputs: Sequence[Value]) -> Value:
        x, mask = inputs[0]
        if self.how == "max":
            return Value(x.amax(1), None)
        if mask is None:
            return Value(x.mean(1), None)
        total = torch.where(mask[:, :, None], x, 0.0).sum(1)
        return Value(total / mask.sum(1, keepdim=True).clamp(min=1), None)  # Keras: 0 / 0 for a text of nothing


class Dense(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        shape = _features(shapes)
        self.activation = _ACTIVATIONS[spec.activation]
        self.linear = nn.Linear(shape.width, spec.units, bias=spec.bias)
        self.shape = Shape(shape.steps, spec.units)

    def forward(self, inputs: Sequence[Value]) -> Value:
        return Value(self.activation(self.linear(inputs[0].x)), inputs[0].mask)


class Norm(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        self.shape = _features(shapes)
        self.epsilon, width = spec.epsilon, self.shape.width
        self.weight = nn.Parameter(torch.empty(width)) if spec.gain else None
        self.bias = nn.Parameter(torch.empty(width)) if spec.shift else None

    def forward(self, inputs: Sequence[Value]) -> Value:
        x, mask = inputs[0]
        return Value(functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.epsilon), mask)


class Activation(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        self.shape = _features(shapes)
        self.activation = _ACTIVATIONS[spec.activation]

    def forward(self, inputs: Sequence[Value]) -> Value:
        return Value(self.activation(inputs[0].x), inputs[0].mask)


class Flatten(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:  # noqa: ARG002 - every layer is made alike
        super().__init__()
        shape = _features(shapes)
        if shape.steps is None:
            raise ValueError("flattening needs a fixed length")
        self.shape = Shape(FLAT, shape.width * (1 if shape.steps == FLAT else shape.steps))

    def forward(self, inputs: Sequence[Value]) -> Value:
        return Value(inputs[0].x.flatten(1), None)


class Concatenate(Layer):
    def __init__(self, spec: Any, shapes: Sequence[Shape]) -> None:
        super().__init__()
        if min(shape.width for shape in shapes) == IDS:
            raise ValueError("token ids cannot be concatenated")
        self.over_time = spec.over == "time"
        steps, widths = [shape.steps for shape in shapes], [shape.width for shape in shapes]
        if self.over_time:
            if len(set(widths)) > 1 or FLAT in steps:
                raise ValueError("what is concatenated over time needs steps of equal width")
            total = None if None in steps else sum(step for step in steps if step is not None)
            self.shape = Shape(total, widths[0])
        else:
            if len(set(steps)) > 1:
                raise ValueError("what is concatenated over features needs equally many steps")
            self.shape = Shape(steps[0], sum(widths))

    def forward(self, inputs: Sequence[Value]) -> Value:
        x = torch.cat([value.x for value in inputs], 1 if self.over_time else -1)
        if all(value.mask is None for value in inputs):
            return Value(x, None)
        masks = [
            torch.ones(value.x.shape[:2], dtype=torch.bool) if value.mask is None else value.mask for value in inputs
        ]
        return Value(x, torch.cat(masks, 1) if self.over_time else torch.stack(masks).any(0))


def _one(shapes: Sequence[Shape]) -> Shape:
    if len(shapes) != 1:
        raise ValueError(f"it reads one input, not {len(shapes)}")
    return shapes[0]


def _features(shapes: Sequence[Shape]) -> Shape:
    shape = _one(shapes)
    if shape.width == IDS:
        raise ValueError("it reads features, not token ids")
    return shape


def _steps(shapes: Sequence[Shape]) -> Shape:
    shape = _features(shapes)
    if shape.steps == FLAT:
        raise ValueError("it reads a sequence, (B, T, D)")
    return shape


def _windows(steps: int | None, span: int, stride: int, padding: str) -> int | None:
    """How many windows of `span` steps there are; None when the number of steps is open."""
    if steps is None:
        return None
    count = (steps - span) // stride + 1 if padding == "valid" else math.ceil(steps / stride)
    if count < 1:
        raise ValueError(f"{steps} steps are fewer than a window of {span}")
    return count


def _zeros_around(steps: int, span: int, stride: int, padding: str) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return span - 1, 0
    total = max((math.ceil(steps / stride) - 1) * stride + span - steps, 0)
    return total // 2, total - total // 2


def _spread(y: Tensor, mask: Tensor, *, zeros: bool) -> Tensor:
    """Outputs (B, T, H) of the steps that counted, moved back to where these stand; see `Recurrent`."""
    before = mask.cumsum(1) - 1  # the last step that counted, -1 before the first
    back = y.gather(1, before.clamp(min=0)[:, :, None].expand_as(y))
    shown = mask if zeros else before >= 0
    return torch.where(shown[:, :, None], back, 0.0)


def _merge(y: Tensor, other: Tensor, how: str) -> Tensor:
    if how == "concat":
        return torch.cat([y, other], -1)
    if how == "mul":
        return y * other
    return (y + other) / (2 if how == "ave" else 1)
