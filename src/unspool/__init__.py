"""unspool: recurrent and convolutional sequence models on your own text, on an ordinary CPU.

`unspool.nn` and the estimators load torch when they are first used, not when the package is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unspool._version import __version__

if TYPE_CHECKING:
    from unspool import nn
    from unspool.estimators import SequenceClassifier, SequenceTagger
    from unspool.language_model import LanguageModel

__all__ = ["LanguageModel", "SequenceClassifier", "SequenceTagger", "__version__", "nn"]


def __getattr__(name: str) -> Any:
    if name in ("SequenceClassifier", "SequenceTagger"):
        from unspool import estimators

        return getattr(estimators, name)
    if name == "LanguageModel":
        from unspool.language_model import LanguageModel

        return LanguageModel
    if name == "nn":
        import unspool.nn as module

        return module
    raise AttributeError(f"module 'unspool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
