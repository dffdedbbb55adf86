"""What `benchmarks.layers` measures: each case makes the two sides of one comparison."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from benchmarks import others
from benchmarks.timing import Run
from unspool import nn as ours

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
OF_TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True)
class Case:
    """A name, floating-point operations of ours in 10^9, the other side's name, and what makes both runs."""

    name: str
    gflop: float
    against: str
    runs: Callable[[ExitStack], dict[str, Run]]


def layer_case(
    cell: str, shape: tuple[int, int, int, int], *, train: bool = True, against: str = "torch padded", **options: Any
) -> Case:
    """One layer on one shape: B rows, T steps, I inputs, H units; `options` go to our constructor."""
    rows, steps, inputs, hidden = shape
    gflop = rows * steps * 2 * GATES.get(cell, 4) * hidden * (inputs + hidden) * (3 if train else 1) / 1e9

    def runs(stack: ExitStack) -> dict[str, Run]:
        x = torch.randn(rows, steps, inputs, requires_grad=train)
        mine = runner(ours.RECURRENT[cell](inputs, hidden, batch_first=True, **options), x, train)
        if against.startswith("keras"):
            return {"ours": mine, "other": others.keras_run(stack, against, cell, shape, train)}
        theirs = (ours.LSTM if against == "our lstm" else OF_TORCH[cell])(inputs, hidden, batch_first=True)
        return {"ours": mine, "other": runner(theirs, x, train, packed=against == "torch packed")}

    extra = "".join(f" {key}={value}" for key, value in options.items())
    name = f"{cell}{extra} {'train' if train else 'infer'} B{rows} T{steps} I{inputs} H{hidden}"
    return Case(name, gflop, against, runs)


def runner(layer: nn.Module, x: torch.Tensor, train: bool, *, packed: bool = False) -> Run:
    """A call that runs the layer once; packed: over x as a PackedSequence of rows that are all of full length."""
    lengths = torch.full((len(x),), x.shape[1])

    def infer() -> None:
        with torch.inference_mode():
            layer(given())

    def given() -> torch.Tensor | PackedSequence:
        return pack_padded_sequence(x, lengths, batch_first=True) if packed else x

    def step() -> None:
        for parameter in layer.parameters():
            parameter.grad = None
        x.grad = None
        answer = layer(given())
        y = answer[0] if isinstance(answer, tuple) else answer
        y = y.data if packed else y
        y.backward(torch.ones(()).expand_as(y))

    return step if train else infer


class TorchTextConv(nn.Module):
    """Kim's network as torch has it: a convolution a region size, relu, max or mean over time."""

    def __init__(self, width: int, filters: int, pooling: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(width, filters, size) for size in (3, 4, 5))
        self.pool = {"max": torch.amax, "mean": torch.mean}[pooling]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turned = x.transpose(1, 2)
        return torch.cat([self.pool(layer(turned).relu(), 2) for layer in self.layers], 1)


def text_conv_case(train: bool, pooling: str = "max") -> Case:
    """TextCNN 3, 4, 5 x 100 on B 64, T 235, E 100; the backward pass of the maximum visits winners only and is not
    counted."""
    rows, steps, width, filters = 64, 235, 100, 100
    gflop = 2 * rows * width * filters * sum(k * (steps - k + 1) for k in (3, 4, 5)) / 1e9
    gflop *= 3 if train and pooling == "mean" else 1

    def runs(_: ExitStack) -> dict[str, Run]:
        x = torch.randn(rows, steps, width, requires_grad=train)
        pair = {
            "ours": ours.TextConv(width, filters, pooling=pooling),
            "other": TorchTextConv(width, filters, pooling),
        }
        return {side: runner(layer, x, train) for side, layer in pair.items()}

    kind = f"{pooling} " * (pooling != "max") + ("train" if train else "infer")
    return Case(f"text-conv {kind} B{rows} T{steps} E{width} F3x{filters}", gflop, "torch", runs)


