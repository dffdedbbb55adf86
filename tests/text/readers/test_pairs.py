"""Pairs of sentences from every form people have them in, and the refusals."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unspool.errors import DataError, UsageError
from unspool.text.detokenise import detokenise
from unspool.text.readers import ReadOptions, looks_paired, read_pairs, read_sources

ROWS = [("Go.", "Va !"), ('"Hi," he said.', "« Salut », dit-il."), ("Run, now!", "Cours, vite !")]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_two_aligned_files_plain_or_packed(tmp_path: Path) -> None:
    left = write(tmp_path / "a.en", "".join(source + "\r\n" for source, _ in ROWS))
    right = tmp_path / "a.fr.gz"
    right.write_bytes(gzip.compress("\n".join(target for _, target in ROWS).encode()))
    found = read_pairs([left, right])
    assert list(zip(found.sources, found.targets, strict=True)) == ROWS
    assert len(found.fingerprint) == 64
    assert read_pairs([right, left]).fingerprint != found.fingerprint


def test_files_of_different_length_are_refused_with_both_counts(tmp_path: Path) -> None:
    left, right = write(tmp_path / "a.en", "one\ntwo\n"), write(tmp_path / "a.de", "eins\nzwei\ndrei\n")
    with pytest.raises(DataError, match=r"a\.en has 2 lines and .*a\.de has 3: aligned files"):
        read_pairs([left, right])
    with pytest.raises(UsageError, match="got 3 files"):
        read_pairs([left, right, left])


def test_a_tab_separated_table_has_ordinary_quotes_and_further_columns(tmp_path: Path) -> None:
    rows = "".join(f"{source}\t{target}\tCC-BY\n" for source, target in ROWS)
    found = read_pairs([write(tmp_path / "fra.txt", rows)])
    assert list(zip(found.sources, found.targets, strict=True)) == ROWS
    swapped = read_pairs([tmp_path / "fra.txt"], ReadOptions(text_column="2", label_column="1"))
    assert swapped.sources == [target for _, target in ROWS]


@pytest.mark.parametrize("head", ["id,target,source", "id,Target,src", "x,tgt,input"])
def test_a_header_says_which_column_is_which(tmp_path: Path, head: str) -> None:
    found = read_pairs([write(tmp_path / "p.csv", f'{head}\n1,"Va, vite !",Go.\n2,Oui.,Yes.\n')])
    assert (found.sources, found.targets) == (["Go.", "Yes."], ["Va, vite !", "Oui."])
    assert any("with header" in note for note in found.notes)


def test_language_codes_are_a_header_and_words_are_not(tmp_path: Path) -> None:
    assert read_pairs([write(tmp_path / "a.tsv", "en\tde\ndog\tHund\n")]).sources == ["dog"]
    assert read_pairs([write(tmp_path / "b.tsv", "go\tgeh\ndog\tHund\n")]).sources == ["go", "dog"]
    kept = read_pairs([tmp_path / "a.tsv"], ReadOptions(header=False))
    for head in ("English\tfrench", "src\ttgt", "en-GB\tpt_BR"):
        assert read_pairs([write(tmp_path / "c.tsv", f"{head}\ndog\tchien\n")]).sources == ["dog"], head
    assert read_pairs([write(tmp_path / "d.csv", "id,en,fr,note\n7,dog,chien,x\n")]).sources == ["dog"]
    assert read_pairs([write(tmp_path / "e.csv", "id,en\nanjing,dog\n")]).sources == ["anjing"]
    assert kept.sources == ["en", "dog"]


def test_json_lines_and_a_zip(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"id": 1, "en": source, "fr": target}) + "\n" for source, target in ROWS)
    found = read_pairs([write(tmp_path / "p.jsonl", lines)])
    assert list(zip(found.sources, found.targets, strict=True)) == ROWS
    with zipfile.ZipFile(tmp_path / "fra-eng.zip", "w") as archive:
        archive.writestr("_about.txt", "Tatoeba")
        archive.writestr("fra.txt", "".join(f"{source}\t{target}\n" for source, target in ROWS))
    zipped = read_pairs([tmp_path / "fra-eng.zip"])
    assert list(zip(zipped.sources, zipped.targets, strict=True)) == ROWS


def test_a_zip_that_swells_beyond_reason_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unspool.text.readers.pairs.EXPANDED", 2**20)
    for name, content in (("bomb", b"a\tb\n" * 2**20), ("small", b"a\tb\n" * 2**17)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("pairs.txt", content)
    with pytest.raises(DataError, match=r"bomb\.zip swells more than 500-fold when unpacked; refused$"):
        read_pairs([tmp_path / "bomb.zip"])
    assert len(read_pairs([tmp_path / "small.zip"])) == 2**17


def test_an_empty_side_is_left_out_and_told(tmp_path: Path) -> None:
    left, right = write(tmp_path / "a.en", "one\n\nthree\n"), write(tmp_path / "a.de", "eins\nzwei\n \n")
    found = read_pairs([left, right])
    assert (found.sources, found.targets) == (["one"], ["eins"])
    assert "left out: 2 pairs with an empty side" in found.notes


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("e.tsv", "", "is empty"),
        ("e.tsv", "\t\n \t\n", "holds no pairs"),
        ("one.txt", "no tab here\nnor here\n", "where are the pairs"),
        ("one.en", "dogs, cats\nnor here\n", "where are the pairs. Of two aligned files both are given"),
        ("odd.tsv", "a\tb\nc\n", "line 2: 1 fields where the first row has 2"),
        ("one.jsonl", '{"text": "a"}\n', "need two fields of text.*they have 'text'"),
        ("bad.zip", "PK\x03\x04 nothing", "damaged or encrypted zip"),
    ],
)
def test_what_holds_no_pairs_is_refused_in_words(tmp_path: Path, name: str, content: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_pairs([write(tmp_path / name, content)])


def test_an_unknown_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "source,target\na,b\n")
    with pytest.raises(DataError, match=r"no column 'sorce' .*did you mean 'source'"):
        read_pairs([path], ReadOptions(text_column="sorce"))
    with pytest.raises(DataError, match="cannot be the same column"):
        read_pairs([path], ReadOptions(text_column="1", label_column="1"))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,3}( [a-z]{1,3})?", fullmatch=True), st.just("x")), min_size=1))
def test_lines_in_are_pairs_out(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("p") / "p.tsv"
    content = "".join(f"{source}\t{target}\n" for source, target in rows)
    found = read_pairs([write(path, content)], ReadOptions(header=False))
    assert list(zip(found.sources, found.targets, strict=True)) == rows


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("a man , in a hat .", "a man, in a hat."),
        ('he said : " hello " ( twice ) !', 'he said: "hello" (twice)!'),
        ("a two - year - old costs $ 5", "a two-year-old costs $5"),
        ("l'homme « rit »", "l'homme «rit»"),
        ("", ""),
    ],
)
def test_words_become_running_text(tokens: str, text: str) -> None:
    assert detokenise(tokens.split()) == text


def test_a_table_that_names_two_sides_and_a_zip_look_like_pairs(tmp_path: Path) -> None:
    for name, head, paired in (
        ("a.tsv", "source\ttarget\n", True),
        ("b.csv", '\ufeff"EN","de"\r\n', True),
        ("c.tsv", "text\tlabel\n", False),
        ("d.tsv", "de\tde\n", False),
        ("e.tsv", "en\tde\tfr\n", False),
        ("f.txt", "source\ttarget\n", False),
        ("g.csv", "", False),
        ("h.csv", "id,English,German\n", True),
        ("i.csv", "input,output\n", False),
        ("j.csv", "source,target,text\n", False),
        ("k.jsonl", '{"id": 1, "source": "a", "target": "b"}\n', True),
        ("l.jsonl", '{"en": "a", "de": "b"}\n', True),
        ("m.jsonl", '{"text": "a", "target": "b"}\n', False),
        ("n.jsonl", "[1]\n", False),
    ):
        path = write(tmp_path / name, head + ("dog\tHund\n" if head else ""))
        assert looks_paired(path, ReadOptions()) is paired, name
        assert not looks_paired(path, ReadOptions(label_column="2"))
    assert not looks_paired(tmp_path / "absent.tsv", ReadOptions())
    with zipfile.ZipFile(tmp_path / "h.zip", "w") as archive:
        archive.writestr("fra.txt", "Go.\tVa !\n")
    assert looks_paired(tmp_path / "h.zip", ReadOptions())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "dog\ta longer text\ncat\tanother one\n"),
        ("b.csv", "target,source\nHund und mehr,dog\nKatze,cat\n"),
        ("c.tsv.gz", "en\tde\ndog\tHund und mehr\ncat\tKatze\n"),
        ("d.jsonl", '{"de": "x", "en": "y", "source": "dog", "target": "ein Hund"}\n{"source": "cat"}\n'),
        ("e.csv", "id,text\n1,dog\n2,cat\n"),
        ("f.txt", "dog\ncat\n"),
    ],
)
def test_of_pairs_the_source_is_what_is_to_be_translated(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    assert read_sources(path).texts == ["dog", "cat"]
    assert read_sources(str(path)).texts == ["dog", "cat"]


def test_a_column_asked_for_is_the_one_that_is_translated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "dog\tHund\n")
    assert read_sources(path, ReadOptions(text_column=2)).texts == ["Hund"]
