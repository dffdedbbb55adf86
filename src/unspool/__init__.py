"""unspool: recurrent and convolutional sequence models on your own text, on an ordinary CPU.

`unspool.nn` and the estimators load torch when they are first used, not when the package is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unspool._version import __version__

if TYPE_CHECKING:
    from unspool import nn
    from unspool.estimators import LanguageModel, SequenceClassifier, SequenceTagger, Translator

__all__ = ["LanguageModel", "SequenceClassifier", "SequenceTagger", "Translator", "__version__", "nn"]


def __getattr__(name: str) -> Any:
    if name == "nn":
        import unspool.nn as module

        return module
    if name in __all__:
        from unspool import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'unspool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
