"""The vocabulary that a Keras model was trained with, out of the file in which its user kept it.

Three forms are known: the JSON of `Tokenizer.to_json()`; a JSON object from words to ids (`Tokenizer.word_index`); and
a list, as JSON or one word a line, whose k-th word has id k (`TextVectorization.get_vocabulary()`, which begins with
an empty word and [UNK]).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unspool import files
from unspool.errors import DataError, ModelFileError, shorten
from unspool.text.sequences import KERAS_FILTERS, VECTORIZATION_FILTERS

LIMIT = 256 * 2**20


def read_vocabulary(path: Path, rows: int) -> dict[str, Any]:
    """Values for `Sequences`: words, unknown, and how texts are cut. Ids of `rows` and more have no vector: left out.

    Raises DataError for a file of another form, or without a word that has a vector.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise DataError(f"{shorten(path, 300)} cannot be read: {error.strerror}") from error
    if len(content) > LIMIT:
        raise DataError(f"{path.name} is larger than {LIMIT:,} bytes")
    values = _values(_parsed(content, path), rows, path)
    if not values["words"]:
        raise DataError(f"{path.name} names no word with an id from 1 to {rows - 1}: the network would read nothing")
    return values


def _values(found: Any, rows: int, path: Path) -> dict[str, Any]:
    if isinstance(found, dict) and found.get("class_name") == "Tokenizer":
        return _tokenizer(found.get("config"), rows, path)
    words = {word: k for k, word in enumerate(found)} if isinstance(found, list) and _texts(found) else found
    if not isinstance(words, dict) or not words or not all(type(number) is int for number in words.values()):
        raise DataError(f"{path.name} is neither a list of words nor a JSON object from words to whole numbers")
    if isinstance(found, list) and len(words) < len(found):
        raise DataError(f"{path.name} lists a word twice: its place is its id")
    if isinstance(found, list) and found[:1] == [""]:
        known = {word: number for word, number in words.items() if 1 < number < rows}
        cut = {"removed": VECTORIZATION_FILTERS, "blanked": "", "padding": "right", "keep": "head"}
        return {"words": known, "unknown": 1, **cut}
    return {"words": {word: number for word, number in words.items() if 0 < number < rows}}


def _parsed(content: bytes, path: Path) -> Any:
    """JSON, or else the lines of the file; a first line [UNK] looks like JSON and is none."""
    if content[:1] in (b"{", b"["):
        try:
            return files.parse_json(content, path)
        except ModelFileError as error:
            if content[:1] == b"{":
                raise DataError(str(error)) from error
    try:
        return content.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8: {shorten(error, 100)}") from error


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _tokenizer(config: Any, rows: int, path: Path) -> dict[str, Any]:
    """Keras's Tokenizer: ids from 1, those of num_words and more read as the oov token or left out."""
    try:
        index = config["word_index"]
        words = files.parse_json(index.encode(), path) if isinstance(index, str) else index
        limit = min(rows, config.get("num_words") or rows)
        known = {str(word): int(number) for word, number in words.items() if 0 < int(number) < limit}
        unknown = known.get(config["oov_token"]) if config.get("oov_token") else None
        if config.get("char_level") or config.get("split", " ") != " " or config.get("analyzer"):
            raise DataError(f"{path.name} cuts texts otherwise than at spaces: it cannot be imported")
        cut = {"lowercase": bool(config.get("lower", True)), "blanked": str(config.get("filters", KERAS_FILTERS))}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path.name} is not what Tokenizer.to_json() gives: {shorten(error, 100)}") from error
    return {"words": known, "unknown": unknown, **cut}
