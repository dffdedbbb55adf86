"""Python's own text: from the real interpreter without any network, and from a small library made here."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest

from unspool import corpora
from unspool.corpora import standard_library
from unspool.corpora.standard_library import docstring_sentences, library_files, read_source

MODULE = b'''"""A module about files. It reads them slowly and carefully!

    >>> read("x")      is an example, not a sentence about it.

Usage table  with columns that are not prose at all.
"""
class A:
    """Short one.

    A method is documented
    over two lines. see lower case start here.
    """
    def f(self):
        if True:
            async def g():
                """Inner functions have docstrings as well."""
'''


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lib"
    folder.mkdir()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(folder))
    return folder


def write(folder: Path, **sources: str) -> None:
    for name, source in sources.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


def test_sentences_of_docstrings_are_prose_on_one_line() -> None:
    assert set(docstring_sentences(MODULE)) == {
        "A module about files.",
        "It reads them slowly and carefully!",
        "A method is documented over two lines. see lower case start here.",
        "Inner functions have docstrings as well.",
    }
    assert list(docstring_sentences(b"def broken(:\n")) == []


def test_a_sentence_belongs_to_one_topic(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_library, "LEAST_SENTENCES", 1)
    both = "This method must be overridden."
    twice = '"""Decodes one document of text.'
    write(library, json__decoder=f'{twice}\n\n{both}"""\ndef f():\n    {twice}"""\n')
    write(library, socket=f'"""Connects to a host.\n\n{both}"""', test__json='"""Never read at all."""')
    write(library, unlisted='"""A module without a topic."""')
    content = standard_library.read_docstrings()
    rows = [json.loads(line) for line in content.data.decode().splitlines()]
    assert rows == [
        {"text": "Decodes one document of text.", "label": "text"},
        {"text": "Connects to a host.", "label": "network"},
    ]
    assert content.classes == {"text": 1, "network": 1}


def test_only_the_librarys_own_modules_are_read(library: Path) -> None:
    write(library, a="a = 1\n", b__c="c = 2\n", test__t="t = 3\n", encodings__koi8="k = 4\n")
    (library / "site-packages" / "torch").mkdir(parents=True)
    (library / "site-packages" / "torch" / "x.py").write_text("x = 5\n")
    (library / "data.txt").write_text("no\n")
    assert [path.relative_to(library).as_posix() for path in library_files()] == ["a.py", "b/c.py"]


def test_a_stripped_library_says_so(library: Path) -> None:
    write(library, socket='"""Connects to a host by its name."""')
    for name in ("python-docstrings", "python-reference", "python-source"):
        with pytest.raises(corpora.CorpusError, match="installed without its sources; use a full installation"):
            corpora.fetch(name)


def test_the_reference_is_topics_then_modules(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_library, "LEAST_CHARACTERS", 1)
    write(library, a='"""The module a."""\n')
    write(library, pydoc_data__topics="topics = {'if': 'The if statement\\n', 'for': r'''Loops'''}\n")
    write(library, pydoc_data__module_docs="module_docs = {'array': 'array#module-array'}\n")
    assert standard_library.read_reference().data == b"The if statement\n\nLoops\n\nThe module a.\n"


def test_source_in_another_encoding_is_left_out(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_library, "LEAST_CHARACTERS", 1)
    write(library, a="a = 1\n", c="c = 'é'\n")
    (library / "b.py").write_bytes("# coding: latin-1\nb = 'é'\n".encode("latin-1"))
    assert read_source().data.decode() == "a = 1\n\nc = 'é'\n"


def test_the_offline_corpora_need_no_network(no_network: None) -> None:
    """The real standard library of this interpreter; its figures differ a little between versions."""
    rows = [json.loads(line) for line in corpora.fetch("python-docstrings").read_text("utf-8").splitlines()]
    labels = [row["label"] for row in rows]
    assert len(rows) > 5000 and len({row["text"] for row in rows}) == len(rows)
    assert min(labels.count(topic) for topic in set(standard_library.TOPICS.values())) > 200
    reference = corpora.fetch("python-reference").read_text("utf-8")
    assert 'The "for" statement' in reference and len(reference) > 400_000
    source = corpora.fetch("python-source").read_text("utf-8")
    assert "def " in source and len(source) > 3_000_000
