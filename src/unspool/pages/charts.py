"""Lines and dots over two axes, as SVG inside a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

Point = tuple[float, float]

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 110, 14, 42
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d35400", "#16808d", "#7f6000", "#5d6d7e", "#c71585", "#333333")


@dataclass(frozen=True)
class Line:
    """A line with its name at its end, and dots of the same colour."""

    name: str
    points: Sequence[Point]
    dots: Sequence[Point] = field(default=())


def line_chart(lines: Sequence[Line], x_label: str, y_label: str, *, log: bool = False) -> Markup:
    """An <svg> of up to ten lines; `log`: both axes logarithmic, and points that are not above 0 are left out."""
    if log:
        lines = [Line(line.name, _above_zero(line.points), _above_zero(line.dots)) for line in lines]
    every = [point for line in lines for point in (*line.points, *line.dots)]
    if not every:
        return Markup("<p>nothing to draw</p>")
    across = _Axis([x for x, _ in every], LEFT, WIDTH - RIGHT, log)
    up = _Axis([y for _, y in every], HEIGHT - BOTTOM, TOP, log)
    parts = [_grid(across, up), *_named_lines(lines, across.place, up.place)]
    parts.append(
        Markup('<text class="axis" x="{}" y="{}">{}</text>').format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label)
    )
    parts.append(
        Markup('<text class="axis" transform="translate(13,{}) rotate(-90)">{}</text>').format(
            (TOP + HEIGHT - BOTTOM) / 2, y_label
        )
    )
    start = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    return start.format(WIDTH, HEIGHT, f"{y_label} against {x_label}") + Markup("").join(parts) + Markup("</svg>")


class _Axis:
    """From values to places in the picture."""

    def __init__(self, values: Sequence[float], start: float, end: float, log: bool) -> None:
        self._scale: Callable[[float], float] = math.log10 if log else float
        self.log, self.start, self.end = log, start, end
        low, high = min(values), max(values)
        if high <= low:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        self.low, self.high = self._scale(low), self._scale(high)
        self.least_step = 1.0 if all(value == int(value) for value in values) else 0.0  # no half epochs

    def place(self, value: float) -> float:
        share = (self._scale(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[float]:
        """Round values inside the axis."""
        if self.log and self.high - self.low >= 0.7:
            factors = (1, 2, 5) if self.high - self.low < 2.5 else (1,)
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            found = [factor * 10.0**power for power in powers for factor in factors]
            return [tick for tick in found if self.low - 1e-9 <= math.log10(tick) <= self.high + 1e-9]
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        step = 10 ** math.floor(math.log10((high - low) / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= 6)
        step = max(step, self.least_step)
        return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _grid(across: _Axis, up: _Axis) -> Markup:
    parts = []
    for tick in across.ticks():
        x = across.place(tick)
        parts.append(Markup('<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x, TOP, HEIGHT - BOTTOM))
        parts.append(Markup('<text class="tick" x="{}" y="{}">{}</text>').format(x, HEIGHT - BOTTOM + 14, _short(tick)))
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(Markup('<line class="grid" y1="{0}" y2="{0}" x1="{1}" x2="{2}"/>').format(y, LEFT, WIDTH - RIGHT))
        parts.append(Markup('<text class="tick left" x="{}" y="{}">{}</text>').format(LEFT - 5, y + 4, _short(tick)))
    return Markup("").join(parts)


def _named_lines(lines: Sequence[Line], across: Callable[[float], float], up: Callable[[float], float]) -> list[Markup]:
    parts = []
    for k, (line, label) in enumerate(zip(lines, _label_places(lines, up), strict=True)):
        colour = COLOURS[k % len(COLOURS)]
        path = " ".join(f"{across(x)},{up(y)}" for x, y in line.points)
        parts.append(Markup('<polyline points="{}" stroke="{}"/>').format(path, colour))
        for x, y in line.dots:
            parts.append(Markup('<circle cx="{}" cy="{}" r="3.2" fill="{}"/>').format(across(x), up(y), colour))
        parts.append(
            Markup('<text class="name" x="{}" y="{}" fill="{}">{}</text>').format(
                WIDTH - RIGHT + 6, label, colour, line.name
            )
        )
    return parts


def _label_places(lines: Sequence[Line], up: Callable[[float], float], apart: float = 13.0) -> list[float]:
    """Heights of the names: beside the lines' ends, moved until none covers another."""
    ends = [up((line.points or line.dots)[-1][1]) + 4 if line.points or line.dots else TOP for line in lines]
    places, lowest = [0.0] * len(lines), TOP - apart + 4.0
    for k in sorted(range(len(lines)), key=lambda k: ends[k]):
        lowest = places[k] = max(ends[k], lowest + apart)
    over = max(0.0, lowest - (HEIGHT - 8))
    return [round(place - over, 1) for place in places]


def _above_zero(points: Sequence[Point]) -> list[Point]:
    return [(x, y) for x, y in points if x > 0 and y > 0]


def _short(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value:.4g}"
