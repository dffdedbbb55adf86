"""Documents, the row of ids they become, and how it is cut; against plain Python."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.errors import DataError
from unspool.text import streams
from unspool.text.readers import Documents, Piece, ReadOptions, documents, read_documents
from unspool.text.streams import Encoder, Tokens
from unspool.text.tokenizers import train_tokenizer


def encoder(level: str, texts: list[str], labels: tuple[str, ...] = ()) -> Encoder:
    return Encoder.of(train_tokenizer(level, texts, **({} if level == "byte" else {"min_count": 1})), labels)


def ids(found: Encoder, pieces: list[Piece]) -> list[int]:
    return [int(i) for part in found.stream(pieces) for i in part]


@given(st.lists(st.tuples(st.text("ab\n é", max_size=6), st.booleans()), max_size=6))
def test_characters_keep_every_line_end_and_mark_every_document(parts: list[tuple[str, bool]]) -> None:
    found = encoder("char", ["ab\n é"])
    expected: list[int] = []
    for text, first in parts:
        expected += [0] if first else []
        expected += [found.tokenizer.encode(c)[0] for c in text]
    assert ids(found, [Piece(*part) for part in parts]) == expected


@given(st.lists(st.tuples(st.text("ab\n ", max_size=8), st.booleans()), max_size=6))
def test_words_have_a_mark_for_every_line_end(parts: list[tuple[str, bool]]) -> None:
    found = encoder("word", ["a b aa ab ba bb"])
    expected: list[int] = []
    for text, first in parts:
        expected += [0] if first else []
        for number, line in enumerate(text.split("\n")):
            expected += [0] if number else []
            expected += found.tokenizer.encode(line).tolist()
    assert ids(found, [Piece(*part) for part in parts]) == expected


def test_a_label_is_the_start_of_its_documents() -> None:
    found = encoder("char", ["ab"], ("bad", "good"))
    a, b = found.tokenizer.encode("ab")
    assert (found.size, found.start("bad"), found.start("good"), found.start()) == (6, 4, 5, 0)
    assert ids(found, [Piece("a", True, "good"), Piece("b", True, "bad"), Piece("a")]) == [5, a, 4, b, 0, a]
    with pytest.raises(DataError, match="knows no label 'ugly'; it knows: bad, good"):
        found.start("ugly")


def test_tokens_are_what_stands_between_blanks() -> None:
    found = encoder("token", ["<unk> of n.v. 's\n"])
    assert ids(found, [Piece("mr. <unk> n.v.'s\n")])[1:] == [1, found.tokenizer.encode("<unk>")[0], 1, 0]


def test_a_store_in_a_file_is_the_one_in_memory(tmp_path: Path) -> None:
    parts = [np.arange(300, dtype=np.int32), np.array([0, 7, 70_000], np.int32)]
    held, stored = Tokens.collect(parts, np.uint32), Tokens.write(tmp_path / "train.bin", parts, np.uint32)
    assert len(held) == len(stored) == 303 and (tmp_path / "train.bin").stat().st_size == 4 * 303
    starts = np.array([0, 298, 5])
    expected = np.concatenate(parts)[starts[:, None] + np.arange(5)]
    for tokens in (held, stored):
        assert (tokens.block(starts, 5) == expected).all()
        assert tokens.starts(70_000).tolist() == [0, 300, 302]
        with pytest.raises(IndexError):
            tokens.block(np.array([299]), 5)
    assert list(tmp_path.iterdir()) == [tmp_path / "train.bin"]
    assert len(Tokens.write(tmp_path / "none.bin", [], np.uint8)) == 0


def test_the_smallest_number_that_holds_every_id_is_taken() -> None:
    found = encoder("char", ["ab"])
    assert found.kind is np.uint8
    assert encoder("char", ["".join(map(chr, range(500, 754)))]).kind is np.uint8
    assert encoder("char", ["".join(map(chr, range(500, 755)))]).kind is np.uint16


def test_the_last_share_of_running_text_is_held_out() -> None:
    text = "".join(map(chr, range(97, 117)))  # 20 characters in pieces of 7, 7, 6
    pieces = [Piece(text[:7]), Piece(text[7:14], False), Piece(text[14:])]
    whole = Documents(lambda: iter(pieces), True, 20)
    train, validation = streams.held_out(whole, 0.1, 100, 0)
    assert (train.characters, validation.characters) == (18, 2)
    assert list(train.pieces()) == [Piece(text[:7]), Piece(text[7:14], False), Piece(text[14:18])]
    assert list(validation.pieces()) == [Piece(text[18:])]
    train, validation = streams.held_out(whole, 0.5, 8, 0)
    assert list(validation.pieces()) == [Piece(text[12:14], True), Piece(text[14:])]
    assert "".join(streams.texts_of(train)) == text[:12]


def test_rows_are_held_out_with_their_copies() -> None:
    texts = [f"text {k % 1000}" for k in range(3000)]
    train, validation = streams.held_out(Documents.of(texts), 0.1, 10**6, 3)
    chosen, others = list(streams.texts_of(validation)), list(streams.texts_of(train))
    assert sorted(chosen + others) == sorted(texts) and not set(chosen) & set(others)
    assert 200 < len(chosen) < 400 and validation.characters == sum(map(len, chosen))
    again = streams.held_out(Documents.of(texts), 0.1, 10**6, 3)[1]
    assert list(streams.texts_of(again)) == chosen
    assert list(streams.texts_of(streams.held_out(Documents.of(texts), 0.1, 10**6, 4)[1])) != chosen


def test_reading_in_pieces_loses_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(documents, "PIECE", 5)
    text = "one\ntwo twice\n\nthree" + "x" * 40 + "\nend"
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("Zürich\n".encode()))
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    alone = read_documents(tmp_path / "a.txt")
    assert "".join(streams.texts_of(alone)) == text and alone.characters == len(text) and alone.running
    found = read_documents(tmp_path)
    pieces = list(found.pieces())
    assert pieces == list(found.pieces())
    assert "".join(piece.text for piece in pieces) == text + "Zürich\n"
    assert [piece.text for piece in pieces if piece.first] == [pieces[0].text, "Zürich\n"]
    assert all(piece.text.endswith("\n") or len(piece.text) >= 20 for piece in pieces[:-2])
    assert found.fingerprint and found.fingerprint != alone.fingerprint


def test_rows_lines_and_labels(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("genre,text\nx,one two\ny,three\nx,four five\n")
    assert list(read_documents(table).pieces()) == [Piece("one two"), Piece("three"), Piece("four five")]
    labelled = read_documents(table, ReadOptions(label_column="genre"))
    assert labelled.labels == ("x", "y") and not labelled.running
    assert list(labelled.pieces())[1] == Piece("three", True, "y")
    (tmp_path / "names.txt").write_text("Ann\nBob\n\n")
    rows = read_documents(tmp_path / "names.txt", ReadOptions(format="text"))
    assert list(rows.pieces()) == [Piece("Ann"), Piece("Bob")] and rows.characters == 6


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no text files"):
        read_documents(tmp_path / "empty")
    with pytest.raises(DataError, match="No such file"):
        read_documents(tmp_path / "missing.txt")
    with pytest.raises(DataError, match="2 texts but 1 labels"):
        Documents.of(["a", "b"], ["x"])
