"""Korean syllables and their names in Latin letters, as the Unicode standard lists them; ships with Python."""

from __future__ import annotations

import unicodedata

from unspool.corpora.entry import Content, paired_content

FIRST, LAST = 0xAC00, 0xD7A3
PREFIX = "HANGUL SYLLABLE "


def read_hangul() -> Content:
    """Each of the 11,172 syllables as its two or three letters (NFD), and its name in lower case: 한, han."""
    syllables = [chr(code) for code in range(FIRST, LAST + 1)]
    names = [unicodedata.name(syllable).removeprefix(PREFIX).lower() for syllable in syllables]
    return paired_content((unicodedata.normalize("NFD", one), name) for one, name in zip(syllables, names, strict=True))
