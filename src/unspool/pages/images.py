"""Numbers as pictures: one pixel a number, as a PNG inside the page."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

Floats = npt.NDArray[np.floating]

# Colours from lowest to highest, RGB: blue over white to red for signed values, white to dark blue for shares.
DIVERGING = np.array([(33, 102, 172), (247, 247, 247), (178, 24, 43)], np.float64)
SEQUENTIAL = np.array([(250, 251, 253), (107, 155, 205), (8, 48, 107)], np.float64)


def heat_map(values: Floats, low: float, high: float, *, title: str) -> Markup:
    """An <img> of values (rows, columns), the first row on top; `low` and `high` take the ends of the colours.

    Diverging colours when low < 0 < high, else sequential ones. Values beyond the ends take the ends' colours; NaN is
    grey. `title` is what a reader without pictures hears.
    """
    share = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0.0, 1.0)
    colours = DIVERGING if low < 0 < high else SEQUENTIAL
    stops = np.linspace(0.0, 1.0, len(colours))
    pixels = np.stack([np.interp(np.nan_to_num(share), stops, colours[:, k]) for k in range(3)], axis=-1)
    pixels[np.isnan(share)] = 160
    data = base64.b64encode(png(pixels.round().astype(np.uint8))).decode()
    return Markup('<img class="heat" alt="{}" src="data:image/png;base64,{}">').format(title, data)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG (ISO 15948) of RGB pixels (rows, columns, 3), 8 bits each, no filter."""
    rows, columns, _ = pixels.shape
    lines = np.zeros((rows, 1 + 3 * columns), np.uint8)
    lines[:, 1:] = pixels.reshape(rows, -1)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
