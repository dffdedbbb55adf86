"""From a layer of a Keras file to one of ours: a closed table, layer by layer and option by option.

Every option of a layer is either read, known to do nothing to answers, or refused by its name. The arrays come in
Keras's order and layout: kernels (in, out), GRU gates z, r, h where ours are r, z, n, and one bias where we have two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unspool.errors import ModelFileError, shorten
from unspool.models.graph import (
    ActivationSpec,
    ConcatenateSpec,
    ConvolutionSpec,
    DenseSpec,
    EmbeddingSpec,
    FlattenSpec,
    GlobalPoolingSpec,
    NormSpec,
    PoolingSpec,
    RecurrentSpec,
    Spec,
)

Array = npt.NDArray[np.float32]
Arrays = Sequence[Array]
Config = dict[str, Any]


@dataclass(frozen=True)
class Converted:
    """A layer of ours.

    shapes: of Keras's arrays, in its order. tensors: from these arrays to ours, by name.
    """

    spec: Spec
    shapes: list[tuple[int, ...]]
    tensors: Callable[[Arrays], dict[str, Array]]


_FREE = ("kernel", "recurrent", "bias", "embeddings", "beta", "gamma")
HARMLESS = frozenset(
    (
        *("name", "trainable", "dtype", "batch_input_shape", "batch_shape", "input_length", "seed", "noise_shape"),
        *("sparse", "ragged", "optional", "activity_regularizer", "dropout", "recurrent_dropout", "unit_forget_bias"),
        *("implementation", "unroll", "rate", "build_config"),
        *(f"{part}_{what}" for part in _FREE for what in ("initializer", "regularizer", "constraint")),
    )
)
"""Options that do nothing to the answers of a trained model."""

NOTHING = frozenset(("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "AlphaDropout"))
"""Layers that do nothing outside training."""

ACTIVATIONS = {"swish": "silu", None: "linear"}  # other names are the same


class Options:
    """The options of one layer, each to be taken once; `finish` refuses what nobody took."""

    def __init__(self, kind: str, config: Config) -> None:
        self.what = f"the layer {kind} {shorten(config.get('name'), 40)!r}"
        self._left = {name: value for name, value in config.items() if name not in HARMLESS}
        policy = config.get("dtype", "float32")
        policy = policy.get("config", {}).get("name") if isinstance(policy, dict) else policy
        if policy not in ("float32", "int32", "int64", None):
            raise ModelFileError(f"{self.what} computes in {shorten(policy, 40)}: only float32 is imported")

    def take(self, name: str, usual: Any = None) -> Any:
        """The value of an option, `usual` when the file (of an older Keras) does not have it."""
        return self._left.pop(name, usual)

    def need(self, name: str, *allowed: Any) -> Any:
        """The value of an option that must be one of `allowed`, the first when it is missing."""
        value = self.take(name, allowed[0])
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not any(type(value) is type(known) and value == known for known in allowed):
            known = ", ".join(map(repr, allowed))
            raise ModelFileError(f"{self.what} has {name} {shorten(value, 60)!r}: only {known} can be imported")
        return value

    def size(self, name: str, usual: Any = None) -> int:
        """A whole number, alone or in a list of one."""
        value = self.take(name, usual)
        value = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        if type(value) is not int or not 1 <= value <= 2**24:
            raise ModelFileError(f"{self.what} has {name} {shorten(value, 60)!r}: expected a number of at least 1")
        return value

    def activation(self, name: str = "activation") -> str:
        """The name of an activation."""
        value = self.take(name)
        if isinstance(value, dict):  # an object of one: only its name could be known
            value = value.get("class_name")
        if value is not None and not isinstance(value, str):
            raise ModelFileError(f"{self.what} has an activation that is not a name: {shorten(value, 60)}")
        return ACTIVATIONS.get(value) or str(value)

    def finish(self) -> None:
        """Refuse an option that was not read."""
        if self._left:
            name, value = next(iter(self._left.items()))
            raise ModelFileError(
                f"{self.what} has the option {shorten(name, 40)!r} ({shorten(value, 60)}), not known here"
            )


def convert(kind: str, config: Config, inputs: tuple[int, ...], widths: Sequence[int]) -> Converted:
    """The layer of ours that the Keras layer of class `kind` becomes.

    inputs: numbers of the layers it reads, whose answers are `widths` wide.
    """
    if kind not in CONVERTERS:
        known = ", ".join(sorted((*CONVERTERS, *NOTHING, "InputLayer", "Sequential", "Functional")))
        raise ModelFileError(f"layers of the class {shorten(kind, 60)!r} cannot be imported; known: {known}")
    options = Options(kind, config)
    converted = CONVERTERS[kind](options, inputs, widths[0])
    options.finish()
    return converted


def _embedding(options: Options, inputs: tuple[int, ...], _: int) -> Converted:
    rows, width = options.size("input_dim"), options.size("output_dim")
    options.need("quantization_config", None)
    spec = EmbeddingSpec(inputs=inputs, size=rows, width=width, mask=options.need("mask_zero", False, True))
    return Converted(spec, [(rows, width)], lambda arrays: {"weight": arrays[0]})


def _recurrent(kind: str) -> Callable[[Options, tuple[int, ...], int], Converted]:
    def make(options: Options, inputs: tuple[int, ...], width: int) -> Converted:
        spec = _recurrent_spec(kind, options, inputs)
        shapes = _recurrent_shapes(spec, width)
        return Converted(spec, shapes, lambda arrays: _recurrent_tensors(spec, arrays, "first"))

    return make


def _recurrent_spec(kind: str, options: Options, inputs: tuple[int, ...]) -> RecurrentSpec:
    for name in ("return_state", "stateful", "time_major"):
        options.need(name, False)
    cell = {"SimpleRNN": "rnn", "LSTM": "lstm", "GRU": "gru"}[kind]
    if cell != "rnn":
        options.need("recurrent_activation", "sigmoid")
    return RecurrentSpec(
        inputs=inputs,
        cell=cell,  # type: ignore[arg-type]
        units=options.size("units"),
        nonlinearity=options.need("activation", "tanh", *(("relu",) if cell == "rnn" else ())),
        reset_after=options.need("reset_after", False, True) if cell == "gru" else True,
        bias=options.need("use_bias", True, False),
        backward=options.need("go_backwards", False, True),
        merge=None,
        sequence=options.need("return_sequences", False, True),
        zeros=options.need("zero_output_for_mask", False, True),
    )


def _recurrent_shapes(spec: RecurrentSpec, width: int) -> list[tuple[int, ...]]:
    """Kernel, recurrent kernel, bias; both biases of a GRU are one array."""
    rows = spec.units * {"rnn": 1, "gru": 3, "lstm": 4}[spec.cell]
    biases: list[tuple[int, ...]] = [(2, rows) if spec.cell == "gru" and spec.reset_after else (rows,)]
    return [(width, rows), (spec.units, rows), *(biases if spec.bias else [])]


def _recurrent_tensors(spec: RecurrentSpec, arrays: Arrays, part: str) -> dict[str, Array]:
    found = {"weight_ih_l0": _gates(spec, arrays[0]).T, "weight_hh_l0": _gates(spec, arrays[1]).T}
    if spec.bias:
        both = _gates(spec, arrays[2])
        own, recurrent = both if both.ndim == 2 else (both, np.zeros_like(both))
        found |= {"bias_ih_l0": own, "bias_hh_l0": recurrent}
    return {f"{part}.{name}": np.ascontiguousarray(value) for name, value in found.items()}


def _gates(spec: RecurrentSpec, values: Array) -> Array:
    """The last dimension in our order of gates; i, f, g, o of an LSTM are in it already."""
    if spec.cell != "gru":
        return values
    z, r, n = np.split(values, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


def _bidirectional(options: Options, inputs: tuple[int, ...], width: int) -> Converted:
    merge = options.need("merge_mode", "concat", "sum", "mul", "ave")
    inner = options.take("layer")
    forward = _inner(inner, options.what, inputs)
    other = options.take("backward_layer")
    backward = forward.model_copy(update={"backward": not forward.backward})
    if other is not None and _inner(other, options.what, inputs) != backward:
        raise ModelFileError(f"{options.what} has two different layers: only the same one reversed can be imported")
    spec = forward.model_copy(update={"merge": merge, "zeros": forward.sequence})
    shapes = _recurrent_shapes(spec, width)
    count = len(shapes)
    return Converted(
        spec,
        shapes * 2,
        lambda arrays: (
            _recurrent_tensors(spec, arrays[:count], "first") | _recurrent_tensors(spec, arrays[count:], "second")
        ),
    )


def _inner(layer: Any, what: str, inputs: tuple[int, ...]) -> RecurrentSpec:
    kind = layer.get("class_name") if isinstance(layer, dict) else None
    if kind not in ("SimpleRNN", "LSTM", "GRU") or not isinstance(layer.get("config"), dict):
        raise ModelFileError(f"{what} holds {shorten(kind, 40)!r}: only SimpleRNN, LSTM and GRU can be imported")
    options = Options(kind, layer["config"])
    spec = _recurrent_spec(kind, options, inputs)
    options.finish()
    return spec


def _convolution(options: Options, inputs: tuple[int, ...], width: int) -> Converted:
    options.need("data_format", "channels_last")
    options.need("groups", 1)
    spec = ConvolutionSpec(
        inputs=inputs,
        filters=options.size("filters"),
        size=options.size("kernel_size"),
        stride=options.size("strides", 1),
        dilation=options.size("dilation_rate", 1),
        padding=options.need("padding", "valid", "same", "causal"),
        activation=options.activation(),  # type: ignore[arg-type]
        bias=options.need("use_bias", True, False),
    )
    shapes: list[tuple[int, ...]] = [(spec.size, width, spec.filters)]
    return Converted(
        spec,
        [*shapes, *([(spec.filters,)] if spec.bias else [])],
        lambda arrays: (
            {"weight": np.ascontiguousarray(arrays[0].transpose(2, 1, 0))} | ({"bias": arrays[1]} if spec.bias else {})
        ),
    )


def _pooling(how: str) -> Callable[[Options, tuple[int, ...], int], Converted]:
    def make(options: Options, inputs: tuple[int, ...], _: int) -> Converted:
        options.need("data_format", "channels_last")
        size = options.size("pool_size", 2)
        stride = options.take("strides")
        spec = PoolingSpec(
            inputs=inputs,
            how=how,  # type: ignore[arg-type]
            size=size,
            stride=size if stride is None else _number(stride, options),
            padding=options.need("padding", "valid", "same"),
        )
        return Converted(spec, [], _no_tensors)

    return make


def _global_pooling(how: str) -> Callable[[Options, tuple[int, ...], int], Converted]:
    def make(options: Options, inputs: tuple[int, ...], _: int) -> Converted:
        options.need("data_format", "channels_last")
        options.need("keepdims", False)
        return Converted(GlobalPoolingSpec(inputs=inputs, how=how), [], _no_tensors)  # type: ignore[arg-type]

    return make


def _dense(options: Options, inputs: tuple[int, ...], width: int) -> Converted:
    options.need("quantization_config", None)
    options.need("lora_rank", None)
    spec = DenseSpec(
        inputs=inputs,
        units=options.size("units"),
        activation=options.activation(),  # type: ignore[arg-type]
        bias=options.need("use_bias", True, False),
    )
    return Converted(
        spec,
        [(width, spec.units), *([(spec.units,)] if spec.bias else [])],
        lambda arrays: (
            {"linear.weight": np.ascontiguousarray(arrays[0].T)} | ({"linear.bias": arrays[1]} if spec.bias else {})
        ),
    )


def _norm(options: Options, inputs: tuple[int, ...], width: int) -> Converted:
    options.need("axis", -1, 2)
    options.need("rms_scaling", False)
    spec = NormSpec(
        inputs=inputs,
        epsilon=options.take("epsilon", 1e-3),
        gain=options.need("scale", True, False),
        shift=options.need("center", True, False),
    )
    names = [name for name, there in (("weight", spec.gain), ("bias", spec.shift)) if there]
    return Converted(spec, [(width,)] * len(names), lambda arrays: dict(zip(names, arrays, strict=True)))


def _activation(options: Options, inputs: tuple[int, ...], _: int) -> Converted:
    return Converted(ActivationSpec(inputs=inputs, activation=options.activation()), [], _no_tensors)  # type: ignore[arg-type]


def _flatten(options: Options, inputs: tuple[int, ...], _: int) -> Converted:
    options.need("data_format", "channels_last")
    return Converted(FlattenSpec(inputs=inputs), [], _no_tensors)


def _concatenate(options: Options, inputs: tuple[int, ...], _: int) -> Converted:
    axis = options.need("axis", -1, 1, 2)
    return Converted(ConcatenateSpec(inputs=inputs, over="time" if axis == 1 else "features"), [], _no_tensors)


def _no_tensors(_: Arrays) -> dict[str, Array]:
    return {}


def _number(value: Any, options: Options) -> int:
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if type(value) is not int or value < 1:
        raise ModelFileError(f"{options.what} has strides {shorten(value, 60)}: expected a number of at least 1")
    return value


CONVERTERS: dict[str, Callable[[Options, tuple[int, ...], int], Converted]] = {
    "Embedding": _embedding,
    "SimpleRNN": _recurrent("SimpleRNN"),
    "LSTM": _recurrent("LSTM"),
    "GRU": _recurrent("GRU"),
    "Bidirectional": _bidirectional,
    "Conv1D": _convolution,
    "MaxPooling1D": _pooling("max"),
    "AveragePooling1D": _pooling("average"),
    "GlobalMaxPooling1D": _global_pooling("max"),
    "GlobalAveragePooling1D": _global_pooling("average"),
    "Dense": _dense,
    "LayerNormalization": _norm,
    "Activation": _activation,
    "Flatten": _flatten,
    "Concatenate": _concatenate,
}
