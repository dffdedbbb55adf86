"""unspool: recurrent and convolutional sequence models on your own text, on an ordinary CPU.

`unspool.nn` and the estimators load torch when they are first used, not when the package is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unspool._version import __version__

if TYPE_CHECKING:
    from unspool import nn
    from unspool.estimators import SequenceClassifier

__all__ = ["SequenceClassifier", "__version__", "nn"]

_LAZY = {"SequenceClassifier": "unspool.estimators", "nn": "unspool.nn"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'unspool' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if module.__name__ == f"unspool.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
