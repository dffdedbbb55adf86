"""Samples of a language model, each up to the text before which it ends."""

from __future__ import annotations

from collections.abc import Iterator

from unspool.decoding.sampling import Sampling
from unspool.predictors import GeneratorPredictor
from unspool.predictors.generator import Token
from unspool.text.ragged import Int64

BATCH = 64  # samples made side by side


class Sample:
    """The tokens of one sample up to the text before which it ends, and why it ended: stop, end, or None so far."""

    def __init__(self, stop: str | None) -> None:
        self.tokens: list[Token] = []
        self.finish: str | None = None
        self._stop, self._tail = stop, ""

    @property
    def text(self) -> str:
        """What its tokens spell."""
        return "".join(token.text for token in self.tokens)

    def add(self, token: Token | None) -> None:
        """One token more, None where a document has ended; what comes after the end is left out."""
        if self.finish or token is None:
            self.finish = self.finish or "end"
            return
        self.tokens.append(token)
        if not self._stop:
            return
        near = self._tail + token.text
        found = near.find(self._stop)
        if found >= 0:
            self.finish = "stop"
            self._take_back(len(near) - found)
        self._tail = near[max(0, len(near) - len(self._stop) + 1) :]

    def _take_back(self, characters: int) -> None:
        """Without the last characters, and without the tokens of which nothing stays, nor bytes of what is gone."""
        while self.tokens and len(self.tokens[-1].text) <= characters:
            characters -= len(self.tokens.pop().text)
        if characters:
            last = self.tokens[-1]
            self.tokens[-1] = last._replace(text=last.text[:-characters])


def side_by_side(
    predictor: GeneratorPredictor, ids: Int64, how: Sampling, length: int, stop: str | None, count: int
) -> Iterator[Sample]:
    """Samples made side by side, no further than it takes until all of them have ended."""
    for first in range(0, count, BATCH):
        rows = [Sample(stop) for _ in range(min(BATCH, count - first))]
        for step in predictor.generate(ids, how, length, len(rows), first_sample=first):
            for row, token in zip(rows, step, strict=True):
                row.add(token)
            if all(row.finish for row in rows):
                break
        yield from rows
