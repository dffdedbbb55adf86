"""From words and punctuation marks, one by one, back to running text.

The word level forgets white space; this puts it back by the habits of European typography. It is a guess: "two-year"
and "two - year" are the same tokens. Byte-pair and character models need no guess.
"""

from __future__ import annotations

from collections.abc import Iterable

NO_SPACE_BEFORE = frozenset(".,;:!?%)]}…»”’'")
NO_SPACE_AFTER = frozenset("([{¿¡«“‘„$€£#@")
NO_SPACE_AROUND = frozenset("-/–")


def detokenise(tokens: Iterable[str]) -> str:
    """One string; straight double quotes open and close in turn."""
    text, glue, quoted = "", True, False
    for token in tokens:
        closes = token == '"' and quoted
        attached = glue or closes or token in NO_SPACE_BEFORE or token in NO_SPACE_AROUND
        text += token if attached else " " + token
        if token == '"':
            quoted = not quoted
        glue = token in NO_SPACE_AFTER or token in NO_SPACE_AROUND or (token == '"' and quoted)
    return text
