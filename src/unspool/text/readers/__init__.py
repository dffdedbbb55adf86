"""Labelled texts, and texts alone, from the files people have.

`read_labelled` and `read_tagged` serve training and evaluation, `read_texts` prediction, `read_documents` language
models. What is detected (format, encoding, separator, header, columns) is told in `notes`, one short line each, and
every detection can be overridden with `ReadOptions`. Texts and labels are never altered, but line ends of running
text. A file that cannot be used raises DataError.
"""

from __future__ import annotations

from unspool.text.readers.documents import Documents, Piece, read_documents
from unspool.text.readers.labelled import LabelledTexts, check_labels, read_labelled
from unspool.text.readers.options import FORMATS, TAGGED_FORMATS, ReadOptions
from unspool.text.readers.pairs import Pairs, looks_paired, read_pairs, read_sources, table_kind
from unspool.text.readers.tagged import TaggedSentences, looks_tagged, read_tagged
from unspool.text.readers.unlabelled import Texts, read_texts

__all__ = [
    "FORMATS",
    "TAGGED_FORMATS",
    "Documents",
    "LabelledTexts",
    "Pairs",
    "Piece",
    "ReadOptions",
    "TaggedSentences",
    "Texts",
    "check_labels",
    "looks_paired",
    "looks_tagged",
    "read_documents",
    "read_labelled",
    "read_pairs",
    "read_sources",
    "read_tagged",
    "read_texts",
    "table_kind",
]
