"""What every predictor is: settings, figures, and the way to files and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from unspool.config import Settings


class Predictor(ABC):
    """A trained model with everything that turns texts into its answers.

    Class attributes, one row of the table in the package:
        task: its name on the command line and in config.json.
        keys: what config.json holds besides format, version, task and settings.
        files: what the folder holds besides config.json, card.json and README.md.

    Attributes:
        settings: what it was trained with.
        card: figures, data fingerprint and versions; plain JSON values.
    """

    task: ClassVar[str]
    keys: ClassVar[frozenset[str]]
    files: ClassVar[frozenset[str]]
    settings: Settings
    card: dict[str, Any]

    def unread(self, texts: Sequence[str]) -> int:  # noqa: ARG002
        """How many texts hold nothing that the model knows, as empty ones do; counted of classifiers only."""
        return 0

    @abstractmethod
    def to_files(self, folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The values of `keys` and the contents of `files`; `folder` is named when a weight is not finite."""

    @classmethod
    @abstractmethod
    def from_files(
        cls, values: Mapping[str, Any], settings: Settings, contents: Mapping[str, bytes], folder: Path
    ) -> Self:
        """The predictor; ModelFileError naming the file when anything in it is not as `settings` describe."""

    @abstractmethod
    def parameters(self) -> int:
        """Number of weights."""
