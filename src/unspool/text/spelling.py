"""Ids to text as they come, one at a time: what is printed while it is made."""

from __future__ import annotations

from collections.abc import Sequence

from unspool.text.base import Tokenizer
from unspool.text.streams import START

_CLOSING = frozenset(".,;:!?)]}%…’”»")
_OPENING = frozenset("([{“«‘¿¡")
_LONGEST = 4  # bytes of a character


class Speller:
    """Gives the text that each id adds, and at the levels of words puts the blanks where a writer would.

    `END` ids become line ends. Bytes are held back until they form a character. Spellers side by side may share
    `texts`, where each notes what a token is spelled like.
    """

    def __init__(self, tokenizer: Tokenizer, texts: dict[int, str] | None = None) -> None:
        self._tokenizer = tokenizer
        self._texts = {} if texts is None else texts
        self._bytes = tokenizer.level in ("byte", "bpe")
        self._words = not tokenizer.reversible
        self._held: list[int] = []
        self._before = "\n"

    @property
    def by_itself(self) -> bool:
        """Whether a token's text is the same whatever stands before it."""
        return not (self._bytes or self._words)

    def add(self, token_id: int) -> str:
        """The text that the id adds; may be empty while the bytes of a character are not complete."""
        if token_id == START:
            return self.finish() + self._line_end()
        if self._bytes:
            return self._add_bytes(token_id)
        text = self._texts.get(token_id)
        if text is None:
            text = self._texts[token_id] = self._tokenizer.decode([token_id])
        if not self._words:
            return text
        blank = " " if self._wants_blank(text) else ""
        self._before = text
        return blank + text

    def each(self, token_ids: Sequence[int]) -> list[str]:
        """The texts of ids that do not follow one another. Only where each token is spelled `by_itself`."""
        known = self._texts
        return [known.get(token_id) or self.add(token_id) for token_id in token_ids]

    def finish(self) -> str:
        """What is still held back."""
        text = self._tokenizer.decode(self._held)
        self._held = []
        return text

    def _line_end(self) -> str:
        self._before = "\n"
        return "\n"

    def _add_bytes(self, token_id: int) -> str:
        self._held.append(token_id)
        text = self._tokenizer.decode(self._held)
        if text.endswith("\ufffd") and len(self._held) < _LONGEST:
            return ""
        self._held = []
        return text

    def _wants_blank(self, text: str) -> bool:
        if self._before == "\n":
            return False
        if self._tokenizer.level == "token":
            return True
        return text not in _CLOSING and self._before not in _OPENING
