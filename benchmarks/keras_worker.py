"""Keras's layer, run once for each line on stdin; KERAS_BACKEND says on what. `benchmarks.others` starts it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def jax_run(layer: Any, x: Any, train: bool) -> Callable[[], Any]:
    """Compiled forward pass, or forward pass and all gradients."""
    import jax

    weights = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]

    def loss(x: Any, weights: Any) -> Any:
        return layer.stateless_call(weights, others, x)[0].sum()

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1)) if train else lambda x, w: layer.stateless_call(w, others, x)[0])
    return lambda: jax.block_until_ready(compiled(x, weights))


def tensorflow_run(layer: Any, x: Any, train: bool) -> Callable[[], Any]:
    """The same as TensorFlow's graph."""
    import tensorflow

    given = tensorflow.constant(x)

    @tensorflow.function
    def gradients(x: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            tape.watch(x)
            total = tensorflow.reduce_sum(layer(x))
        return tape.gradient(total, [x, *layer.trainable_variables])

    run = gradients if train else tensorflow.function(layer)
    return lambda: [answer.numpy() for answer in tensorflow.nest.flatten(run(given))]


def torch_run(layer: Any, x: Any, train: bool) -> Callable[[], Any]:
    """Keras's loop over torch's operations."""
    import torch

    given = torch.tensor(x, requires_grad=train)

    def run() -> None:
        with torch.set_grad_enabled(train):
            y = layer(given)
        if train:
            y.sum().backward()

    return run


def main() -> None:
    """Run at each line, answer `done`."""
    cell, (rows, steps, inputs, hidden), train = json.loads(sys.argv[1])
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[cell]
    layer = kind(hidden, return_sequences=True)
    layer.build((rows, steps, inputs))
    x = np.random.default_rng(0).standard_normal((rows, steps, inputs), dtype=np.float32)
    kinds = {"jax": jax_run, "tensorflow": tensorflow_run, "torch": torch_run}
    run = kinds[keras.backend.backend()](layer, x, train)
    for _ in sys.stdin:
        run()
        print("done", flush=True)


if __name__ == "__main__":
    main()
