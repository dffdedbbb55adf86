"""From a Keras file to a network: its layers in order, each converted, and their weights.

Sequential models, and functional ones of one input and one output in which every layer is called once. Anything else
is refused by its name; no code of the file is run, and none could be: what is read are names, numbers and arrays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unspool.errors import ModelFileError, shorten
from unspool.export.keras_file import Read, open_keras
from unspool.export.keras_layers import NOTHING, Array, Converted, convert
from unspool.models.graph import MOST_LAYERS, Graph

CONTAINERS = ("Sequential", "Functional", "Model")
MASK_MAKERS = frozenset(("NotEqual", "ExpandDims", "ZerosLike", "LogicalOr", "Any", "Concatenate"))


@dataclass(frozen=True)
class _Layer:
    """A layer of the file: its class, options, name, the names of the layers it reads, and where its arrays are."""

    kind: str
    config: dict[str, Any]
    name: str
    reads: tuple[str, ...]
    stored: str


def read_keras(path: Path) -> Graph:
    """The network in a `.keras` or `.h5` file, in evaluation mode; its answers are Keras's.

    Raises ModelFileError naming the layer and option that cannot be imported, or what is damaged.
    """
    with open_keras(path) as (description, read):
        return _build(description, read)


def _build(description: dict[str, Any], read: Read) -> Graph:
    layers = list(_layers(description))
    length = _length(layers)
    numbers: dict[str, int] = {}  # name of a layer of the file → number of ours
    converted: list[tuple[_Layer, Converted]] = []
    graph = None
    for layer in layers:
        if layer.kind == "InputLayer":
            numbers[layer.name] = -1
        elif layer.kind in NOTHING:
            numbers[layer.name] = numbers[layer.reads[0]]
        else:
            if len(converted) == MOST_LAYERS:
                raise ModelFileError(f"the model has more than {MOST_LAYERS} layers")
            inputs = tuple(numbers[name] for name in layer.reads)
            widths = [graph.shapes[i].width if graph and i >= 0 else 0 for i in inputs]
            converted.append((layer, convert(layer.kind, layer.config, inputs, widths)))
            numbers[layer.name] = len(converted) - 1
            with torch.device("meta"):
                graph = Graph([entry.spec for _, entry in converted], length, partial=True)
    if not converted:
        raise ModelFileError("the file describes a model without layers")
    with torch.device("meta"):
        graph = Graph([entry.spec for _, entry in converted], length)
    tensors: dict[str, Array] = {}
    for number, (layer, entry) in enumerate(converted):
        arrays = read(layer.stored, layer.kind, layer.name, entry.shapes)
        tensors |= {f"layers.{number}.{name}": value for name, value in entry.tensors(arrays).items()}
    graph.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()}, assign=True)
    return graph.eval()


def _layers(description: dict[str, Any]) -> Iterator[_Layer]:
    """The layers in an order in which each comes after those it reads."""
    kind, config = description.get("class_name"), description.get("config")
    if kind not in CONTAINERS:
        raise ModelFileError(
            f"the model is a {shorten(kind, 60)!r}: only Sequential and functional models are imported"
        )
    entries = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
    described = isinstance(config, dict) or kind == "Sequential"  # of old Keras a bare list
    if not described or not isinstance(entries, list) or not all(_is_layer(entry) for entry in entries):
        raise ModelFileError("the description of the model has no list of layers")
    names = [str(entry["config"].get("name", entry.get("name"))) for entry in entries]
    if len(set(names)) != len(names):
        raise ModelFileError("two layers of the model have the same name")
    stored = _stored_names([entry["class_name"] for entry in entries], sequential=kind == "Sequential")
    if kind == "Sequential":
        chain = _chain(entries, names)
    else:
        assert isinstance(config, dict)
        chain = _functional(config, entries, names)
    places = {name: place for place, name in enumerate(names)}
    for name, reads in chain:
        entry = entries[places[name]]
        yield _Layer(entry["class_name"], entry["config"], name, reads, stored[places[name]])


def _is_layer(entry: Any) -> bool:
    return (
        isinstance(entry, dict) and isinstance(entry.get("class_name"), str) and isinstance(entry.get("config"), dict)
    )


def _stored_names(kinds: list[str], *, sequential: bool) -> list[str]:
    """The folder of each layer in model.weights.h5: its class in snake case, numbered from the second on.

    A Sequential model does not count its input among its layers.
    """
    counts: Counter[str] = Counter()
    found = []
    for kind in kinds:
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", kind)).lower()
        if sequential and kind == "InputLayer":
            found.append(snake)
            continue
        found.append(snake if not counts[snake] else f"{snake}_{counts[snake]}")
        counts[snake] += 1
    return found


def _chain(entries: list[Any], names: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Each layer of a Sequential model reads the one before; the input may be missing from the list."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for entry, name in zip(entries, names, strict=True):
        if entry["class_name"] == "InputLayer":
            found.append((name, ()))
        else:
            found.append((name, (found[-1][0],) if found else ("",)))
    return found


def _functional(config: dict[str, Any], entries: list[Any], names: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The layers that the output needs, each after those it reads; so the output is the last."""
    if len(_ends(config.get("input_layers"))) != 1 or len(outputs := _ends(config.get("output_layers"))) != 1:
        raise ModelFileError("the model has several inputs or outputs: only one of each can be imported")
    by_name = dict(zip(names, entries, strict=True))
    masked = any(entry["config"].get("mask_zero") is True for entry in entries)
    reads: dict[str, tuple[str, ...]] = {}
    waiting = [outputs[0]]
    while waiting:
        name = waiting.pop()
        if name not in reads:
            if name not in by_name:
                raise ModelFileError(f"a layer of the model reads {shorten(name, 40)!r}, which does not exist")
            reads[name], masks = _reads(by_name[name], name)
            if not reads[name] and by_name[name]["class_name"] != "InputLayer":
                raise ModelFileError(f"the layer {shorten(name, 40)!r} reads nothing")
            waiting += reads[name]
            if any(not masked or not _makes_masks(by_name.get(source)) for source in masks):
                raise ModelFileError(f"the layer {shorten(name, 40)!r} is given a mask that is not an embedding's")
    return _sorted(reads)


