"""Corpora by name: what there is, where it is from, and a file of it on this disk.

`known()` is the table, `find(name)` one entry of it, `fetch(name)` the path of its file, fetched once and cached, and
`locate(given)` what stands for a path or a name wherever data is asked for. docs: `unspool data list`.
"""

from unspool.corpora.cache import Cached, cached
from unspool.corpora.catalogue import OFFLINE_CLASSIFY, OFFLINE_GENERATE, OFFLINE_TRANSLATE, find, known
from unspool.corpora.entry import Content, Corpus, CorpusError
from unspool.corpora.fetching import fetch, locate, resolve

__all__ = [
    "OFFLINE_CLASSIFY",
    "OFFLINE_GENERATE",
    "OFFLINE_TRANSLATE",
    "Cached",
    "Content",
    "Corpus",
    "CorpusError",
    "cached",
    "fetch",
    "find",
    "known",
    "locate",
    "resolve",
]