class TorchStackedConv(nn.Sequential):
    """The lecture's conv(128, 5) + pool(5) three times, the last over all that is left."""

    def __init__(self, width: int, filters: int) -> None:
        stages = [
            part
            for entering in (width, filters)
            for part in (nn.Conv1d(entering, filters, 5), nn.ReLU(), nn.MaxPool1d(5, ceil_mode=True))
        ]
        super().__init__(*stages, nn.Conv1d(filters, filters, 5), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = super().forward(x.transpose(1, 2))
        return y.amax(2)


def stacked_conv_case(train: bool) -> Case:
    """The stacked network on B 64, T 1000, E 100; the last stage's backward pass is not counted."""
    rows, steps, width, filters = 64, 1000, 100, 128
    first, second, last = 996, 196, 36  # windows
    full = width * first + filters * second
    gflop = 2 * rows * 5 * filters * (full * (3 if train else 1) + filters * last) / 1e9

    def runs(_: ExitStack) -> dict[str, Run]:
        x = torch.randn(rows, steps, width, requires_grad=train)
        pair = {"ours": ours.StackedConv(width, filters), "other": TorchStackedConv(width, filters)}
        return {side: runner(layer, x, train) for side, layer in pair.items()}

    kind = "train" if train else "infer"
    return Case(f"text-conv stacked {kind} B{rows} T{steps} E{width} F{filters}", gflop, "torch", runs)


def bidirectional_case(against: str) -> Case:
    """LSTM 2 x 256 in both directions, one row of 40 steps."""
    steps, hidden = 40, 256
    gflop = steps * 2 * 2 * 4 * hidden * (hidden + hidden + 2 * hidden + hidden) / 1e9

    def runs(_: ExitStack) -> dict[str, Run]:
        x = torch.randn(1, steps, hidden)
        mine = ours.LSTM(hidden, hidden, 2, batch_first=True, bidirectional=True)
        if against == "onnxruntime":
            return {"ours": runner(mine, x, False), "other": others.onnx_run(mine, x)}
        theirs = nn.LSTM(hidden, hidden, 2, batch_first=True, bidirectional=True)
        return {"ours": runner(mine, x, False), "other": runner(theirs, x, False)}

    return Case(f"bidirectional lstm 2x{hidden} infer B1 T{steps}", gflop, against, runs)


def streaming_case(against: str, *, packed: bool = False) -> Case:
    """One step of an LSTM 2 x 256 on one row; packed: by `layer.stepper()`, with the weights of one moment, as
    onnxruntime has them, too."""
    hidden = 256
    gflop = 2 * 2 * 4 * hidden * (hidden + hidden) / 1e9

    def runs(_: ExitStack) -> dict[str, Run]:
        x, state = torch.randn(1, hidden), (torch.zeros(2, 1, hidden), torch.zeros(2, 1, hidden))
        mine = ours.LSTM(hidden, hidden, 2, batch_first=True)
        theirs = nn.LSTM(hidden, hidden, 2, batch_first=True)

        stepper = mine.stepper() if packed else None
        arrays = x.numpy(), tuple(part.numpy() for part in state)

        def our_step() -> None:
            with torch.inference_mode():
                mine.step(x, state) if stepper is None else stepper(*arrays)

        def their_step() -> None:
            with torch.inference_mode():
                theirs(x[:, None], state)

        other = others.onnx_run(mine, x[:, None]) if against == "onnxruntime" else their_step
        return {"ours": our_step, "other": other}

    return Case(f"one step lstm 2x{hidden} B1{' packed' * packed}", gflop, against, runs)


SHAPES = ((64, 500, 50, 100), (64, 200, 128, 128), (32, 100, 256, 256), (64, 64, 512, 512))
CASES = (
    *(layer_case(cell, shape) for shape in SHAPES for cell in ("lstm", "gru", "rnn")),
    *(layer_case(cell, SHAPES[0], against="torch packed") for cell in ("lstm", "gru", "rnn")),
    *(layer_case(cell, SHAPES[0], train=False) for cell in ("lstm", "gru", "rnn")),
    *(layer_case("lstm", SHAPES[0], against=backend) for backend in ("keras-jax", "keras-tensorflow", "keras-torch")),
    layer_case("lstm", SHAPES[0], against="keras-jax", train=False),
    *(layer_case(cell, SHAPES[1], against="our lstm") for cell in ("peephole", "prototype", "pseudo", "normalised")),
    layer_case("lstm", SHAPES[1], against="our lstm", recurrent_dropout=0.2, zoneout=0.1),
    layer_case("lstm", SHAPES[1], against="our lstm", layer_norm=True),
    text_conv_case(train=True),
    text_conv_case(train=False),
    text_conv_case(train=True, pooling="mean"),
    text_conv_case(train=False, pooling="mean"),
    stacked_conv_case(train=True),
    stacked_conv_case(train=False),
    bidirectional_case("torch"),
    bidirectional_case("onnxruntime"),
    streaming_case("torch"),
    streaming_case("onnxruntime"),
    streaming_case("torch", packed=True),
    streaming_case("onnxruntime", packed=True),
)
