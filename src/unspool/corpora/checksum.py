"""The check that fetched bytes are the ones meant, made before anything reads them."""

from __future__ import annotations

import hashlib

from unspool.corpora.entry import CorpusError
from unspool.errors import shorten


def check_sha256(data: bytes, expected: str, origin: str) -> None:
    """Raise CorpusError unless `data` has the SHA-256 `expected` (lower-case hex)."""
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise CorpusError(
            f"{shorten(origin, 200)} has SHA-256 {found[:12]}… where {expected[:12]}… was expected: it is not the file "
            f"meant, and nothing of it was kept"
        )
