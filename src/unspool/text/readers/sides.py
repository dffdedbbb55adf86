"""Which columns of a table of pairs are the source and the target: as asked, by their names, or the first two."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unspool.errors import DataError
from unspool.text.readers.columns import asked_column
from unspool.text.readers.options import ReadOptions

SOURCE_NAMES = ("source", "src", "source_text", "input", "from", "original", "question")
TARGET_NAMES = ("target", "tgt", "target_text", "output", "to", "translation", "answer")
_CODES = (
    "ar bg ca cs da de el en es et eu fa fi fr ga he hi hr hu id is it ja ko lt lv nl no pl pt ro ru sk sl sq sr sv"
)
_NAMES = (
    "arabic bulgarian catalan chinese croatian czech danish dutch english estonian finnish french german greek hebrew "
    "hindi hungarian indonesian italian japanese korean latin norwegian persian polish portuguese romanian russian "
    "slovak slovenian spanish swedish thai turkish ukrainian vietnamese"
)
LANGUAGES = frozenset((*_CODES.split(), "th", "tr", "uk", "vi", "zh", *_NAMES.split()))
SURE_NAMES = 3  # so many of the names above are used for nothing but pairs


def choose_sides(origin: str, names: Sequence[str] | None, width: int, options: ReadOptions) -> tuple[int, int]:
    """Positions of the source and the target: as asked, by name, else the first two that are free.

    names is None for a table without header; width: how many columns. Raises DataError when both are one column.
    """
    asked = [asked_column(origin, names, width, options.text_column, "--text-column")]
    asked.append(asked_column(origin, names, width, options.label_column, "--label-column"))
    for side, column in enumerate(named_sides(names or ()) or _usual([name.strip().lower() for name in names or ()])):
        if asked[side] is None and column not in asked:
            asked[side] = column
    for side in (0, 1):
        if asked[side] is None:
            asked[side] = next(column for column in range(width) if column not in asked)
    left, right = asked
    if left is None or right is None or left == right:
        raise DataError(f"{origin}: source and target cannot be the same column")
    return left, right


def is_header(head: Sequence[str], options: ReadOptions) -> bool:
    """Whether the first row names its columns: one is asked for by its name, or both sides are named."""
    asked = {str(name) for name in (options.text_column, options.label_column) if name is not None}
    if asked and not all(name.isdigit() for name in asked):
        return True
    return bool(named_sides(head))


def named_sides(names: Sequence[str], usual: int | None = None) -> list[int]:
    """Positions of the source and the target among the names of columns: the usual names of both (all, or the first
    `usual` of them), or else the first two languages. Empty when there are not both."""
    plain = [name.strip().lower() for name in names]
    sides = [column for column in _usual(plain, usual) if column is not None]
    if len(sides) < 2:
        sides = languages(names)[:2]
    return sides if len({plain[column] for column in sides}) == 2 else []


def _usual(plain: Sequence[str], most: int | None = None) -> list[int | None]:
    """Positions of the first usual name of a source and of a target, of all such names or the first `most`."""
    return [
        next((plain.index(name) for name in known[:most] if name in plain), None)
        for known in (SOURCE_NAMES, TARGET_NAMES)
    ]


def languages(names: Sequence[str]) -> list[int]:
    """Positions of the names that are a language's, or its code as in en, en-GB or pt_br.

    "id" is Indonesian beside one other column, and a number among several.
    """
    plain = [re.sub(r"[-_][a-z]{2,4}$", "", name.strip().lower()) for name in names]
    return [k for k, name in enumerate(plain) if name in LANGUAGES and (name != "id" or len(names) == 2)]
