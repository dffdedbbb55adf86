"""Flags that several commands share; every setting is a flag, made from the one table in `config`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from unspool import config
from unspool.errors import SettingError, shorten
from unspool.text.readers import ReadOptions


def _flag_type(name: str) -> Any:
    """What the command line takes for a setting: a text where the table knows how to read one."""
    return str if name == "region_sizes" else config.Settings.model_fields[name].annotation


def _flags(class_name: str, names: Iterable[str]) -> Any:
    described = {name: config.Settings.model_fields[name].description or "" for name in names}
    return Parameter(name="*", group="Settings")(
        make_dataclass(
            class_name,
            [
                (name, Annotated[_flag_type(name) | None, Parameter(help=text)], None)
                for name, text in described.items()
            ],
            frozen=True,
            namespace={"__module__": __name__},  # else cyclopts takes it for a type of the standard library
        )
    )


SettingFlags: Any = _flags("SettingFlags", config.Settings.model_fields)
PretrainFlags: Any = _flags("PretrainFlags", config.settings_of("generate"))


def given_settings(flags: Any, from_file: Mapping[str, Any]) -> dict[str, Any]:
    """The settings a user gave: those of a TOML file, and the flags' on top."""
    from_flags = {field.name: getattr(flags, field.name) for field in fields(flags)} if flags else {}
    return {**from_file, **{name: value for name, value in from_flags.items() if value is not None}}


@contextmanager
def told_by_file(file: Path | None, from_file: Mapping[str, Any], flags: Any) -> Iterator[None]:
    """Let an error about a setting that the TOML file gave name the file and the key, not a flag nobody gave."""
    try:
        yield
    except SettingError as error:
        keys = {config.flag(name): name for name in from_file if getattr(flags, name, None) is None}
        message = re.sub(r"--[a-z][a-z-]*", lambda found: keys.get(found[0], found[0]), str(error))
        if file is None or message == str(error):
            raise
        raise type(error)(f"{shorten(file, 300)}: {message}") from error


@Parameter(name="*", group="Reading")
@dataclass(frozen=True)
class ReadFlags:
    """How to read a data file; what is not given is found out.

    Attributes
    ----------
    text_column
        Column of the texts: a name, or a number from 1.
    label_column
        Column of the labels: a name, or a number from 1. A language model trained with it writes by label (unspool
        generate --label).
    separator
        comma, tab, semicolon or pipe.
    header
        Whether a table's first row names its columns.
    encoding
        Any text encoding Python knows.
    format
        csv, tsv, jsonl, fasttext, lines (label, space, text), folder, or text.
    """

    text_column: str | None = None
    label_column: str | None = None
    separator: str | None = None
    header: bool | None = None
    encoding: str | None = None
    format: str | None = None

    def options(self) -> ReadOptions:
        """As the readers take them: a column that is all digits is a number."""
        return ReadOptions(
            _column(self.text_column),
            _column(self.label_column),
            self.separator,
            self.header,
            self.encoding,
            self.format,
        )


@Parameter(name="*", group="Reading")
@dataclass(frozen=True)
class TextFlags:
    """How to read a file of texts without labels; what is not given is found out.

    Attributes
    ----------
    text_column
        Column of the texts: a name, or a number from 1.
    separator
        comma, tab, semicolon or pipe.
    header
        Whether a table's first row names its columns.
    encoding
        Any text encoding Python knows.
    format
        csv, tsv, jsonl, fasttext, lines (label, space, text), folder, or text.
    """

    text_column: str | None = None
    separator: str | None = None
    header: bool | None = None
    encoding: str | None = None
    format: str | None = None

    def options(self) -> ReadOptions:
        """As the readers take them."""
        return ReadOptions(_column(self.text_column), None, self.separator, self.header, self.encoding, self.format)


def _column(name: str | None) -> str | int | None:
    return int(name) if name is not None and name.isascii() and name.isdigit() else name
