"""Finds the compiled core, or says why it is not in use.

`UNSPOOL_ISA=off` turns it off; without it every layer takes torch's fused operation or the plain
definition in `ops/reference.py`, with the same answers.
"""

from __future__ import annotations

import os
from types import ModuleType

from unspool import _version

_native: ModuleType | None
try:
    from unspool import _native  # type: ignore[no-redef]
except ImportError:
    _native = None


def core() -> ModuleType | None:
    """The compiled module, or None when it is absent, of another version, or turned off."""
    if _native is None or os.environ.get("UNSPOOL_ISA") == "off":
        return None
    return _native if _native.version() == _version.__version__ else None


def backend() -> str:
    """One line for `unspool doctor`: what computes, and why."""
    if os.environ.get("UNSPOOL_ISA") == "off":
        return "off (UNSPOOL_ISA=off)"
    if _native is None:
        return "absent: install again with a C++ compiler present (pip cache: use --no-cache-dir)"
    if _native.version() != _version.__version__:
        return f"ignored: compiled for {_native.version()}, this is {_version.__version__}; install again"
    return f"compiled core {_native.version()}"
