"""Reading a model folder: where it is, its config, its tensors; everything is checked before it is used."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch
from torch import nn

from unspool import config, files
from unspool.config import Settings
from unspool.errors import ModelFileError, SettingError, shorten

FORMAT = 1
TENSORS = "model.safetensors"
DESCRIPTION_LIMIT = 2**24  # bytes of config.json and card.json, which list little more than labels
HEADER_LIMIT = 2**20  # bytes; a header lists a few dozen tensors

Tensors = dict[str, npt.NDArray[Any]]
Shape = tuple[int, ...]


def find(path: Path) -> Path:
    """The model folder at `path`, or in the run at `path`."""
    try:
        folder = path / "model" if (path / "model" / files.MANIFEST).exists() else path
        exists, unfinished = folder.exists(), (folder / "run.json").exists()
    except (OSError, ValueError) as error:  # a name too long, with a NUL, or in a folder that may not be read
        raise ModelFileError(f"{shorten(path, 300)} cannot be read: {shorten(error, 200)}") from error
    if not exists:
        raise ModelFileError(f"there is no model at {shorten(path, 300)}: give the folder that unspool train made")
    if unfinished:
        raise ModelFileError(f"{shorten(path, 300)} has no finished model yet: unspool resume {shorten(path, 300)}")
    if folder.is_dir() and not os.path.lexists(folder / files.MANIFEST):
        raise ModelFileError(
            f"{shorten(path, 300)} is not a model folder, it has no {files.MANIFEST}: give the folder that unspool "
            "train made"
        )
    return folder


def need(contents: Mapping[str, bytes], name: str, folder: Path) -> bytes:
    """The content of a file that must be there."""
    if name not in contents:
        raise ModelFileError(f"{folder} lacks {name}")
    return contents[name]


def settings(values: Any, folder: Path) -> Settings:
    """The checked settings of config.json."""
    try:
        return config.parse(mapping(values, "settings", folder))
    except SettingError as error:
        raise ModelFileError(f"{folder / 'config.json'}: {error}") from error


def fill(network: nn.Module, content: bytes, path: Path) -> None:
    """Give a network made on the meta device its weights, after its shapes were compared with the file's."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    tensors = load_tensors(content, shapes, path)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()}, assign=True)
    network.eval()


def load_tensors(content: bytes, shapes: Mapping[str, Shape], path: Path, kind: str = "F32") -> Tensors:
    """The tensors of a safetensors file whose header lists exactly `shapes`, all of `kind` and finite."""
    if header(content, path, kind) != shapes:
        raise ModelFileError(f"{path} does not hold the tensors that its config.json describes")
    try:
        tensors: Tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is not a safetensors file: {shorten(error, 200)}") from error
    check_finite(tensors, path)
    return tensors


def load_seen(content: bytes, path: Path) -> npt.NDArray[np.uint32]:
    """The row of 32-bit hashes in a file of its own."""
    shape = header(content, path, "U32").get("seen", ())
    if len(shape) != 1:
        raise ModelFileError(f"{path} does not hold one row of hashes")
    return load_tensors(content, {"seen": shape}, path, kind="U32")["seen"]


def header(content: bytes, path: Path, kind: str) -> dict[str, Shape]:
    """The shapes in a safetensors header: 8 bytes of length, then JSON (safetensors README, "Format").

    Shapes, type and positions are compared with the file's size here, before any tensor is made.
    """
    damaged = ModelFileError(f"{path} is not a safetensors file")
    if len(content) < 8:
        raise damaged
    (size,) = struct.unpack("<Q", content[:8])
    if size > min(len(content) - 8, HEADER_LIMIT):
        raise damaged
    header = files.parse_json(content[8 : 8 + size].rstrip(b" "), path)
    if not isinstance(header, dict):
        raise damaged
    header.pop("__metadata__", None)
    shapes: dict[str, Shape] = {}
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise damaged
        if entry["dtype"] != kind:
            raise ModelFileError(f"{path}: {shorten(name)} is of type {shorten(entry['dtype'], 40)}, expected {kind}")
        shape, span = entry["shape"], entry["data_offsets"]
        if not _naturals(shape) or not _naturals(span) or len(span) != 2:
            raise damaged
        if span[1] - span[0] != 4 * math.prod(shape) or span[1] > len(content) - 8 - size:
            raise damaged
        shapes[name] = tuple(shape)
    return shapes


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 8 and all(type(v) is int and 0 <= v < 2**63 for v in values)


def check_finite(tensors: Tensors, path: Path) -> None:
    """Raise ModelFileError naming the first tensor with a NaN or an infinity in it."""
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise ModelFileError(f"{path}: {shorten(name)} holds a value that is not finite")


def mapping(value: Any, what: str, folder: Path) -> dict[str, Any]:
    """`value`, which must be a JSON object."""
    if not isinstance(value, dict):
        raise ModelFileError(f"{folder}: the {what} must be a JSON object, not {shorten(json.dumps(value), 40)}")
    return value
