"""Whether texts are better cut into words or into characters, by looking at them.

Word models need words that come back: running text. Names and codes hardly repeat a word, DNA is one long "word",
and Chinese, Japanese and Thai write no blanks between words: there characters carry the pattern.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

SAMPLE = 2000
SAMPLE_CHARACTERS = 500  # of each text
LONG_PIECE = 25  # characters; the mean length of what stands between blanks in DNA or hashes, never in prose
FEW_PIECES = 2.5
_TOKENS = frozenset((",", ".", "?", "!", ";", "<unk>", "n't", "'s"))
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


def detect_level(texts: Sequence[str]) -> tuple[str, str]:
    """('word' or 'char', the reason in a few words), from a sample spread over the texts."""
    sample = [texts[row][:SAMPLE_CHARACTERS] for row in _spread(len(texts))]
    pieces = [piece for text in sample for piece in text.split()]
    if not pieces:
        return "char", "the texts are blank"
    if (share := _unspaced_share("".join(pieces[:SAMPLE]))) > 0.3:
        return "char", f"{share:.0%} of the characters belong to a script without blanks between words"
    mean_length = sum(map(len, pieces)) / len(pieces)
    if mean_length > LONG_PIECE:
        return "char", f"what stands between blanks is {mean_length:.0f} characters long"
    per_text = len(pieces) / len(sample)
    fresh = len({piece.lower() for piece in pieces}) / len(pieces)
    if per_text <= FEW_PIECES and fresh > 0.4:
        return "char", f"{per_text:.1f} words a text, {fresh:.0%} of them new: names or codes"
    return "word", f"{per_text:.0f} words a text, {1 - fresh:.0%} of them seen before"


def is_tokenised(text: str) -> bool:
    """Whether a text was cut into tokens before, with blanks around every mark of punctuation."""
    pieces = text[: SAMPLE * SAMPLE_CHARACTERS].split()
    alone = sum(piece in _TOKENS for piece in pieces)
    attached = sum(len(piece) > 1 and piece[-1] in ",;?!" for piece in pieces)
    return alone > 0.01 * len(pieces) and attached < 0.001 * len(pieces)


def _spread(count: int) -> list[int]:
    chosen: list[int] = np.unique(np.linspace(0, max(count - 1, 0), min(count, SAMPLE)).astype(np.int64)).tolist()
    return chosen


def _unspaced_share(text: str) -> float:
    letters = [character for character in text if not character.isascii()]
    unspaced = sum(unicodedata.name(character, "").startswith(_UNSPACED) for character in letters)
    return unspaced / len(text)
