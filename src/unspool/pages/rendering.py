"""From a template and values to the bytes of a page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: str, **values: Any) -> bytes:
    """The page of that template (a name below `templates/`), UTF-8; half a surrogate pair becomes a question mark."""
    return _environment().get_template(template).render(values).encode("utf-8", errors="replace")


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
