"""Reading a Keras file as data: its description, a JSON text, and its weights, arrays by name. Nothing in it is run.

`.keras` (Keras 3) is a zip archive of config.json and model.weights.h5; `.h5` (Keras 2, and Keras 3's legacy form) is
HDF5 with the description in an attribute. Nothing is unpacked to disk, links that lead out of the file are not
followed, and an array is read only when it has the shape expected and is stored in full.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unspool import files
from unspool.errors import ModelFileError, UsageError, shorten

FILE_LIMIT = 2 * 2**30
CONFIG_LIMIT = 16 * 2**20
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
FIND: dict[str, tuple[str, ...]] = {
    "Bidirectional": ("forward_layer/cell", "backward_layer/cell"),
    "SimpleRNN": ("cell",),
    "LSTM": ("cell",),
    "GRU": ("cell",),
}
"""Where a layer's arrays are below its folder in model.weights.h5; in the folder itself by default."""

_RAISED_BY_H5PY = (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError, OverflowError)

Arrays = list[npt.NDArray[np.float32]]
Read = Callable[[str, str, str, Sequence[tuple[int, ...]]], Arrays]


@contextmanager
def open_keras(path: Path) -> Iterator[tuple[dict[str, Any], Read]]:
    """The description of the model in `path`, and read(stored name, class, layer name, shapes) → its arrays.

    Raises ModelFileError for anything that is not an undamaged Keras file, UsageError when h5py is missing.
    """
    h5py = _h5py()
    content = _content(path)
    if content.startswith(b"PK"):
        config, weights = _unzip(content, path)
        with _hdf5(h5py, weights, path) as file:
            yield config, lambda stored, kind, _, shapes: _read_native(h5py, file, stored, kind, shapes, path)
    elif content.startswith(HDF5_MAGIC):
        with _hdf5(h5py, content, path) as file:
            config = _mapping(files.parse_json(_text(file.attrs.get("model_config")), path), path)
            weights = _walk(h5py, file, "model_weights", path)
            yield config, lambda _, __, name, shapes: _read_legacy(h5py, weights, name, shapes, path)
    else:
        raise ModelFileError(f"{path.name} is neither a .keras archive nor an HDF5 file")


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise UsageError("reading Keras files needs h5py: python -m pip install 'unspool[keras]'") from error
    return h5py


def _content(path: Path) -> bytes:
    try:
        if not path.exists():
            raise ModelFileError(f"there is no file {shorten(path, 300)}")
        if not path.is_file() or path.stat().st_size > FILE_LIMIT:
            raise ModelFileError(f"{shorten(path, 300)} is not a plain file of at most {FILE_LIMIT:,} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{shorten(path, 300)} cannot be read: {shorten(error, 200)}") from error


def _unzip(content: bytes, path: Path) -> tuple[dict[str, Any], bytes]:
    """config.json and model.weights.h5 out of the archive, each no larger than it says and may be."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            config = _member(archive, "config.json", CONFIG_LIMIT)
            weights = _member(archive, "model.weights.h5", len(content) + 2**20)  # Keras stores it uncompressed
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ModelFileError(f"{path.name} is not a .keras archive: {shorten(error, 200)}") from error
    return _mapping(files.parse_json(config, path), path), weights


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    with archive.open(name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name} is larger than the {limit:,} bytes allowed")
    return content


@contextmanager
def _hdf5(h5py: Any, content: bytes, path: Path) -> Iterator[Any]:
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            yield file
    except _RAISED_BY_H5PY as error:
        raise ModelFileError(f"{path.name} is damaged: {shorten(error, 200)}") from error


def _read_native(h5py: Any, file: Any, stored: str, kind: str, shapes: Sequence[tuple[int, ...]], path: Path) -> Arrays:
    """The arrays of a layer in model.weights.h5: numbered, each in the folder of its part."""
    parts = FIND.get(kind, ("",))
    found: Arrays = []
    for part in parts:
        own = shapes[len(found) : len(found) + len(shapes) // len(parts)]
        for number, shape in enumerate(own):
            place = "/".join(name for name in ("layers", stored, part, "vars", str(number)) if name)
            found.append(_array(h5py, _walk(h5py, file, place, path), shape, place, path))
    return found


def _read_legacy(h5py: Any, weights: Any, name: str, shapes: Sequence[tuple[int, ...]], path: Path) -> Arrays:
    """The arrays of a layer in a legacy file: those that its attribute weight_names lists, in that order."""
    if not shapes:
        return []
    folder = _walk(h5py, weights, name, path)
    names = [_text(value).decode() for value in np.asarray(folder.attrs.get("weight_names", ())).ravel()[:64]]
    if len(names) != len(shapes):
        raise ModelFileError(f"{path.name}: layer {shorten(name)!r} has {len(names)} arrays, expected {len(shapes)}")
    return [
        _array(h5py, _walk(h5py, folder, own, path), shape, own, path) for own, shape in zip(names, shapes, strict=True)
    ]


def _walk(h5py: Any, group: Any, place: str, path: Path) -> Any:
    """What stands at `place`, by links that stay inside the file."""
    for part in place.split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise ModelFileError(f"{path.name} has no weights at {shorten(place, 200)}")
        group = group[part]
    return group


def _array(h5py: Any, found: Any, shape: tuple[int, ...], place: str, path: Path) -> npt.NDArray[np.float32]:
    """The values of an array after its shape, type and storage have been compared with what was expected."""
    where = f"{path.name}: {shorten(place, 200)}"
    if not isinstance(found, h5py.Dataset) or found.shape != shape:
        has = shorten(getattr(found, "shape", "nothing"), 60)
        raise ModelFileError(f"{where} has shape {has}, the description needs {shape}")
    if found.dtype.kind != "f" or found.dtype.itemsize > 8:
        raise ModelFileError(f"{where} holds {shorten(found.dtype, 40)}, expected floating-point numbers")
    if found.external or found.is_virtual or found.id.get_storage_size() != found.nbytes:
        raise ModelFileError(f"{where} is compressed, in parts, or in another file: save the model anew with Keras")
    values = np.asarray(found[()], np.float32)
    if not np.isfinite(values).all():
        raise ModelFileError(f"{where} holds a value that is not finite")
    return values


def _text(value: Any) -> bytes:
    """The bytes of an attribute that is a text."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return bytes(value)
    raise ModelFileError("the file holds no description of a Keras model: save the whole model, not its weights alone")


def _mapping(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelFileError(f"{path.name} holds no description of a model")
    return value
