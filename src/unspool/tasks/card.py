"""The part of card.json that the models of all tasks share."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch

from unspool._version import __version__
from unspool.errors import shorten
from unspool.tasks.base import Outcome

NAME_LENGTH = 255


def card(name: str, fingerprint: str | None, counts: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """Data, figures, cost and versions as plain JSON values.

    name: of the data, without its folders. counts: what else is told of the data.
    """
    return {
        "data": {"name": shorten(name, NAME_LENGTH), "fingerprint": fingerprint, **counts},  # a name may be no text
        "validation": outcome.validation,
        "epochs": outcome.epochs,
        "seconds": round(outcome.seconds, 1),
        "parameters": outcome.predictor.parameters(),
        "versions": {"unspool": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
