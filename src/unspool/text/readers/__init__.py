"""Labelled texts, and texts alone, from the files people have.

`read_labelled` serves training and evaluation, `read_texts` prediction, `read_documents` language models. What is
detected (format, encoding, separator, header, columns) is told in `notes`, one short line each, and every detection
can be overridden with `ReadOptions`. Texts and labels are never altered, but line ends of running text. A file that
cannot be used raises DataError.
"""

from __future__ import annotations

from unspool.text.readers.documents import Documents, Piece, read_documents
from unspool.text.readers.labelled import LabelledTexts, check_labels, read_labelled
from unspool.text.readers.options import FORMATS, ReadOptions
from unspool.text.readers.unlabelled import Texts, read_texts

__all__ = [
    "FORMATS",
    "Documents",
    "LabelledTexts",
    "Piece",
    "ReadOptions",
    "Texts",
    "check_labels",
    "read_documents",
    "read_labelled",
    "read_texts",
]
