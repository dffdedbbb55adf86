"""The table: every entry is complete, and a wrong name is answered with the nearest one."""

from __future__ import annotations

import re

import pytest

from unspool import corpora
from unspool.corpora.standard_library import Interpreter
from unspool.corpora.wheels import Wheel

EVERY = pytest.mark.parametrize("corpus", corpora.known(), ids=lambda corpus: corpus.name)


@EVERY
def test_an_entry_says_all_it_must(corpus: corpora.Corpus) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", corpus.name)
    assert corpus.task in ("classify", "generate", "translate")
    assert corpus.licence and corpus.origin and corpus.about
    assert re.fullmatch(r"(about )?[\d,]+ (bytes|pairs|texts, \d+ classes)", corpus.size)
    assert corpora.find(corpus.name) is corpus


@EVERY
def test_what_is_fetched_is_pinned(corpus: corpora.Corpus) -> None:
    if isinstance(corpus.source, Wheel):
        assert re.fullmatch(r"\d+(\.\d+)+", corpus.source.release)
        assert re.fullmatch(r"[0-9a-f]{64}", corpus.source.sha256)
        assert not corpus.offline
    else:
        assert isinstance(corpus.source, Interpreter) and corpus.offline


def test_names_are_unique_and_the_offline_ones_are_offline() -> None:
    names = [corpus.name for corpus in corpora.known()]
    assert len(set(names)) == len(names)
    offline = {"classify": corpora.OFFLINE_CLASSIFY, "generate": corpora.OFFLINE_GENERATE}
    for task, name in (offline | {"translate": corpora.OFFLINE_TRANSLATE}).items():
        corpus = corpora.find(name)
        assert corpus is not None and corpus.offline and corpus.task == task


def test_an_unknown_name_is_answered_with_the_nearest(no_network: None) -> None:
    assert corpora.find("shakespear") is None
    with pytest.raises(corpora.CorpusError, match=r"no corpus is called 'shakespear' \(did you mean 'shakespeare'\?\)"):
        corpora.fetch("shakespear")
    with pytest.raises(corpora.CorpusError, match="no corpus is called 'zzz'; known: film-reviews, newsgroups"):
        corpora.fetch("zzz")
