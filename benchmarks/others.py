"""The other sides that are no torch layers: Keras in a process of its own, onnxruntime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks.timing import Run
from unspool import nn as ours


def keras_run(stack: ExitStack, backend: str, cell: str, shape: tuple[int, ...], train: bool) -> Run:
    """A run of Keras's layer: Keras has one backend a process, so it computes in another, at our word."""
    name = backend.removeprefix("keras-")
    for package in ("keras", name):
        if find_spec(package) is None:
            raise ImportError(f"{package} is not installed")
    worker = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.keras_worker", json.dumps([cell, list(shape), train])],
            env={**os.environ, "KERAS_BACKEND": name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    stack.callback(worker.terminate)
    assert worker.stdin is not None and worker.stdout is not None
    orders, answers = worker.stdin, worker.stdout

    def run() -> None:
        print("run", file=orders, flush=True)
        if answers.readline() != "done\n":
            raise RuntimeError(f"{backend} failed")

    return run


def onnx_run(layer: ours.LSTM, x: torch.Tensor) -> Run:
    """A run of onnxruntime over x (B, T, I) with the weights of our layer; refuses to measure other answers."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("onnxruntime is not installed") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    model = onnx_model(layer, x.shape[0])
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {"x": x.transpose(0, 1).contiguous().numpy()}
    answer = torch.from_numpy(session.run(None, given)[0]).transpose(0, 1)
    with torch.inference_mode():
        torch.testing.assert_close(answer, layer(x)[0], atol=1e-5, rtol=0)
    return lambda: session.run(None, given)


def onnx_model(layer: ours.LSTM, rows: int) -> Any:
    """Our LSTM as an ONNX graph from x (T, B, I) to y (T, B, D·H)."""
    from onnx import TensorProto, helper, numpy_helper

    directions, hidden = 1 + layer.bidirectional, layer.hidden_size
    nodes, constants, entering = [], [], "x"
    for k in range(layer.num_layers):
        parts = ["", "_reverse"][:directions]
        w, r = (
            torch.stack([_iofc(layer, f"{name}_l{k}{part}") for part in parts]) for name in ("weight_ih", "weight_hh")
        )
        biases = [[_iofc(layer, f"{name}_l{k}{part}") for name in ("bias_ih", "bias_hh")] for part in parts]
        b = torch.stack([torch.cat(pair) for pair in biases])
        for name, tensor in (("w", w), ("r", r), ("b", b)):
            constants.append(numpy_helper.from_array(tensor.numpy(), f"{name}{k}"))
        direction = "bidirectional" if layer.bidirectional else "forward"
        inputs = [entering, f"w{k}", f"r{k}", f"b{k}"]
        nodes.append(helper.make_node("LSTM", inputs, [f"raw{k}"], hidden_size=hidden, direction=direction))
        nodes.append(helper.make_node("Transpose", [f"raw{k}"], [f"turned{k}"], perm=[0, 2, 1, 3]))
        constants.append(numpy_helper.from_array(torch.tensor([0, rows, directions * hidden]).numpy(), f"shape{k}"))
        nodes.append(helper.make_node("Reshape", [f"turned{k}", f"shape{k}"], [f"y{k}"]))
        entering = f"y{k}"
    shapes = (("x", layer.input_size), (entering, directions * hidden))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["T", rows, width]) for name, width in shapes)
    graph = helper.make_graph(nodes, "lstm", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _iofc(layer: ours.LSTM, name: str) -> torch.Tensor:
    """A parameter with its gates in ONNX's order."""
    i, f, g, o = layer.get_parameter(name).detach().chunk(4)
    return torch.cat([i, o, f, g])
