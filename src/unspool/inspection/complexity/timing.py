"""From counts to predicted seconds, and the measurement beside them.

A layer's time is taken for a sum of parts, each in proportion to something counted (`counts` lists them). What one
unit of each costs on this machine, for this model, is found by timing it at a few small shapes (non-negative least
squares on the relative error), and then holds for every shape. Timed is the encoder, from token vectors to the vector
of the text: embedding and output cost the same whatever lies between them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from unspool.config import CNNS, Settings
from unspool.inspection.complexity.networks import ATTENTION, Network, attention_network, network
from unspool.models.encoders import VectorEncoder, make_encoder
from unspool.nn import MaxPool

Floats = npt.NDArray[np.float64]

LEAST_SECONDS, LEAST_RUNS, PASSES = 0.06, 3, 3
LONG = 0.5  # seconds: what takes as long is run once, as what passes on the machine evens out in it
MOST_SECONDS, MOST_BYTES = 5.0, 2**30  # of a batch that is timed
MOST_PRODUCTS, LEAST_SHAPES = 10**10, 4  # of a batch in the calibration; and how many are timed at least
ROUNDS = 20
KINDS, LABELS = 10_000, 2  # of the networks that are only timed: neither lies inside the encoder


@dataclass(frozen=True)
class Shape:
    """What is fed: `batch` texts of `length` tokens; widths of the token vectors and of the layers."""

    batch: int
    length: int
    embedding: int
    width: int


CALIBRATION = (
    Shape(1, 300, 100, 128),
    Shape(1, 60, 50, 64),
    Shape(4, 24, 32, 32),
    Shape(8, 200, 64, 48),
    Shape(8, 100, 200, 240),
    Shape(16, 60, 300, 100),
    Shape(16, 120, 100, 256),
    Shape(32, 150, 100, 128),
    Shape(32, 16, 64, 64),
    Shape(64, 60, 50, 100),
    Shape(64, 200, 200, 64),
)


@dataclass(frozen=True)
class Seconds:
    """Of one batch: the forward pass alone, and forward with backward."""

    inference: float
    training: float


@dataclass(frozen=True)
class Machine:
    """What one unit of each counted thing costs a model on this machine, in seconds."""

    inference: Floats
    training: Floats

    def predict(self, counted: Network, batch: int) -> Seconds:
        """The time of a batch of `batch` texts."""
        sizes = counts(counted, batch)
        return Seconds(float(sizes @ self.inference), float(sizes @ self.training))


def calibrate(settings: Settings, *, attention: bool = False) -> Machine:
    """Time the model at small shapes; the other settings are kept."""
    shapes = _affordable(settings, attention)
    networks = [build(settings, shape, attention=attention) for shape in shapes]
    sizes = np.stack([counts(counted, shape.batch) for shape, (counted, _) in zip(shapes, networks, strict=True)])
    times = measure_all([(encoder, shape) for shape, (_, encoder) in zip(shapes, networks, strict=True)])
    inference = np.array([seconds.inference for seconds in times])
    training = np.array([seconds.training for seconds in times])
    return Machine(_fit(sizes, inference), _fit(sizes, training))


def counts(counted: Network, batch: int) -> Floats:
    """What the time is made of, in this order: a fixed part; products that can be done at once; recurrent products
    of the busiest thread, as a text's steps stay on one; recurrent weights read again at every step; values computed
    one by one; values kept for the backward pass; steps one after another."""
    layers = counted.encoder
    recurrent = sum(layer.value(layer.recurrent) for layer in layers)
    return np.array(
        [
            1,
            batch * sum(layer.value(layer.multiply_adds) for layer in layers),
            math.ceil(batch / torch.get_num_threads()) * recurrent,
            recurrent,
            batch * sum(layer.value(layer.pointwise) for layer in layers),
            batch * sum(layer.value(layer.kept) for layer in layers),
            sum(layer.value(layer.depth) for layer in layers),
        ],
        dtype=np.float64,
    )


def width(settings: Settings) -> int:
    """The width of a shape that is the model's own."""
    return settings.filters if settings.model in CNNS else settings.hidden


def build(settings: Settings, shape: Shape, *, attention: bool = False) -> tuple[Network, VectorEncoder]:
    """The network that `settings` describe at another width, and its encoder.

    A convolution before a recurrent layer keeps its share of the width.
    """
    counted = _counted(settings, shape, attention)
    if attention:
        return counted, SelfAttention(shape.embedding, counted.encoder[0].sizes["H"])
    return counted, make_encoder(shape.embedding, _at(settings, shape))


