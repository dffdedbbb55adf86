"""Reliability check 9: each file here reads as meant, or is refused in one message that names file and row."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from unspool.errors import DataError
from unspool.text.levels import detect_level
from unspool.text.readers import ReadOptions, check_labels, read_labelled
from unspool.text.tokenizers import LEVELS, train_tokenizer

HEAD = b"text,label\n"
ROWS = b"good film,pos\nbad film,neg\n"
MILLION = 1_000_000


@dataclass(frozen=True)
class Case:
    """texts (label, text) as they must come out, or words the refusal must contain."""

    name: str
    content: bytes
    meant: list[tuple[str, str]] = field(default_factory=list)
    refused: tuple[str, ...] = ()
    options: ReadOptions = field(default_factory=ReadOptions)


GOOD = [("pos", "good film"), ("neg", "bad film")]


def csv_case(name: str, *rows: str, meant: list[tuple[str, str]]) -> Case:
    return Case(f"{name}.csv", HEAD + "\n".join(rows).encode("utf-8", "surrogatepass") + b"\n", meant)


def odd_label(name: str, label: str) -> Case:
    return csv_case(name, f"one,{label}", "two,other", meant=[(label, "one"), ("other", "two")])


def odd_text(name: str, text: str) -> Case:
    return csv_case(name, f"{text},pos", "two,neg", meant=[("pos", text), ("neg", "two")])


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("train.csv", HEAD + ROWS)
    return held.getvalue()


def json_lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


PAIR = json_lines({"text": "good film", "label": "pos"}, {"text": "bad film", "label": "neg"})

READ = [
    Case("plain.csv", HEAD + ROWS, GOOD),
    Case("no-final-newline.csv", (HEAD + ROWS).rstrip(b"\n"), GOOD),
    Case("bom.csv", b"\xef\xbb\xbf" + HEAD + ROWS, GOOD),
    Case("crlf.csv", (HEAD + ROWS).replace(b"\n", b"\r\n"), GOOD),
    Case("cr.csv", (HEAD + ROWS).replace(b"\n", b"\r"), GOOD),
    Case("lone-cr.csv", HEAD + b"a\rb,pos\ntwo,neg\n", [("pos", "a\rb"), ("neg", "two")]),
    Case("mixed-ends.csv", HEAD + b"a\rb,pos\r\ntwo,neg\n", [("pos", "a\rb"), ("neg", "two")]),
    Case("utf-16.csv", (HEAD + ROWS).decode().encode("utf-16"), GOOD),
    Case("utf-16-be-bom.csv", b"\xfe\xff" + (HEAD + ROWS).decode().encode("utf-16-be"), GOOD),
    Case("utf-16-no-bom.csv", (HEAD + ROWS).decode().encode("utf-16-le"), GOOD),
    Case("utf-16-be-no-bom.csv", (HEAD + ROWS).decode().encode("utf-16-be"), GOOD),
    Case("utf-32.csv", (HEAD + ROWS).decode().encode("utf-32"), GOOD),
    Case("cp1252.csv", HEAD + b"caf\xe9 \x85,pos\ntwo,neg\n", [("pos", "café …"), ("neg", "two")]),
    Case("latin-1.csv", HEAD + b"caf\xe9 \x81,pos\ntwo,neg\n", [("pos", "café \x81"), ("neg", "two")]),
    Case("overlong.csv", HEAD + b"\xc0\xaf,pos\ntwo,neg\n", [("pos", "À¯"), ("neg", "two")]),
    Case("wtf-8.csv", HEAD + b"x\xed\xa0\x80,pos\ntwo,neg\n", [("pos", "xí\xa0€"), ("neg", "two")]),
    Case("gzip.csv.gz", gzip.compress(HEAD + ROWS), GOOD),
    Case("gzip-without-suffix.csv", gzip.compress(HEAD + ROWS), GOOD),
    Case("quoted-newline.csv", HEAD + b'"a\nb",pos\n"c\r\nd",neg\n', [("pos", "a\nb"), ("neg", "c\r\nd")]),
    Case("doubled-quote.csv", HEAD + b'"say ""hi"", you",pos\ntwo,neg\n', [("pos", 'say "hi", you'), ("neg", "two")]),
    Case("quoted-header.csv", b'"text","label"\n' + ROWS, GOOD),
    Case("blank-lines.csv", HEAD + b"\ngood film,pos\n\n\nbad film,neg\n\n", GOOD),
    Case("spaces.csv", HEAD + b" x , pos \n y,neg\n", [(" pos ", " x "), ("neg", " y")]),
    Case("unused-double.csv", b"id,id,text,label\n1,1,good film,pos\n2,2,bad film,neg\n", GOOD),
    Case("literal-quotes.tsv", b'text\tlabel\n"A" film\tpos\nby "B"\tneg\n', [("pos", '"A" film'), ("neg", 'by "B"')]),
    Case("open-quotes.tsv", b'text\tlabel\n"A film\tpos\n"B film\tneg\n', [("pos", '"A film'), ("neg", '"B film')]),
    Case("semicolon.csv", b"text;label\ngood, really;pos\nbad;neg\n", [("pos", "good, really"), ("neg", "bad")]),
    Case("pipe.txt", b"text|label\n" + b"good film|pos\nbad film|neg\n" * 3, GOOD * 3),
    Case("headless.csv", b"good film,pos\nbad film,neg\nfine film,pos\n", [*GOOD, ("pos", "fine film")]),
    Case("numbers.csv", b"text,label\na,01\nb,1\nc,1.0\n", [("01", "a"), ("1", "b"), ("1.0", "c")]),
    Case("missing.csv", b"text,label\nnan,nan\nNA,NA\nNone,None\n", [(x, x) for x in ("nan", "NA", "None")]),
    Case("empty-text.csv", HEAD + b",pos\ntwo,neg\n", [("pos", ""), ("neg", "two")]),
    odd_label("html-label", "<script>alert(1)</script>"),
    odd_label("path-label", "../../etc/passwd"),
    odd_label("escape-label", "\x1b[31mred\x1b[0m"),
    odd_label("bidi-label", "a\u202eb"),
    odd_text("bidi", "abc \u202e def \u2066x\u2069"),
    odd_text("zwj", "👩‍👩‍👧 क्‍ष"),
    odd_text("line-separators", "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"),
    odd_text("marks", "a" + "\u0301" * 100_000),
    odd_text("million-characters", "x" * MILLION),
    odd_text("million-words", "x " * MILLION),
    odd_text("noncharacters", "\ufffe\uffff\U0010ffff"),
    Case("plain.jsonl", PAIR, GOOD),
    Case("bom-crlf.jsonl", b"\xef\xbb\xbf" + PAIR.replace(b"\n", b"\r\n"), GOOD),
    Case("lone-surrogate.jsonl", b'{"text": "a\\ud800b", "label": "pos"}\n' + PAIR, [("pos", "a\ud800b"), *GOOD]),
    Case("escaped-nul.jsonl", b'{"text": "a\\u0000b", "label": "pos"}\n' + PAIR, [("pos", "a\0b"), *GOOD]),
    Case(
        "number-labels.jsonl", b'{"text": "a", "label": 1}\n{"text": "b", "label": 1.50}\n', [("1", "a"), ("1.50", "b")]
    ),
    Case("long-number.jsonl", b'{"text": "a", "n": ' + b"9" * 9000 + b', "label": true}\n', [("true", "a")]),
    Case("fast.txt", b"__label__pos good film\n__label__neg bad film\n", GOOD),
    Case("lines.txt", b"1 good film\n0 bad film\n" * 3, [("1", "good film"), ("0", "bad film")] * 3),
    Case("lines-cr.txt", b"1 good film\r0 bad film\r" * 3, [("1", "good film"), ("0", "bad film")] * 3),
]

REFUSED = [
    Case("empty.csv", b"", refused=("is empty",)),
    Case("bom-only.csv", b"\xef\xbb\xbf", refused=("is empty",)),
    Case("empty.csv.gz", gzip.compress(b""), refused=("is empty",)),
    Case("blank.csv", b"\n\n\n", refused=("no rows",)),
    Case("blank.jsonl", b"\n\n\n", refused=("no rows",)),
    Case("blank.txt", b"\n \n", refused=("no labels",)),
    Case("header-only.csv", HEAD, refused=("no rows",)),
    Case("nul.csv", HEAD + b"good film,pos\nbad\0film,neg\n", refused=("line 3", "NUL")),
    Case("nul-utf-16.csv", "text,label\na\0b,pos\n".encode("utf-16"), refused=("line 2", "NUL")),
    Case("noise.csv", bytes(range(256)) * 64, refused=("not text",)),
    Case("noise-without-nul.csv", bytes(range(1, 256)) * 64, refused=("not text",)),
    Case("torn.csv.gz", gzip.compress(HEAD + os.urandom(9000).hex().encode())[:-900], refused=("cut short",)),
    Case("flipped.csv.gz", gzip.compress(HEAD + ROWS)[:-6] + b"\1\2\3\4\5\6", refused=("damaged gzip",)),
    Case("noise.csv.gz", b"\x1f\x8b\x08\x00" + b"\xff" * 200, refused=("damaged gzip",)),
    Case("not-gzip.csv.gz", HEAD + ROWS, refused=("not a gzip file",)),
    Case("zip.csv", zipped(), refused=("zip archive",)),
    Case("pdf.csv", b"%PDF-1.7\n", refused=("PDF",)),
    Case("unclosed.csv", HEAD + b'good film,pos\n"bad film,neg\nfine,pos\n', refused=("line 3", "never closed")),
    Case("loose-quote.csv", HEAD + b'good film,pos\n"bad" film,neg\n', refused=("line 3", "twice")),
    Case("short-row.csv", HEAD + ROWS * 9 + b"only text\n", refused=("line 20", "1 fields", "has 2")),
    Case("long-row.csv", HEAD + ROWS * 9 + b"a,b,c\n", refused=("line 20", "3 fields", "has 2")),
    Case("ragged.csv", b"a,b\na,b,c\na\na,b,c,d\n", refused=("line 2", "3 fields")),
    Case("ragged.tsv", b"text\tlabel\ngood\tpos\nbad\n", refused=("line 3", "1 fields")),
    Case("after-quoted-newline.csv", HEAD + b'"a\nb",pos\nc\n', refused=("line 4", "1 fields")),
    Case("double-column.csv", b"text,label,label\na,b,c\nd,e,f\n", refused=("'label' stands twice",)),
    Case("double-text.csv", b"text,text,label\na,b,c\n", refused=("'text' stands twice",)),
    Case("empty-label.csv", HEAD + ROWS + b"fine,\n", refused=("line 4", "label is empty")),
    Case("blank-label.csv", HEAD + ROWS + b"fine,  \n", refused=("line 4", "label is empty")),
    Case(
        "empty-labels.csv",
        HEAD + ROWS + b"fine,\n" * 3,
        refused=("line 4", "as in 2 more rows; give it one", "--label-column"),
    ),
    Case("empty-unnamed.csv", b"text,mood\n" + ROWS * 3 + b"fine,\n", refused=("line 8", "is empty; give it one")),
    Case("empty-beside.csv", b"text,mood,by\n" + b"a,x,me\nb,y,me\n" * 3 + b"c,,me\n", refused=("line 8", "is empty")),
    Case("unnamed-header-only.csv", b"text,mood\n", refused=("no rows",)),
    Case("one-column.csv", b"text\na\nb\n", refused=("no label column", "'text'", "--label-column", "--text-column")),
    Case("prose.txt", b"It was the best of times,\nit was the worst\n", refused=("no labels", "--label-column")),
    Case("mostly-utf-8.csv", HEAD + "é".encode() * 50 + b"\xff,pos\n" + ROWS, refused=("line 2", "0xff", "--encoding")),
    Case("bad-json.jsonl", PAIR + b'{"text": "a", "label": }\n', refused=("line 3", "not valid JSON")),
    Case("deep.jsonl", PAIR + b"[" * 100_000 + b"\n", refused=("line 3",)),
    Case("array.json", b'[{"text": "a", "label": "b"}]\n', refused=("line 1", "not one array")),
    Case("no-field.jsonl", PAIR + b'{"text": "a"}\n', refused=("line 3", "'label' is missing")),
    Case("null-label.jsonl", PAIR + b'{"text": "a", "label": null}\n', refused=("line 3", "not a string or a number")),
    Case("number-text.jsonl", PAIR + b'{"text": 7, "label": "a"}\n', refused=("line 3", "not a string")),
    Case("list-text.jsonl", PAIR + b'{"text": ["a"], "label": "a"}\n', refused=("line 3", "not a string")),
    Case("double-field.jsonl", PAIR + b'{"text": "a", "text": "b", "label": "a"}\n', refused=("line 3", "twice")),
    Case("surrogate-label.jsonl", PAIR + b'{"text": "a", "label": "\\udfff"}\n', refused=("line 3", "surrogate")),
    Case("empty-label.txt", b"__label__pos good\n__label__ bad\n", refused=("line 2", "label is empty")),
    Case("no-label.txt", b"__label__pos good\nbad\n", refused=("line 2", "expected __label__")),
    Case("two-labels.txt", b"__label__pos good\n__label__a __label__b bad\n", refused=("line 2", "several labels")),
    Case(
        "leading-blank.txt",
        b"1 a\n0 b\n 0 c\n",
        refused=("line 3", "label is empty"),
        options=ReadOptions(format="lines"),
    ),
    Case("long-label.csv", HEAD + b"a," + b"x" * MILLION + b"\nb,c\n", refused=("line 2", "1000000 characters")),
    Case("one-class.csv", HEAD + b"a,pos\nb,pos\n", refused=("only one label", "'pos'")),
]


def refusal(path: Path, options: ReadOptions) -> str:
    with pytest.raises(DataError) as caught:
        check_labels(read_labelled(path, options).labels, path.name)
    return str(caught.value)


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_reads_as_meant_and_reaches_token_ids(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    started = time.monotonic()
    found = read_labelled(path, case.options)
    assert list(zip(found.labels, found.texts, strict=True)) == case.meant
    assert all(len(note) < 300 and "\n" not in note for note in found.notes)
    detect_level(found.texts)
    for level in LEVELS:
        assert len(train_tokenizer(level, found.texts).encode_all(found.texts)) == len(case.meant)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refuses_naming_file_and_row(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    message = refusal(path, case.options)
    assert len(message.encode()) <= 1024
    assert case.name in message
    for words in case.refused:
        assert words in message
    assert message.isprintable()


def test_names_are_unique_and_many() -> None:
    assert len({case.name for case in READ + REFUSED}) == len(READ) + len(REFUSED) >= 50


def test_an_empty_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    words = r"no sub-folders and no \.txt files: a classifier learns from one of them per class, --task generate from"
    with pytest.raises(DataError, match=words):
        read_labelled(tmp_path)
    with pytest.raises(DataError, match="/dev/null is neither a file nor a folder"):
        read_labelled("/dev/null")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv cannot be read: No such file"):
        read_labelled(tmp_path / "absent.csv")


def test_a_name_of_a_thousand_characters_does_not_burst_the_message(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_labelled(tmp_path / ("x" * 2000))
    assert len(str(caught.value).encode()) <= 1024


def test_a_sample_that_ends_inside_a_field_is_not_taken_for_damage(tmp_path: Path) -> None:
    rows = "".join(f'{n},"first line {n}\nsecond line {n}",{"a" if n % 2 else "b"}\n' for n in range(1500))
    path = tmp_path / "tickets.csv"
    path.write_text("id,body,queue\n" + rows)
    assert len(read_labelled(path).texts) == 1500
    with pytest.raises(DataError, match=r"has no column 'bdy'.*did you mean 'body'"):
        read_labelled(path, ReadOptions(text_column="bdy"))
