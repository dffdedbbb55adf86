"""`unspool doctor`: what is installed and what computes."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from unspool.cli.output import result, result_json

LIBRARIES = ("torch", "numpy", "safetensors", "tokenizers", "scikit-learn", "pydantic", "cyclopts", "rich")


def doctor(*, json: bool = False) -> None:
    """Print versions, the compute backend in use, and the threads.

    Parameters
    ----------
    json
        One JSON object on stdout.
    """
    facts = _facts()
    if json:
        result_json(facts)
        return
    for name, value in facts.items():
        result(f"{name:14} {value}")


def _facts() -> dict[str, Any]:
    import torch

    from unspool import native
    from unspool._version import __version__

    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {
        "unspool": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "native": native.backend(),
        "threads": torch.get_num_threads(),
        **versions,
    }
