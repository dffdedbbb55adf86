"""Pretrained word vectors in the text format of GloVe and word2vec: a word and its numbers, one word a line.

word2vec's file begins with a line "words dimensions", GloVe's does not. Some words of GloVe 840B contain blanks, so
a line is cut from its right end. Only the wanted words are kept, so a 5 GB file needs the memory of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unspool.errors import DataError, SettingError, shorten
from unspool.text.readers.encoding import Survey, lines
from unspool.text.readers.source import Source, open_source

LIMIT = 0.25  # of the uniform distribution that words without a vector come from (Kim 2014, section 3.2)


def read_vectors(path: Path | str, ids: Mapping[str, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(matrix, found): the vectors of the words in `ids` (word to row number), from a text file, gzipped or not.

    matrix: float32 (highest row number + 1, dimensions), zeros where nothing was found; found: bool (rows,).
    Raises DataError naming the line for a wrong number of columns, a number that is none or not finite, or a wanted
    word that stands twice; and when no wanted word is in the file.
    """
    with open_source(path) as source:
        return _read(source, ids)


def vector_table(
    path: Path | str, ids: Mapping[str, int], size: int, seed: int, width: int | None = None, trained: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(table, found): rows for all `size` ids, those of found words from the file, the others from U(-.25, .25).

    width: columns of the table, those of the file when None; columns that the file lacks are random for every word,
    but zero from row `trained` on: no training text has those words, so nothing would ever move their noise.
    The file's numbers are scaled as one to the standard deviation of the others: vectors several times as wide as
    what a network begins with hardly learn, and drown the words that are not in the file (docs/experiments.md, MR).
    """
    matrix, found = read_vectors(path, ids)
    given = matrix.shape[1]
    if width is not None and width < given:
        raise SettingError(f"--embedding is {width} but the vectors have {given} columns: give at least as many")
    table = np.random.default_rng(seed).uniform(-LIMIT, LIMIT, (size, width or given)).astype(np.float32)
    table[trained if trained is not None else size :, given:] = 0
    spread = float(matrix[found].std()) or 1.0
    table[: len(found), :given][found] = matrix[found] * (LIMIT / 3**0.5 / spread)
    return table, found


def vector_words(path: Path | str, most: int) -> list[str]:
    """The first `most` words of a file of vectors, which usually are its most frequent; DataError as `read_vectors`."""
    with open_source(path) as source:
        survey = Survey("utf-8", "\n", False, "")
        dimensions, header = _dimensions(source.name, next(lines(source, survey), ""))
        rows = islice(lines(source, survey), int(header), most + int(header))
        return [row.rstrip().rsplit(" ", dimensions)[0] for row in rows]


def _read(source: Source, ids: Mapping[str, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    numbered = enumerate(lines(source, Survey("utf-8", "\n", False, "")), start=1)
    first_number, first = next(numbered, (0, ""))
    dimensions, header = _dimensions(source.name, first)
    rest = numbered if header else chain([(first_number, first)], numbered)
    rows = max(ids.values(), default=-1) + 1
    matrix = np.zeros((rows, dimensions), np.float32)
    found = np.zeros(rows, np.bool_)
    for number, line in rest:
        cut = line.rstrip().rsplit(" ", dimensions)
        if len(cut) != dimensions + 1:
            raise DataError(f"{source.name}, line {number}: expected a word and {dimensions} numbers")
        row = ids.get(cut[0])
        if row is None:
            continue
        if found[row]:
            raise DataError(f"{source.name}, line {number}: {shorten(cut[0], 40)!r} stands twice")
        matrix[row] = _numbers(source.name, number, cut[1:])
        found[row] = True
    if not found.any():
        raise DataError(
            f"{source.name} has none of the {len(ids)} words of the vocabulary; are they of one language and case?"
        )
    return matrix, found


def _dimensions(origin: str, first: str) -> tuple[int, bool]:
    """How many numbers a line has, and whether the first line is word2vec's header."""
    parts = first.split()
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        if not 1 <= int(parts[1][:9]) <= 100_000:
            raise DataError(f"{origin}, line 1: {shorten(parts[1], 20)} dimensions are out of reason")
        return int(parts[1]), True
    numbers = 0
    for part in reversed(parts[1:]):
        if not _is_number(part):
            break
        numbers += 1
    if numbers < 1:
        raise DataError(f"{origin}, line 1: expected a word and its numbers, got {shorten(first.rstrip(), 60)!r}")
    return numbers, False


def _numbers(origin: str, line: int, parts: list[str]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            values = np.array(parts, np.float64).astype(np.float32)
    except ValueError as error:
        raise DataError(f"{origin}, line {line}: {shorten(error, 100)}") from error
    if not np.isfinite(values).all():
        raise DataError(f"{origin}, line {line}: a number is not finite")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
