"""The tagger's yardstick: each word its commonest tag; a new word that of the words with its ending."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

ENDING = 3


class Lookup:
    """Counts of (word, tag), (ending and shape, tag) and tags, made from the training sentences."""

    def __init__(self, tokens: Iterable[Sequence[str]], tags: Iterable[Sequence[str]]) -> None:
        words: dict[str, Counter[str]] = defaultdict(Counter)
        endings: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        everything: Counter[str] = Counter()
        for sentence, marks in zip(tokens, tags, strict=True):
            everything.update(marks)
            for word, tag in zip(sentence, marks, strict=True):
                words[word][tag] += 1
        for word, counts in words.items():
            endings[_ending(word)].update(counts.keys())  # each word once: new words are rare ones
        self._words = {word: _first(counts) for word, counts in words.items()}
        self._endings = {ending: _first(counts) for ending, counts in endings.items()}
        self._usual = _first(everything)

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The tags of each sentence."""
        return [[self._of(word) for word in sentence] for sentence in sentences]

    def _of(self, word: str) -> str:
        return self._words.get(word) or self._endings.get(_ending(word), self._usual)


def _ending(word: str) -> tuple[str, str]:
    shape = "Aa" if word[:1].isupper() else "1" if any(character.isdigit() for character in word) else "a"
    return word[-ENDING:].lower(), shape


def _first(counts: Counter[str]) -> str:
    """The commonest tag, the first in the alphabet among equals."""
    return min(counts, key=lambda tag: (-counts[tag], tag))
