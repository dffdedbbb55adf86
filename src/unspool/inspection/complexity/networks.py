"""The layers of every model by name, from the settings that make it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from unspool.config import Settings
from unspool.inspection.complexity import layers
from unspool.inspection.complexity.layers import Layer
from unspool.ops.layouts import CELLS

ATTENTION = "attention"
"""Beside the models that can be trained: one layer of self-attention, to compare with."""


@dataclass(frozen=True)
class Network:
    """All layers from token ids to logits; `encoder` is what lies between embedding and output."""

    model: str
    length: int
    embedding: Layer
    encoder: list[Layer]
    output: Layer

    @property
    def layers(self) -> list[Layer]:
        return [self.embedding, *self.encoder, self.output]

    def parameters(self) -> int:
        """Trained values."""
        return sum(layer.value(layer.parameters) for layer in self.layers)

    def multiply_adds(self) -> int:
        """Products for one text."""
        return sum(layer.value(layer.products) for layer in self.layers)

    def live_bytes(self) -> int:
        """Most bytes of activations that live at once in inference, for one text."""
        return 4 * max(layer.value(layer.live) for layer in self.layers)

    def kept_bytes(self) -> int:
        """Bytes of activations kept for the backward pass, for one text."""
        return 4 * sum(layer.value(layer.kept) for layer in self.layers)

    def depth(self) -> int:
        """Computations that must follow one another; side by side counts once."""
        regions = [layer for layer in self.encoder if layer.stride is None and layer.field is not None]
        others = [layer.value(layer.depth) for layer in self.layers if layer not in regions]
        return sum(others) + max((layer.value(layer.depth) for layer in regions), default=0)

    def receptive_field(self) -> int | None:
        """Tokens that one feature sees before the pooling; None: all that the text has."""
        steps = [layer for layer in self.encoder if not layer.name.startswith("pooling")]
        return receptive_field(steps)


def receptive_field(stack: Iterable[Layer]) -> int | None:
    """Steps of the first layer's input that one output of the last layer sees; None: all.

    Region sizes side by side end the stack: the widest counts.
    """
    field, jump, widest = 1, 1, 0
    for layer in stack:
        if layer.field is None:
            return None
        reach = (layer.field - 1) * jump
        if layer.stride is None:
            widest = max(widest, reach)
            continue
        field, jump = field + reach, jump * layer.stride
    return field + widest


def network(settings: Settings, length: int, *, kinds: int, labels: int, vectors: str = "rand") -> Network:
    """The layers of the classifier that `settings` describe, for texts of `length` tokens.

    kinds: rows of the embedding. labels: classes. vectors: how pretrained vectors are used, "rand" without.
    """
    tables = 2 if vectors == "multichannel" else 1
    encoder, width = _encoder(settings, settings.embedding * tables, length)
    return Network(
        settings.model,
        length,
        layers.embedding(kinds, settings.embedding, length, tables),
        encoder,
        layers.output(width, labels),
    )


def attention_network(settings: Settings, length: int, *, kinds: int, labels: int) -> Network:
    """One layer of self-attention as wide as the recurrent layer that `settings` describe."""
    width = settings.hidden * (2 if settings.bidirectional else 1)
    encoder = [
        layers.attention("self-attention", settings.embedding, width, length),
        layers.pooling("max", width, length),
    ]
    embedding = layers.embedding(kinds, settings.embedding, length)
    return Network(ATTENTION, length, embedding, encoder, layers.output(width, labels))


def _encoder(settings: Settings, width: int, length: int) -> tuple[list[Layer], int]:
    """The layers between embedding and output, and the width of the vector that leaves."""
    if settings.model == "cnn":
        return _regions(settings, width, length)
    if settings.model == "stacked-cnn":
        return _stacked(settings, width, length)
    if settings.model == "dilated-cnn":
        return _dilated(settings, width, length)
    if settings.model.startswith("cnn-"):
        first = layers.pooled_windows(
            "convolution", width, settings.filters, settings.kernel_size, settings.pool_size, length
        )
        rest, out = _recurrent(settings, settings.model.removeprefix("cnn-"), settings.filters, _shorter(first))
        return [first, *rest], out
    return _recurrent(settings, settings.model, width, length)


def _recurrent(settings: Settings, cell: str, width: int, length: int) -> tuple[list[Layer], int]:
    directions = 2 if settings.bidirectional else 1
    out = settings.hidden * directions
    stack = [
        layers.recurrent(
            f"{cell} {k + 1}" if settings.layers > 1 else cell,
            CELLS[cell],
            out if k else width,
            settings.hidden,
            length,
            directions=directions,
            kernel_size=settings.kernel_size if cell == "qrnn" else 1,
            layer_norm=settings.layer_norm,
        )
        for k in range(settings.layers)
    ]
    return _pooled(stack, settings, out, length)


def _pooled(stack: list[Layer], settings: Settings, width: int, length: int) -> tuple[list[Layer], int]:
    factor = 2 if settings.pooling == "mean+variance" else 1
    return [*stack, layers.pooling(settings.pooling, width, length)], width * factor


def _regions(settings: Settings, width: int, length: int) -> tuple[list[Layer], int]:
    steps = length + 2 * (max(settings.region_sizes) - 1)  # the zeros around a text
    stack = [
        layers.region(f"regions of {size}", width, settings.filters, size, steps, pooling=settings.pooling, first=not k)
        for k, size in enumerate(settings.region_sizes)
    ]
    factor = 2 if settings.pooling == "mean+variance" else 1
    return stack, factor * settings.filters * len(stack)


def _stacked(settings: Settings, width: int, length: int) -> tuple[list[Layer], int]:
    stack: list[Layer] = []
    for k in range(settings.layers - 1):
        name = f"convolution {k + 1}"
        stack.append(
            layers.pooled_windows(name, width, settings.filters, settings.kernel_size, settings.pool_size, length)
        )
        width, length = settings.filters, _shorter(stack[-1])
    name = f"convolution {settings.layers}, pooled"
    stack.append(layers.region(name, width, settings.filters, settings.kernel_size, length, pooling=settings.pooling))
    return stack, settings.filters * (2 if settings.pooling == "mean+variance" else 1)


def _dilated(settings: Settings, width: int, length: int) -> tuple[list[Layer], int]:
    filters = settings.filters
    stack = [] if width == filters else [layers.linear("projection", width, filters, length)]
    stack += [
        layers.dilated_block(f"block, dilation {2**k}", filters, settings.kernel_size, 2**k, length)
        for k in range(settings.layers)
    ]
    return _pooled([*stack, layers.norm("normalisation", filters, length)], settings, filters, length)


def _shorter(layer: Layer) -> int:
    """Steps that leave a convolution with pooling."""
    return layer.sizes["P"]
