"""Self-contained HTML pages: no script, no network, and every text from outside stands as text.

Templates are Jinja's with autoescape on; the pages' content security policy forbids everything but their own style
and the pictures inside them. charts.py draws lines as SVG, images.py turns numbers into small PNG pictures.
"""

from __future__ import annotations

from typing import Any

from unspool.pages.charts import line_chart
from unspool.pages.images import heat_map
from unspool.pages.rendering import render

__all__ = ["heat_map", "line_chart", "render"]


def percent(share: float) -> str:
    """12.3 %"""
    return f"{100 * share:.1f} %"


def si(value: Any) -> str:
    """A count with three digits and a prefix: 1.23 M."""
    size = float(value)
    for prefix in ("", " k", " M", " G"):
        if abs(size) < 999.5:
            return f"{size:.3g}{prefix}"
        size /= 1000
    return f"{size:,.3g} T"
