from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.errors import DataError, SettingError
from unspool.text.readers import LabelledTexts, ReadOptions, check_labels, read_labelled
from unspool.text.readers.source import Source


def read(folder: Path, name: str, content: str | bytes, **options: Any) -> LabelledTexts:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labelled(path, ReadOptions(**options))


def pairs(found: LabelledTexts) -> list[tuple[str, str]]:
    return list(zip(found.labels, found.texts, strict=True))


WIDE = "id,rating,label,text\n" + "".join(f"{i},{i % 9},{'ab'[i % 2]},text number {i}\n" for i in range(20))


def test_columns_are_found_by_name_and_told(tmp_path: Path) -> None:
    found = read(tmp_path, "wide.csv", WIDE)
    assert pairs(found)[:2] == [("a", "text number 0"), ("b", "text number 1")]
    assert found.notes == (
        "format: comma-separated table with header; columns: text 'text', label 'label'; not read: 'id', 'rating'",
        "encoding: UTF-8",
    )


def test_columns_are_found_by_what_stands_in_them(tmp_path: Path) -> None:
    rows = "v0,v1,v2\n" + "".join(f"{i},{'ham' if i % 3 else 'spam'},some words {i}\n" for i in range(12))
    found = read(tmp_path, "values.csv", rows)
    assert pairs(found)[:2] == [("spam", "some words 0"), ("ham", "some words 1")]
    assert "text 'v2', label 'v1'" in found.notes[0]


@pytest.mark.parametrize(("label", "text"), [("rating", "text"), (2, 4), ("2", "4"), ("rating", 4)])
def test_columns_can_be_said_by_name_or_number(tmp_path: Path, label: str | int, text: str | int) -> None:
    found = read(tmp_path, "wide.csv", WIDE, label_column=label, text_column=text)
    assert pairs(found)[3] == ("3", "text number 3")


def test_a_wrong_column_name_gets_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'lable' .*did you mean 'label'.* it has 'id', 'rating', 'label'"):
        read(tmp_path, "wide.csv", WIDE, label_column="lable")
    with pytest.raises(DataError, match=r"no column '9' \(--text-column\)"):
        read(tmp_path, "wide.csv", WIDE, text_column="9")
    with pytest.raises(DataError, match=r"cannot be the same column, 'text'"):
        read(tmp_path, "wide.csv", WIDE, text_column="text", label_column="text")
    with pytest.raises(DataError, match=r"it has no header, its columns are 1 to 4"):
        read(tmp_path, "wide.csv", WIDE, header=False, text_column="text")


def test_header_can_be_said(tmp_path: Path) -> None:
    assert pairs(read(tmp_path, "a.csv", WIDE, header=False, label_column=3))[0] == ("label", "text")
    rows = "good,pos\nbad,neg\nfine,pos\npoor,neg\n"
    assert len(read(tmp_path, "b.csv", rows).texts) == 4
    assert len(read(tmp_path, "b.csv", rows, header=True).texts) == 3


def test_separator_can_be_said(tmp_path: Path) -> None:
    rows = "a;b,1\nc;d,2\na;e,1\n"
    assert pairs(read(tmp_path, "a.csv", rows))[0] == ("1", "a;b")
    assert pairs(read(tmp_path, "a.csv", rows, separator="semicolon"))[0] == ("a", "b,1")
    assert pairs(read(tmp_path, "a.tsv", rows, separator=";"))[0] == ("a", "b,1")


def test_encoding_can_be_said(tmp_path: Path) -> None:
    rows = "text,label\nпривет,a\nпока,b\n"
    found = read(tmp_path, "a.csv", rows.encode("koi8-r"), encoding="koi8-r")
    assert pairs(found) == [("a", "привет"), ("b", "пока")]
    assert found.notes[1] == "encoding: koi8-r, as asked"
    with pytest.raises(DataError, match=r"a\.csv, line 2: byte 0xd0 is not utf-8, as asked"):
        read(tmp_path, "a.csv", rows.encode("koi8-r"), encoding="utf-8")


def test_a_fallback_encoding_is_told_with_its_reason(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", "text,label\nx,a\nché,b\n".encode("cp1252"))
    assert found.notes[1] == "encoding: Windows-1252 (cp1252), not UTF-8 because of byte 0xe9 in line 3"


def test_a_quote_late_in_a_tab_separated_file_turns_quoting_off(tmp_path: Path) -> None:
    rows = "label\ttext\n" + "a\tone\nb\ttwo\n" * 3000 + 'a\t"half open\nb\t"x" y\n'
    found = read(tmp_path, "late.tsv", rows)
    assert pairs(found)[-2:] == [("a", '"half open'), ("b", '"x" y')]
    assert "double quotes are ordinary characters" in found.notes[0]


def test_quotes_of_a_spreadsheet_are_quoting(tmp_path: Path) -> None:
    found = read(tmp_path, "sheet.tsv", 'label\ttext\na\t"x\ty\nz"\nb\tplain\n')
    assert pairs(found) == [("a", "x\ty\nz"), ("b", "plain")]


def test_one_class_per_file(tmp_path: Path) -> None:
    (tmp_path / "Czech.txt").write_bytes("Novák\r\n\r\nDvořák".encode())
    (tmp_path / "Irish.txt").write_bytes(b"\xef\xbb\xbfO'Neill\n")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".hidden.txt").write_text("no")
    found = read_labelled(tmp_path)
    assert pairs(found) == [("Czech", "Novák"), ("Czech", "Dvořák"), ("Irish", "O'Neill")]
    assert found.notes[0] == "format: folder, one file a class, one text a line"
    assert found.notes[-1] == "left out: 1 other files in the folder"


