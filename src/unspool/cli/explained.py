"""The help of a command that is called: what its docstring says above the parameters."""

from __future__ import annotations

import importlib
import inspect


def explained(place: str) -> str:
    """The paragraphs of the function at `module:name`, each in one line, which the terminal breaks where it ends."""
    module, _, name = place.partition(":")
    text = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
    paragraphs = text.split("\nParameters\n")[0].strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
