"""Finds the compiled core, or says why it is not in use.

`UNSPOOL_ISA` forces an instruction set (`scalar`, `avx2`, `avx512`, `neon`; default: the best present); `off` turns the
core off. Without it every layer takes torch's fused operation or the plain definition in `ops/reference.py`, with the
same answers; unless it was turned off, that is logged once, as a warning: a line on stderr where nobody has set up
logging, as in the command.
"""

from __future__ import annotations

import logging
import os
from types import ModuleType

from unspool import _version
from unspool.errors import SettingError

_native: ModuleType | None
try:
    from unspool import _native  # type: ignore[no-redef]
except ImportError:
    _native = None


_told = ""  # the value of UNSPOOL_ISA that the core was last told
_missed = False  # whether it has been told that there is no core


def core() -> ModuleType | None:
    """The compiled module, or None when it is absent, of another version, or turned off.

    Raises SettingError for an instruction set in UNSPOOL_ISA that is unknown or that this CPU lacks.
    """
    global _told
    wanted = os.environ.get("UNSPOOL_ISA", "")
    if wanted == "off":
        return None
    if _native is None or _native.version() != _version.__version__:
        _tell_missing()
        return None
    if wanted != _told:
        try:
            _native.choose_target(wanted)
        except ValueError as error:
            raise SettingError(str(error)) from None
        _told = wanted
    return _native


def _tell_missing() -> None:
    """Once a process: at the first work that the core would have done."""
    global _missed
    if not _missed:
        _missed = True
        logging.getLogger("unspool").warning("unspool: computing without the compiled core, more slowly: %s", backend())


def present() -> ModuleType:
    """The module of `core` where that was asked in the same call or its forward pass: asking takes microseconds."""
    assert _native is not None
    return _native


def backend() -> str:
    """One line for `unspool doctor`: what computes, and why."""
    if os.environ.get("UNSPOOL_ISA") == "off":
        return "off (UNSPOOL_ISA=off)"
    if _native is None:
        return "absent: install again with a C++ compiler present (pip cache: use --no-cache-dir)"
    if _native.version() != _version.__version__:
        return f"ignored: compiled for {_native.version()}, this is {_version.__version__}; install again"
    core()
    return f"compiled core {_native.version()} ({_native.target()})"
