"""Charts and pictures against what was put in; texts stay texts."""

from __future__ import annotations

import base64
import itertools
import re
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest

from unspool.pages import heat_map, line_chart, percent, si
from unspool.pages.charts import HEIGHT, LEFT, RIGHT, WIDTH, Line
from unspool.pages.images import png


def pixels_of(content: bytes) -> np.ndarray:
    """A reader of the PNGs written here, chunk by chunk with their checksums."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        assert struct.unpack(">I", content[place + 8 + size : place + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind], place = body, place + 12 + size
    columns, rows, bits, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (bits, kind) == (8, 2)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, 1 + 3 * columns)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(rows, columns, 3)


def test_png_holds_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(png(pixels)), pixels)


def test_heat_map_takes_the_ends_of_the_colours() -> None:
    image = heat_map(np.array([[-1.0, 0.0, 2.0, np.nan]]), -1.0, 1.0, title='a "<b>')
    assert 'alt="a &#34;&lt;b&gt;"' in image
    found = re.search(r"base64,([^\"]+)", image)
    assert found is not None
    colours = pixels_of(base64.b64decode(found[1]))[0].tolist()
    assert colours == [[33, 102, 172], [247, 247, 247], [178, 24, 43], [160, 160, 160]]


@pytest.mark.parametrize("log", [False, True])
def test_lines_lie_where_their_values_are(log: bool) -> None:
    points = [(1.0, 10.0), (10.0, 100.0), (100.0, 1000.0)]
    chart = ElementTree.fromstring(line_chart([Line("a <b>", points, points[:1])], "x & y", "z", log=log))
    (path,) = chart.iter("polyline")
    places = [tuple(map(float, pair.split(","))) for pair in path.attrib["points"].split()]
    assert places[0][0] == LEFT and places[2][0] == WIDTH - RIGHT
    share = 0.5 if log else 9 / 99
    assert places[1][0] == pytest.approx(LEFT + share * (WIDTH - RIGHT - LEFT), abs=0.02)
    assert places[2][1] < places[1][1] < places[0][1] < HEIGHT
    assert [text.text for text in chart.iter("text") if text.get("class") == "name"] == ["a <b>"]
    (dot,) = chart.iter("circle")
    assert (float(dot.attrib["cx"]), float(dot.attrib["cy"])) == places[0]


def test_charts_of_little_or_nothing() -> None:
    assert "nothing" in line_chart([], "x", "y")
    ElementTree.fromstring(line_chart([Line("a", [(3.0, 3.0)])], "x", "y"))
    assert "nothing" in line_chart([Line("a", [(0.0, -1.0)])], "x", "y", log=True)


def test_names_at_the_ends_do_not_cover_each_other() -> None:
    lines = [Line(f"line {k}", [(0.0, 0.0), (1.0, 1.0 + k / 1000)]) for k in range(8)]
    chart = ElementTree.fromstring(line_chart(lines, "x", "y"))
    heights = sorted(float(text.attrib["y"]) for text in chart.iter("text") if text.get("class") == "name")
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 12.9 and heights[-1] <= HEIGHT


def test_numbers_for_people() -> None:
    assert [si(0), si(999), si(1234567), si(25_000_000_000)] == ["0", "999", "1.23 M", "25 G"]
    assert percent(0.1234) == "12.3 %"