def test_one_class_per_sub_folder(tmp_path: Path) -> None:
    for label, texts in {"pos": ["good\r\nfilm\n", "fine"], "neg": ["bad"]}.items():
        (tmp_path / label).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / label / f"{number}.txt").write_bytes(text.encode())
    assert pairs(read_labelled(tmp_path)) == [("neg", "bad"), ("pos", "good\r\nfilm\n"), ("pos", "fine")]


def test_a_folder_one_level_too_high_is_told(tmp_path: Path) -> None:
    (tmp_path / "train" / "pos").mkdir(parents=True)
    with pytest.raises(DataError, match=r"train holds folders where texts are expected"):
        read_labelled(tmp_path)


def test_a_class_name_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fine\n")
    (tmp_path / "b\udcff.txt").write_text("fine\n")
    with pytest.raises(DataError, match="holds half of a surrogate pair"):
        read_labelled(tmp_path)


def test_a_damaged_file_in_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fine\n")
    (tmp_path / "b.txt").write_bytes(b"one\ntwo\0\n")
    with pytest.raises(DataError, match=r"b\.txt, line 2: a NUL"):
        read_labelled(tmp_path)


def test_fingerprint_is_the_sha256_of_a_file(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", WIDE).fingerprint == hashlib.sha256(WIDE.encode()).hexdigest()


def test_fingerprint_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    def fingerprint(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.txt").write_text(text)
        return read_labelled(folder).fingerprint

    assert fingerprint(a="x", b="y") != fingerprint(a="y", b="x")
    assert fingerprint(a="x", b="y") != fingerprint(a="x", c="y")
    assert fingerprint(a="x", b="y") == fingerprint(b="y", a="x")


def test_prose_is_not_taken_for_labelled_lines(tmp_path: Path) -> None:
    prose = "the a he she it one two three no yes and but so"  # half of the first words come once
    lines = "".join(f"{word} and then some\n" for word in [*prose.split(), "the", "he", "and"])
    with pytest.raises(DataError, match="no labels were found"):
        read(tmp_path, "prose.txt", lines)


def test_text_format_has_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="format text has no labels"):
        read(tmp_path, "a.txt", "1 a\n0 b\n", format="text")


def test_a_useless_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--separator has no effect on a file of format jsonl"):
        read(tmp_path, "a.jsonl", '{"text": "a", "label": "b"}\n', separator=",")


def test_check_labels() -> None:
    check_labels(["a", "b"], "x.csv")
    with pytest.raises(DataError, match=r"x\.csv has only one label, 'a'; a classifier needs at least two"):
        check_labels(["a", "a"], "x.csv")
    with pytest.raises(
        DataError, match=r"only one label, 'a'.*If this is running text to be .*--task generate$"
    ) as error:
        check_labels(["a", "a"], "x", folder=True)
    assert "column" not in str(error.value)
    with pytest.raises(DataError, match=r"x\.csv holds no examples"):
        check_labels([], "x.csv")


CELL = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
LABEL = CELL.filter(lambda cell: bool(cell.strip()))


@given(rows=st.lists(st.tuples(CELL, LABEL), min_size=1, max_size=6), separator=st.sampled_from(",\t;|"))
def test_any_table_written_by_the_rules_reads_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], separator: str
) -> None:
    def quote(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    content = f"text{separator}label\r\n" + "".join(f"{quote(a)}{separator}{quote(b)}\r\n" for a, b in rows)
    options = ReadOptions(separator=separator, header=True, encoding="utf-8", format="csv")
    path = tmp_path_factory.mktemp("table") / "a.csv"
    path.write_bytes(content.encode())
    found = read_labelled(path, options)
    assert list(zip(found.texts, found.labels, strict=True)) == rows


def test_memory_holds_the_texts_once(tmp_path: Path) -> None:
    size = 8 * 2**20
    path = tmp_path / "big.csv"
    path.write_text("text,label\n" + "".join(f"{'word ' * 200}{i},{'ab'[i % 2]}\n" for i in range(size // 1000)))
    tracemalloc.start()
    read_labelled(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * size  # the texts, 4 MiB of sample parsed once, and buffers


def test_files_are_closed_when_reading_stops_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[BinaryIO] = []
    raw = Source.open

    def remember(source: Source) -> BinaryIO:
        opened.append(raw(source))
        return opened[-1]

    monkeypatch.setattr(Source, "open", remember)
    path = tmp_path / "ragged.csv"
    path.write_text("text,label\na,b\n" * 40 + "a,b,c\n" + "a,b\n" * 90_000)
    with pytest.raises(DataError, match=r"ragged\.csv"):
        read_labelled(path)
    assert opened
    assert all(file.closed for file in opened)
