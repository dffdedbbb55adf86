"""A network given as a list of layers, each reading earlier ones: what a file from Keras becomes.

The meaning of every layer is Keras 3's, padding and masks included: a block of token ids goes in, (B, T) with the
padding that the network was trained with, and nothing is done about it except where Keras does something. Dropout is
not among the layers, as it does nothing to answers.

A spec is plain JSON with a closed schema: `{"kind": "dense", "inputs": [3], "units": 2, …}`; input -1 is the block of
ids, k the answer of layer k. `Graph` makes the layers of `models/graph_layers.py` from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from unspool.errors import ModelFileError, shorten
from unspool.models import graph_layers as layers
from unspool.models.graph_layers import IDS, Shape, Value

MOST_LAYERS = 200

Size = Annotated[int, Field(ge=1, le=2**24, strict=True)]
Small = Annotated[int, Field(ge=1, le=1024, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Input = Annotated[int, Field(ge=-1, lt=MOST_LAYERS, strict=True)]
Activation = Literal[
    "linear", "relu", "tanh", "sigmoid", "softmax", "elu", "selu", "gelu", "silu", "softplus", "softsign"
]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    inputs: Annotated[tuple[Input, ...], Field(min_length=1, max_length=64)]


class EmbeddingSpec(_Spec):
    """A table of vectors; `mask`: id 0 is padding, and layers that know masks skip it (Keras's mask_zero)."""

    kind: Literal["embedding"] = "embedding"
    size: Size
    width: Small | Size
    mask: Flag


class RecurrentSpec(_Spec):
    """rnn, gru or lstm in one or both directions.

    backward: reads from the end (Keras's go_backwards). merge: None for one direction, else how both become one.
    sequence: the output at every step, else the last. zeros: steps that are masked give 0, else the output before.
    """

    kind: Literal["recurrent"] = "recurrent"
    cell: Literal["rnn", "gru", "lstm"]
    units: Size
    nonlinearity: Literal["tanh", "relu"]
    reset_after: Flag
    bias: Flag
    backward: Flag
    merge: Literal["concat", "sum", "mul", "ave"] | None
    sequence: Flag
    zeros: Flag


class ConvolutionSpec(_Spec):
    """Windows over time; padding "same" is Keras's: (size - 1) zeros in all, the odd one at the end."""

    kind: Literal["convolution"] = "convolution"
    filters: Size
    size: Small
    stride: Small
    dilation: Small
    padding: Literal["valid", "same", "causal"]
    activation: Activation
    bias: Flag


class PoolingSpec(_Spec):
    """The maximum or mean of windows over time; padding does not count."""

    kind: Literal["pooling"] = "pooling"
    how: Literal["max", "average"]
    size: Small
    stride: Small
    padding: Literal["valid", "same"]


class GlobalPoolingSpec(_Spec):
    """The maximum (which knows no mask) or the mean (which does) over all of time."""

    kind: Literal["global-pooling"] = "global-pooling"
    how: Literal["max", "average"]


class DenseSpec(_Spec):
    """A linear layer over the features and an activation."""

    kind: Literal["dense"] = "dense"
    units: Size
    activation: Activation
    bias: Flag


class NormSpec(_Spec):
    """Layer normalisation over the features."""

    kind: Literal["layer-norm"] = "layer-norm"
    epsilon: Annotated[float, Field(gt=0, lt=1)]
    gain: Flag
    shift: Flag


class ActivationSpec(_Spec):
    """An activation by itself."""

    kind: Literal["activation"] = "activation"
    activation: Activation


class FlattenSpec(_Spec):
    """All steps side by side; the length must be fixed."""

    kind: Literal["flatten"] = "flatten"


class ConcatenateSpec(_Spec):
    """Several answers side by side, over "features" or over "time"."""

    kind: Literal["concatenate"] = "concatenate"
    over: Literal["features", "time"]


Spec = (
    EmbeddingSpec | RecurrentSpec | ConvolutionSpec | PoolingSpec | GlobalPoolingSpec | DenseSpec | NormSpec
    | ActivationSpec | FlattenSpec | ConcatenateSpec
)  # fmt: skip

_SPECS: TypeAdapter[list[Spec]] = TypeAdapter(
    Annotated[list[Annotated[Spec, Field(discriminator="kind")]], Field(min_length=1, max_length=MOST_LAYERS)]
)

_MAKERS: dict[str, type[layers.Layer]] = {
    "embedding": layers.Embedding,
    "recurrent": layers.Recurrent,
    "convolution": layers.Convolution,
    "pooling": layers.Pooling,
    "global-pooling": layers.GlobalPooling,
    "dense": layers.Dense,
    "layer-norm": layers.Norm,
    "activation": layers.Activation,
    "flatten": layers.Flatten,
    "concatenate": layers.Concatenate,
}


def parse_specs(values: Any) -> list[Spec]:
    """The layers of a spec, checked; ModelFileError naming the first thing that is wrong."""
    try:
        return _SPECS.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(f"layer {shorten(place, 60)} of the network: {shorten(first['msg'], 100)}") from None


class Graph(nn.Module):
    """The network that specs describe.

    length: how many ids a row always has, or None when it may have any number. partial: more layers are to come, so
    that one whose answer is not read yet is no mistake. `shapes[k]` is the shape of layer k's
    answer. Raises ModelFileError when layers do not fit together, naming the first that does not.
    """

    def __init__(self, specs: Sequence[Spec], length: int | None, *, partial: bool = False) -> None:
        super().__init__()
        self.specs, self.length = tuple(specs), length
        self.layers = nn.ModuleList()
        self.shapes: list[Shape] = []
        for place, spec in enumerate(self.specs):
            if max(spec.inputs) >= place:
                raise ModelFileError(f"layer {place} of the network ({spec.kind}) reads a layer that comes after it")
            shapes = [Shape(length, IDS) if i < 0 else self.shapes[i] for i in spec.inputs]
            try:
                self.layers.append(layer := _MAKERS[spec.kind](spec, shapes))
            except (ValueError, RuntimeError, OverflowError, TypeError) as error:
                raise ModelFileError(
                    f"layer {place} of the network ({spec.kind}) does not fit: {shorten(error, 200)}"
                ) from error
            self.shapes.append(layer.shape)
        used = {i for spec in self.specs for i in spec.inputs}
        if not partial and (loose := [k for k in range(len(self.specs) - 1) if k not in used]):
            raise ModelFileError(f"layer {loose[0]} of the network leads nowhere")

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) of int64 → the last layer's answer, usually (B, units)."""
        answers: list[Value] = []
        for spec, layer in zip(self.specs, self.layers, strict=True):
            answers.append(layer([Value(ids, None) if i < 0 else answers[i] for i in spec.inputs]))
        return answers[-1].x

    def to_json(self) -> list[dict[str, Any]]:
        """The specs as plain values."""
        return [spec.model_dump(mode="json") for spec in self.specs]