def _makes_masks(entry: Any) -> bool:
    """Whether a layer is one of those by which Keras 3 hands an embedding's mask on; ours do it themselves."""
    if entry is None or entry["class_name"] not in MASK_MAKERS:
        return False
    calls = entry.get("inbound_nodes")
    call = calls[0] if isinstance(calls, list) and calls and isinstance(calls[0], dict) else {}
    return entry["class_name"] != "NotEqual" or bool(call.get("args", [])[1:] == [0])


def _sorted(reads: dict[str, tuple[str, ...]]) -> list[tuple[str, tuple[str, ...]]]:
    """The layers, each after those it reads."""
    done: list[tuple[str, tuple[str, ...]]] = []
    waiting, ready = dict(reads), set[str]()
    while waiting:
        free = [name for name, needs in waiting.items() if ready.issuperset(needs)]
        if not free:
            raise ModelFileError(f"the layer {shorten(next(iter(waiting)), 40)!r} reads itself")
        done += [(name, waiting.pop(name)) for name in free]
        ready.update(free)
    return done


def _ends(value: Any) -> list[str]:
    """Names in `["dense", 0, 0]` (Keras 3) or `[["dense", 0, 0], …]`."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        value = [value]
    if not isinstance(value, list) or not all(
        isinstance(end, list) and end and isinstance(end[0], str) for end in value
    ):
        return []
    return [end[0] for end in value]


def _reads(entry: dict[str, Any], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a functional layer reads, and what gives it a mask, out of the call that Keras 2 or 3 wrote down."""
    calls, more = entry.get("inbound_nodes"), f"the layer {shorten(name, 40)!r} is called with more than its inputs"
    if entry["class_name"] == "InputLayer" and calls in ([], None):
        return (), ()
    if not isinstance(calls, list) or len(calls) != 1:
        raise ModelFileError(f"the layer {shorten(name, 40)!r} is not called exactly once: it cannot be imported")
    call = calls[0]
    if isinstance(call, dict):
        kwargs = call.get("kwargs") or {}
        if not isinstance(kwargs, dict) or not set(kwargs) <= {"training", "mask"} or kwargs.get("training"):
            raise ModelFileError(more)
        masks = [] if kwargs.get("mask") is None else list(_tensors(kwargs["mask"], 0))
        return tuple(_tensors(call.get("args"), 0)), tuple(masks)
    parts = call if isinstance(call, list) else []
    if not parts or not all(isinstance(part, list) and part[1:] in ([0, 0, {}], [0, 0]) for part in parts):
        raise ModelFileError(more)
    return tuple(str(part[0]) for part in parts), ()


def _tensors(value: Any, depth: int) -> Iterator[str]:
    """The names of the layers whose answers stand in a call."""
    if isinstance(value, list) and depth < 3:
        for part in value:
            yield from _tensors(part, depth + 1)
    elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        inside = value.get("config")
        history = inside.get("keras_history") if isinstance(inside, dict) else None
        if not isinstance(history, list) or len(history) != 3 or history[1:] != [0, 0]:
            raise ModelFileError("the model's layers are connected in a way that cannot be imported")
        yield str(history[0])
    else:
        raise ModelFileError("a layer of the model is called with something that is not a tensor")


def _length(layers: list[_Layer]) -> int | None:
    """The fixed length of the input, from the layer that says so; None when it is open."""
    config = layers[0].config if layers else {}
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    if shape is None:
        return None
    if not isinstance(shape, list) or len(shape) != 2 or not (shape[1] is None or type(shape[1]) is int):
        raise ModelFileError(f"the input has shape {shorten(shape, 60)}: expected a row of token ids, [null, length]")
    if shape[1] is not None and not 1 <= shape[1] <= 10**6:
        raise ModelFileError(f"the input is {shape[1]} tokens long: expected 1 to 1,000,000")
    return shape[1]
