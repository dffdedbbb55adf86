from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from unspool.errors import DataError
from unspool.text.vectors import read_vectors, vector_table

IDS = {"cat": 2, "dog": 3, "new york": 4, "absent": 5}
GLOVE = "the 0.1 0.2 0.3\ncat 1 -2e-1 3\nnew york 4 5 6\ndog 7 8 9\n"
MEANT = [[0, 0, 0], [0, 0, 0], [1, -0.2, 3], [7, 8, 9], [4, 5, 6], [0, 0, 0]]


def write(folder: Path, content: str, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz"])
@pytest.mark.parametrize("header", ["", "4 3\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_wanted_words_get_their_rows(tmp_path: Path, name: str, header: str, end: str) -> None:
    matrix, found = read_vectors(write(tmp_path, header + GLOVE.replace("\n", end), name), IDS)
    assert matrix.dtype == np.float32 and np.array_equal(matrix, np.array(MEANT, np.float32))
    assert found.tolist() == [False, False, True, True, True, False]


def test_unwanted_lines_may_repeat_or_hold_no_numbers(tmp_path: Path) -> None:
    read_vectors(write(tmp_path, GLOVE + "the 1 2 3\nodd x y z\n"), IDS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GLOVE + "cat 1 2 3\n", "line 5: 'cat' stands twice"),
        (GLOVE + "more 1\n", "line 5: expected a word and 3 numbers"),
        (GLOVE + "\n", "line 5: expected a word and 3 numbers"),
        ("4 3\ncat 1 2\n", "line 2: expected a word and 3 numbers"),
        ("the 1 2 3\ncat 1 2 nan\n", "line 2: a number is not finite"),
        ("the 1 2 3\ncat 1 2 inf\n", "line 2: a number is not finite"),
        ("the 1 2 3\ncat 1 2 1e60\n", "line 2: a number is not finite"),
        ("the 1 2 3\ncat 1 two 3\n", "line 2: could not convert"),
        ("4 99999999999\n", "dimensions are out of reason"),
        ("4 0\n", "dimensions are out of reason"),
        ("hello\n", "line 1: expected a word and its numbers, got 'hello'"),
        ("", "line 1: expected a word and its numbers, got ''"),
        ("bird 1 2 3\n", "none of the 4 words of the vocabulary"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_vectors(write(tmp_path, content), IDS)
    assert "vectors.txt" in str(caught.value) and len(str(caught.value)) < 1000


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    path.write_bytes(b"4 3\ncat \x80\xff\x00\x01\n")
    with pytest.raises(DataError, match=r"vectors\.bin is not utf-8 all through"):
        read_vectors(path, IDS)


def test_the_table_has_found_words_at_the_spread_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("a 3 -6\nb 9 0\nz 1 1\n")
    table, found = vector_table(path, {"a": 2, "b": 4, "c": 5}, 300, seed=3)
    assert table.shape == (300, 2) and table.dtype == np.float32
    assert found.nonzero()[0].tolist() == [2, 4]
    values = np.array([[3.0, -6.0], [9.0, 0.0]])
    np.testing.assert_allclose(table[[2, 4]], values * np.sqrt(0.25**2 / 3) / values.std(), rtol=1e-6)
    others = np.delete(table, [2, 4], axis=0)
    assert np.abs(others).max() <= 0.25
    assert others.std() == pytest.approx(table[[2, 4]].std(), rel=0.1)


def test_columns_that_the_file_lacks_are_noise_for_trained_words_and_zero_for_others(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("a 1 2\nb 3 4\n")
    table, _ = vector_table(path, {"a": 2, "b": 3}, 4, seed=3, width=5, trained=3)
    assert (table[2, 2:] != 0).all()
    assert (table[3, 2:] == 0).all()
    assert (table[3, :2] != 0).all()
