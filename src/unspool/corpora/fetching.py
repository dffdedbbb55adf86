"""From a name to a file on disk: out of the cache when it is whole and current, else from the source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unspool.corpora.archives import corpus_at
from unspool.corpora.cache import cached, store
from unspool.corpora.catalogue import OFFLINE, OFFLINE_CLASSIFY, find, unknown
from unspool.corpora.entry import Corpus, CorpusError
from unspool.errors import shorten


def ignore(_message: str) -> None:
    """The notice that tells nobody."""


def fetch(name: str, *, refresh: bool = False, notice: Callable[[str], None] = ignore) -> Path:
    """The file of the corpus `name` (or of an address with a checksum, see `archives`), fetched when it is not cached.

    The file is JSON lines with the keys text and label for a corpus to classify, and UTF-8 text for one to generate;
    SOURCE.json beside it says where it is from. `refresh` makes it anew; `notice` receives progress in sentences.
    Raises CorpusError: unknown name, no network (naming a corpus that needs none), wrong checksum.
    """
    corpus = resolve(name)
    if not refresh and (copy := cached(corpus)):
        return copy.path
    try:
        content = corpus.source.read(notice)
    except CorpusError as error:
        raise _with_alternative(error, corpus) from error
    path = store(corpus, content)
    notice(f"{corpus.name}: {content.size}; licence {corpus.licence}; from {shorten(corpus.origin, 200)}")
    return path


def locate(given: str, *, notice: Callable[[str], None] = ignore) -> Path:
    """The file or folder that stands for `given` wherever data is asked for: a local path, else a corpus's name.

    A path that exists comes first, so that a corpus added later never hides a user's file.
    Raises CorpusError when it is neither.
    """
    if _exists(given):
        if find(given) is not None:
            notice(f"{given} is a file here and also a corpus: the file is used")
        return Path(given)
    if "://" not in given and find(given) is None:
        raise CorpusError(f"{shorten(given, 200)!r} does not exist as a file, and {unknown(given)}")
    return fetch(given, notice=notice)


def resolve(name: str) -> Corpus:
    """The entry of a name or of an address with a checksum. Raises CorpusError for anything else."""
    if "://" in name:
        return corpus_at(name)
    corpus = find(name)
    if corpus is None:
        raise unknown(name)
    return corpus


def _exists(given: str) -> bool:
    try:
        return given != "" and Path(given).exists()
    except OSError:  # longer than a path may be
        return False


def _with_alternative(error: CorpusError, corpus: Corpus) -> CorpusError:
    if corpus.offline:
        return error
    alternative = OFFLINE.get(str(corpus.task), OFFLINE_CLASSIFY)
    return CorpusError(f"{error}; without a network use {alternative!r}, which ships with Python")
