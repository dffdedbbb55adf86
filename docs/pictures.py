"""Draws the cells as SVG: what flows in, through which gate, and out. Run by conf.py; the drawings are not kept."""

from __future__ import annotations

from html import escape
from pathlib import Path

Box = tuple[str, int, int, str]  # text, column, row, kind
Edge = tuple[int, int]

WIDTH, HEIGHT, COLUMN, ROW = 98, 34, 136, 62
FILL = {"in": "#dbe9f6", "gate": "#fde3c0", "sum": "#e4e4e4", "state": "#d9efd6", "out": "#d9efd6"}

CELLS: dict[str, tuple[list[Box], list[Edge]]] = {
    "rnn": (
        [
            ("xₜ", 0, 1, "in"), ("hₜ₋₁", 0, 0, "in"), ("W h + U x + b", 1, 0, "sum"), ("φ", 2, 0, "gate"),
            ("hₜ", 3, 0, "out"),
        ],
        [(0, 2), (1, 2), (2, 3), (3, 4)],
    ),
    "gru": (
        [
            ("hₜ₋₁", 0, 0, "in"), ("xₜ", 0, 2, "in"), ("r  σ", 1, 1, "gate"), ("z  σ", 1, 2, "gate"),
            ("r ⊙ W h", 2, 1, "sum"), ("n  φ", 3, 1, "gate"), ("(1−z)n + z h", 4, 0, "sum"), ("hₜ", 5, 0, "out"),
        ],
        [(0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (2, 4), (4, 5), (1, 5), (3, 6), (5, 6), (0, 6), (6, 7)],
    ),
    "lstm": (
        [
            ("cₜ₋₁", 0, 0, "in"), ("hₜ₋₁", 0, 1, "in"), ("xₜ", 0, 3, "in"), ("f  σ", 1, 0, "gate"),
            ("i  σ", 1, 1, "gate"), ("g  φ", 1, 2, "gate"), ("o  σ", 1, 3, "gate"),
            ("f c + i g", 2, 0, "sum"), ("cₜ", 3, 0, "state"),
            ("o φ(c)", 3, 2, "sum"), ("hₜ", 4, 2, "out"),
        ],
        [(1, 3), (2, 3), (1, 4), (2, 4), (1, 5), (2, 5), (1, 6), (2, 6), (0, 7), (3, 7), (4, 7), (5, 7), (7, 8),
         (8, 9), (6, 9), (9, 10)],
    ),
    "prototype": (
        [
            ("sₜ₋₁", 0, 0, "in"), ("xₜ", 0, 3, "in"), ("f  σ", 1, 0, "gate"), ("i  σ", 1, 1, "gate"),
            ("o  σ", 1, 3, "gate"), ("o ⊙ s", 2, 3, "sum"), ("s̃  φ", 3, 2, "gate"),
            ("f s + i s̃", 4, 0, "sum"), ("sₜ", 5, 0, "out"),
        ],
        [(0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (1, 4), (4, 5), (0, 5), (5, 6), (1, 6), (2, 7), (3, 7), (6, 7),
         (0, 7), (7, 8)],
    ),
}  # fmt: skip
"""Name → boxes and the arrows between them, by number."""


def draw(boxes: list[Box], edges: list[Edge]) -> str:
    """One cell as an SVG document."""
    width = (max(box[1] for box in boxes) + 1) * COLUMN
    height = (max(box[2] for box in boxes) + 1) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-6 -6 {width} {height}" width="{width}" '
        'font-family="sans-serif" font-size="13">',
        '<rect x="-6" y="-6" width="100%" height="100%" fill="#fff"/>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#666"/></marker></defs>',
    ]
    for start, end in edges:
        (x1, y1), (x2, y2) = _right(boxes[start]), _left(boxes[end])
        middle = (x1 + x2) / 2
        path = f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"
        parts.append(f'<path d="{path}" fill="none" stroke="#666" marker-end="url(#a)"/>')
    for text, column, row, kind in boxes:
        x, y = column * COLUMN, row * ROW
        parts.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{FILL[kind]}" stroke="#888"/>'
        )
        parts.append(f'<text x="{x + WIDTH / 2}" y="{y + 22}" text-anchor="middle">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def draw_all(folder: Path) -> None:
    """Every cell's drawing in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (boxes, edges) in CELLS.items():
        (folder / f"{name}.svg").write_text(draw(boxes, edges), encoding="utf-8")


def _right(box: Box) -> tuple[int, int]:
    return box[1] * COLUMN + WIDTH, box[2] * ROW + HEIGHT // 2


def _left(box: Box) -> tuple[int, int]:
    return box[1] * COLUMN, box[2] * ROW + HEIGHT // 2
