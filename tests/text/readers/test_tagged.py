"""Tagged tokens from every format, and what is said about files that do not fit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from unspool.errors import DataError, SettingError
from unspool.text.readers import ReadOptions, looks_tagged, read_labelled, read_tagged

TOKENS = [["from", "New", "York"], ["hello"]]
TAGS = [["O", "B-city", "I-city"], ["O"]]
COLUMNS = "from IN O\nNew NNP B-city\nYork NNP I-city\n\nhello UH O\n"
CONLLU = (
    "# text = don't go\n1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n1\tdo\tdo\tAUX\tVB\t_\t0\t_\t_\t_\n"
    "2\tn't\tnot\tPART\tRB\t_\t0\t_\t_\t_\n2.1\tx\tx\tX\tX\t_\t0\t_\t_\t_\n3\tgo\tgo\tVERB\tVB\t_\t0\t_\t_\t_\n\n"
)


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


def pair(folder: Path, words: str, marks: str) -> Path:
    write(folder, "seq.in", words)
    write(folder, "seq.out", marks)
    return folder


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.conll", COLUMNS),
        ("a.txt", "-DOCSTART- -X- O\n\n" + COLUMNS.replace("\n", "\r\n")),
        ("a.tsv.gz", COLUMNS.replace(" ", "\t") + "\n\n"),
        ("a.iob", COLUMNS.replace(" ", "   ")),
        (
            "a.jsonl",
            "\n".join(json.dumps({"id": 1, "tokens": a, "tags": b}) for a, b in zip(TOKENS, TAGS, strict=True)),
        ),
    ],
)
def test_each_format_gives_the_same_sentences(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path, name, content)
    found = read_tagged([path])
    assert (found.tokens, found.tags) == (TOKENS, TAGS)
    assert len(found.fingerprint) == 64
    assert looks_tagged([path], ReadOptions()) is not None


def test_two_aligned_files_in_a_folder_or_by_name(tmp_path: Path) -> None:
    folder = pair(tmp_path, "from New York\n\nhello\n", "O B-city I-city\n\nO\n")
    for paths in ([folder], [folder / "seq.in"], [folder / "seq.in", folder / "seq.out"]):
        found = read_tagged(paths)
        assert (found.tokens, found.tags) == (TOKENS, TAGS)
        assert "empty sentences: 1, left out" in found.notes
        assert looks_tagged(paths, ReadOptions()) is not None


def test_any_column(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", COLUMNS)
    assert read_tagged([path], ReadOptions(label_column=2)).tags == [["IN", "NNP", "NNP"], ["UH"]]
    named = write(tmp_path, "b.csv", "word,pos\nfrom,IN\nhere,RB\n\n")
    options = ReadOptions(text_column="word", label_column="pos", header=True, separator=",", format="conll")
    assert read_tagged([named], options).tokens == [["from", "here"]]


def test_conllu_leaves_out_ranges_and_empty_nodes(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conllu", CONLLU)
    found = read_tagged([path])
    assert (found.tokens, found.tags) == ([["do", "n't", "go"]], [["AUX", "PART", "VERB"]])
    assert read_tagged([path], ReadOptions(label_column="xpos")).tags == [["VB", "RB", "VB"]]


def test_only_line_ends_end_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "a\u2028b\u00a0c X\n\u200d Y\n")
    assert read_tagged([path]).tokens == [["a\u2028b\u00a0c", "\u200d"]]


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("a.conll", "", {}, "is empty"),
        ("a.conll", "\n\n \n", {}, r"a\.conll holds no rows$"),
        ("a.conll", "word\n", {}, "line 1: expected a token and its tag between tabs or blanks"),
        ("a.conll", "a X\nb\n", {}, "line 2: expected 2 columns as in line 1, got 1"),
        ("a.conll", "a\tX\n\tY\n", {}, "line 2: the token is empty"),
        ("a.conll", "a\tX\nb\t\n", {}, "a tag is empty"),
        ("a.conll", "a X\n", {"label_column": 3}, "has 2 columns, --label-column asks for column 3"),
        ("a.conll", "a X\n", {"label_column": 1}, "token and tag are the same column"),
        ("a.conll", "a X\n", {"label_column": "pos"}, "have no names; give a number from 1"),
        ("a.conll", "a " + "X" * 300, {}, "a tag of 300 characters"),
        ("a.conllu", "1\tdo\tdo\n", {}, "line 1: expected the 10 columns of CoNLL-U, got 3"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["X", "Y"]}', {}, "line 1: 1 tokens but 2 tags"),
        ("a.jsonl", '{"tokens": [1], "tags": ["X"]}', {}, "'tokens' must hold strings"),
        ("a.jsonl", '{"tokens": "a", "tags": ["X"]}', {}, "a list of tokens and a list of tags"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["X"]}', {"label_column": "tag"}, "has no list 'tag'"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, name: str, content: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read_tagged([write(tmp_path, name, content)], ReadOptions(**options))


def test_files_of_different_length_name_both_counts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"seq.in has 2 lines, .*seq.out has 1"):
        read_tagged([pair(tmp_path, "a\nb\n", "O\n")])
    with pytest.raises(DataError, match=r"line 2: .*seq.in has 2 tokens, .*seq.out has 1 tags"):
        read_tagged([pair(tmp_path, "a\nb c\n", "O\nO\n")])
    with pytest.raises(DataError, match="3 files were given"):
        read_tagged([tmp_path / "seq.in"] * 3)


def test_formats_of_other_tasks_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", COLUMNS)
    with pytest.raises(SettingError, match="--format csv has no tags; for tagged tokens it is one of conll"):
        read_tagged([path], ReadOptions(format="csv"))
    with pytest.raises(SettingError, match="--format conll is of tagged tokens: it goes with --task tag"):
        read_labelled(path, ReadOptions(format="conll"))


@pytest.mark.parametrize(
    "content",
    [
        "text\tlabel\nfine film\tpos\ndull film\tneg\n",
        "pos fine film\nneg dull film\n\npos warm film\n",
        '{"text": "fine film", "label": "pos"}\n',
        "One line of prose here.\n\nAnother paragraph stands here, longer than that.\n",
        "",
    ],
)
def test_other_files_do_not_look_tagged(tmp_path: Path, content: str) -> None:
    assert looks_tagged([write(tmp_path, "a.txt", content)], ReadOptions()) is None


@pytest.mark.parametrize("content", [f"home\n{COLUMNS * 9}", f"{COLUMNS * 9}home\n"])
def test_wherever_the_damaged_line_stands(content: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", content)
    assert looks_tagged([path], ReadOptions()) is not None
    with pytest.raises(DataError, match="line "):
        read_tagged([path])


def test_a_file_with_a_damaged_line_is_still_of_tagged_tokens(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "fly\tO\nto\tO\nRome\tB-city\n\n" * 5 + "fly\tO\nhome\n")
    assert looks_tagged([path], ReadOptions()) is not None
    with pytest.raises(DataError, match=r"line 22: .*2 columns"):
        read_tagged([path])
