from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.errors import DataError, SettingError
from unspool.text.readers import ReadOptions, read_texts


def read(folder: Path, name: str, content: bytes, **options: Any) -> list[str]:
    path = folder / name
    path.write_bytes(content)
    return read_texts(path, ReadOptions(**options)).texts


ODD = "a\u2028b", "c\x85d", "e\x0bf", "g\x0ch", "i\rj", "k\0l", "m\ufeffn", "", " ", "\x1c\x1d\x1e", "\u2029", "last"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_one_text_a_line_whatever_stands_in_it(tmp_path: Path, end: str, final: bool, mark: str) -> None:
    content = mark + end.join(ODD) + (end if final else "")
    assert read(tmp_path, "texts.txt", content.encode()) == list(ODD)


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=9), max_size=9))
def test_lines_in_are_texts_out(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    content = "".join(text + "\n" for text in texts).encode()
    path = tmp_path_factory.mktemp("lines") / "texts.txt"
    path.write_bytes(content)
    found = read_texts(path, ReadOptions(encoding="utf-8")).texts
    without_mark = content.decode("utf-8-sig").split("\n")[:-1]
    assert found == [text.removesuffix("\r") for text in without_mark]
    assert len(found) == len(texts)


def test_an_empty_file_has_no_texts_and_a_line_end_has_one(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", b"") == []
    assert read(tmp_path, "a.txt", b"\n") == [""]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("eins\nzwei\u2028x".encode())))
    assert read_texts("-").texts == ["eins", "zwei\u2028x"]


def test_a_byte_order_mark_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffx\n".encode())
    assert read_texts(path).notes == ("format: one text a line", "encoding: UTF-8 with a byte order mark")


def test_tables_give_their_text_column(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", b"label,text\nx,one\ny,two\n") == ["one", "two"]
    assert read(tmp_path, "a.csv", b'text\none\n"two, three"\n') == ["one", "two, three"]
    assert read(tmp_path, "a.tsv", b"1\tsome words\n2\tother words\n") == ["some words", "other words"]
    assert read(tmp_path, "a.jsonl", b'{"text": "one"}\n{"text": "two", "label": 3}\n') == ["one", "two"]
    assert read(tmp_path, "a.csv", b"a,b\none,two\nthree,four\n", text_column="a") == ["one", "three"]
    assert read(tmp_path, "a.dat", b"a|b\none|two\nthree|four\n", text_column=2, separator="|") == ["b", "two", "four"]


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("label,id,text\npos,1,so fine\nneg,2,so dull\n")
    assert read_texts(path).notes[0].endswith("columns: text 'text'; not read: 'label', 'id'")


def test_a_label_column_is_not_taken_for_the_text(tmp_path: Path) -> None:
    rows = b"a,b\na very long label,t\nanother long label,u\n"
    assert read(tmp_path, "a.csv", rows, header=True) == ["a very long label", "another long label"]
    assert read(tmp_path, "a.csv", rows, header=True, label_column="a") == ["t", "u"]


def test_labelled_formats_give_their_texts(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", b"__label__x one\n__label__y two\n", format="fasttext") == ["one", "two"]
    assert read(tmp_path, "a.txt", b"1 one\n0 two\n", format="lines") == ["one", "two"]


def test_refusals_name_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv, line 3: 3 fields where the first row has 2"):
        read(tmp_path, "a.csv", b"label,text\nx,one\ny,two,three\nz,four\n")
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: the field 'text' is missing"):
        read(tmp_path, "a.jsonl", b'{"text": "one"}\n{"label": 3}\n')
    with pytest.raises(SettingError, match="--text-column has no effect on a file of format text"):
        read(tmp_path, "a.txt", b"x\n", format="text", text_column="a")


def test_lines_with_fasttext_labels_are_answered_whole_and_the_flag_is_named(tmp_path: Path) -> None:
    path = tmp_path / "reviews.txt"
    path.write_text("__label__good a fine film\n__label__bad a poor one\n\n")
    found = read_texts(path)
    assert found.texts == ["__label__good a fine film", "__label__bad a poor one", ""]
    assert "--format fasttext leaves it out" in found.notes[-1]
    assert read_texts(path, ReadOptions(format="fasttext")).texts[:2] == ["a fine film", "a poor one"]
