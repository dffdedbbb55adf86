"""What a user may say about a data file; None means: find out."""

from __future__ import annotations

from dataclasses import dataclass

from unspool.errors import SettingError, nearest, shorten

FORMATS = ("csv", "tsv", "jsonl", "fasttext", "lines", "folder", "text")
TAGGED_FORMATS = ("conll", "conllu", "seq", "jsonl")
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}


@dataclass(frozen=True)
class ReadOptions:
    """How to read a data file.

    text_column, label_column: a column's name, or its number from 1. separator: one of , tab ; | or its name.
    header: whether a table's first row names the columns. encoding: any text encoding Python knows. format: csv,
    tsv, jsonl, fasttext (`__label__x text`), lines (`label text`), folder (one file or sub-folder a class), text
    (one text a line, no labels); of tagged tokens conll, conllu, seq (seq.in, seq.out) or jsonl. Raises SettingError
    for a value that is none of the known ones.
    """

    text_column: str | int | None = None
    label_column: str | int | None = None
    separator: str | None = None
    header: bool | None = None
    encoding: str | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        known = tuple(dict.fromkeys((*FORMATS, *TAGGED_FORMATS)))
        if self.format is not None and self.format not in known:
            raise _unknown("format", self.format, known)
        if self.separator is not None:
            object.__setattr__(self, "separator", _separator(self.separator))
        if self.encoding is not None:
            _check_encoding(self.encoding)
        for name in ("text_column", "label_column"):
            value = getattr(self, name)
            if value == "" or (isinstance(value, int) and value < 1):
                raise SettingError(f"{name} must be a column's name or its number from 1, got {value!r}")
        if self.format == "tsv" and self.separator not in (None, "\t"):
            raise SettingError("format tsv is separated by tabs: leave the separator out, or use format csv")

    @property
    def asks_for_table(self) -> bool:
        """Whether something was said that only a table has."""
        asked = (self.text_column, self.label_column, self.separator, self.header)
        return any(value is not None for value in asked)

    def refuse_useless(self, kind: str) -> None:
        """Raise SettingError when something was asked that has no effect on this kind of file (one of the formats)."""
        useful = {"csv": 4, "tsv": 4, "conll": 4, "conllu": 2, "jsonl": 2}.get(kind, 0)
        for name in ("text_column", "label_column", "separator", "header")[useful:]:
            if getattr(self, name) is not None:
                flag = "--" + name.replace("_", "-")
                raise SettingError(f"{flag} has no effect on a file of format {kind}; leave it out, or give --format")


def _separator(given: str) -> str:
    by_name = {name: character for character, name in SEPARATORS.items()} | {"\\t": "\t"}
    if given in SEPARATORS:
        return given
    if given in by_name:
        return by_name[given]
    raise _unknown("separator", given, tuple(SEPARATORS.values()))


def _check_encoding(given: str) -> None:
    try:
        "".encode(given)
        b"".decode(given)
    except (LookupError, ValueError) as error:
        usual = ("utf-8", "utf-16", "utf-32", "cp1252", "latin-1", "shift_jis", "gb18030", "euc-kr", "koi8-r")
        raise _unknown("encoding", given, usual) from error


def _unknown(what: str, given: str, known: tuple[str, ...]) -> SettingError:
    return SettingError(
        f"{what} must be one of {', '.join(known)}; got {shorten(given)!r}{nearest(shorten(given), known)}"
    )
