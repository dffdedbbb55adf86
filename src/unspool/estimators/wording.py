"""What the library says: messages are written once and name the flags of the commands; here they name arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from unspool.config import Settings
from unspool.errors import UnspoolError

# What needs more than the flag's name, as the library has no such argument or another.
_PHRASES = {
    ", or a file with --validation-data": "",
    ": say which column is the tag with --label-column": "",
    " (--label-column)": "",
    "train it with --label-column": "give fit labels",
    "--vectors and --from": "vectors and start",
    "--from MODEL": "start",
    "--vectors FILE": "vectors",
    "from the start of the command": "from the start of fit",
}
# What a user's own words hold besides, a label such as --verbose, stays as it is.
_ARGUMENTS = {*Settings.model_fields, "temperature", "top_k", "top_p", "repetition_penalty", "vectors", "start"}
_FLAG = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z-]*[a-z])(?: (?=\d))?")


def in_python(message: str) -> str:
    """The message with `temperature` for --temperature, `layers=2` for --layers 2, `joint=False` for --no-joint."""
    for phrase, meant in _PHRASES.items():
        message = message.replace(phrase, meant)
    return _FLAG.sub(_argument, message)


@contextmanager
def told_in_python() -> Iterator[None]:
    """Lets the errors of a block, or of a method it decorates, name arguments."""
    try:
        yield
    except UnspoolError as error:
        error.args = (in_python(str(error)),)
        raise


def _argument(flag: re.Match[str]) -> str:
    negated, name = flag[1], flag[2].replace("-", "_")
    if name not in _ARGUMENTS:
        return flag[0]
    if negated:
        return f"{name}=False"
    return f"{name}=" if flag[0].endswith(" ") else name