def _at(settings: Settings, shape: Shape) -> Settings:
    filters = max(1, round(shape.width * settings.filters / width(settings)))
    return settings.model_copy(
        update={"embedding": shape.embedding, "hidden": shape.width, "filters": filters, "dropout": 0.0}
    )


def _counted(settings: Settings, shape: Shape, attention: bool) -> Network:
    count = attention_network if attention else network
    return count(_at(settings, shape), shape.length, kinds=KINDS, labels=LABELS)


def _affordable(settings: Settings, attention: bool) -> list[Shape]:
    """The shapes of the calibration that this model, which may be deep or have wide windows, does not make long."""
    products = {shape: shape.batch * _counted(settings, shape, attention).multiply_adds() for shape in CALIBRATION}
    order = sorted(CALIBRATION, key=products.__getitem__)
    return [shape for place, shape in enumerate(order) if place < LEAST_SHAPES or products[shape] <= MOST_PRODUCTS]


def too_much(counted: Network, batch: int, machine: Machine) -> bool:
    """Whether a batch would take so long, or so much memory, that nobody would wait for it to be timed."""
    layers = counted.encoder
    values = batch * sum(layer.value(layer.kept) + layer.value(layer.live) for layer in layers)
    weights = 2 * sum(layer.value(layer.parameters) for layer in layers)  # and their gradients
    return machine.predict(counted, batch).training > MOST_SECONDS or 4 * (values + weights) > MOST_BYTES


def measure_all(pairs: Sequence[tuple[VectorEncoder, Shape]]) -> list[Seconds]:
    """`measure` of each, in several rounds, so that a busy moment of the machine meets each of them once at most.

    What is long is measured in the first round only.
    """
    found = [[measure(encoder, shape)] for encoder, shape in pairs]
    for _ in range(PASSES - 1):
        for times, (encoder, shape) in zip(found, pairs, strict=True):
            if times[0].training < LONG:
                times.append(measure(encoder, shape))
    return [Seconds(min(one.inference for one in times), min(one.training for one in times)) for times in found]


def measure(encoder: VectorEncoder, shape: Shape) -> Seconds:
    """The best of several runs, as anything else on the machine can only make a run slower."""
    x = torch.randn(shape.batch, shape.length, shape.embedding, generator=torch.Generator().manual_seed(0))
    lengths = torch.full((shape.batch,), shape.length)

    def forward() -> Tensor:
        return encoder(x, lengths)

    with torch.inference_mode():
        inference = _best(forward)
    x = x.clone().requires_grad_()
    return Seconds(inference, _best(lambda: torch.autograd.backward(forward().sum())))


class SelfAttention(nn.Module):
    """One head of self-attention and its projection, then the greatest value of each feature: what recurrent and
    convolutional encoders are compared with. x (B, T, in_features), lengths (B,) → (B, width)."""

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(in_features, 3 * width)
        self.leave = nn.Linear(width, width)
        self.pooling = MaxPool(width)
        self.out_features = width

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        queries, keys, values = self.enter(x)[:, None].chunk(3, -1)  # (B, 1, T, width) each
        inside = None
        if int(lengths.min()) < x.shape[1]:
            inside = (torch.arange(x.shape[1]) < lengths[:, None])[:, None, None]
        mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=inside)
        pooled: Tensor = self.pooling(self.leave(mixed[:, 0]), lengths)
        return pooled


def _fit(sizes: Floats, seconds: Floats) -> Floats:
    """Seconds of one unit of each: the least sum of relative errors, whatever a few odd shapes say, none below 0."""
    from scipy.optimize import nnls  # loaded when first needed: it takes a while

    scale = np.maximum(sizes.max(axis=0), 1.0)
    relative = sizes / scale / seconds[:, None]
    trust = np.ones(len(seconds))
    for _ in range(ROUNDS):  # least squares, weighted anew, become least absolute errors
        weights, _norm = nnls(relative * trust[:, None], trust)
        trust = 1 / np.sqrt(np.maximum(np.abs(relative @ weights - 1), 0.02))
    return np.asarray(weights / scale)


def _best(run: Callable[[], object]) -> float:
    best = _once(run)  # not warm yet: counts only where the others would take too long
    if best >= LONG:
        return best
    best, total, runs = float("inf"), 0.0, 0
    while total < LEAST_SECONDS or runs < LEAST_RUNS:
        spent = _once(run)
        best, total, runs = min(best, spent), total + spent, runs + 1
    return best


def _once(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def is_attention(model: str) -> bool:
    """Whether the name stands for the layer that is only compared with."""
    return model == ATTENTION
