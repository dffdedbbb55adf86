"""What a corpus writes is what the readers of `unspool.text` read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from unspool.corpora.entry import labelled_content, text_content
from unspool.text.readers import ReadOptions, read_labelled

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n\u2028"), min_size=1, max_size=20)


@given(st.lists(TEXT.filter(str.strip), min_size=2, max_size=10))
def test_labelled_rows_are_read_back_unaltered(texts: list[str]) -> None:
    rows = [(text, "even" if k % 2 == 0 else "01") for k, text in enumerate(texts)]
    content = labelled_content(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"corpus{content.suffix}"
        path.write_bytes(content.data)
        read = read_labelled(path, ReadOptions())
    assert list(zip(read.texts, read.labels, strict=True)) == rows
    assert content.examples == len(rows) and set(content.classes) == {"even", "01"}


def test_sizes_are_told_in_words() -> None:
    assert labelled_content([("a", "x"), ("b", "y")] * 1000).size == "2,000 texts, 2 classes"
    assert text_content("é" * 1000).size == "2,000 bytes"
