"""Words as a tagger reads them: each distinct form once, with its id in the vocabulary and its characters.

A corpus repeats its words, so a sentence is a row of form numbers, and what belongs to a form (word id, character ids)
stands in a table. Form 0 is padding: word id 0, no characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unspool.errors import ModelFileError
from unspool.text.characters import CharTokenizer
from unspool.text.ragged import Int64, Ragged, offsets_of
from unspool.text.vocabulary import PADDING, UNKNOWN, Vocabulary

MOST_CHARACTERS = 32  # of a longer word the first and the last half are read
WORDS_FILE, CHARACTERS_FILE = "vocabulary.json", "characters.json"


@dataclass(frozen=True)
class Forms:
    """words: int64 (n,) the word id of each form. characters: n rows of character ids; all empty without characters."""

    words: Int64
    characters: Ragged


class FormEncoder:
    """From sentences of tokens to form numbers and the table of forms.

    words: the vocabulary of word ids. characters: None when a model does not read them. lowercase: fold the case of
    words (never of characters).
    """

    def __init__(self, words: Vocabulary, characters: CharTokenizer | None, *, lowercase: bool) -> None:
        self.words, self.characters, self.lowercase = words, characters, lowercase

    @classmethod
    def train(
        cls,
        sentences: Iterable[Sequence[str]],
        *,
        characters: bool,
        min_count: int,
        max_size: int | None,
        lowercase: bool,
    ) -> FormEncoder:
        """Vocabularies of the training sentences alone.

        min_count: a word seen less often is unknown, and so is a character seen fewer than twice. max_size: most word
        ids, padding and unknown included.
        """
        forms = Counter(token for sentence in sentences for token in sentence)
        words: Counter[str] = Counter()
        for form, count in forms.items():
            words[form.lower() if lowercase else form] += count
        known = Vocabulary.from_counts(words, min_count=min_count, max_size=max_size)
        return cls(known, _alphabet(forms) if characters else None, lowercase=lowercase)

    def extended(self, more_words: Iterable[str], *, max_size: int | None) -> FormEncoder:
        """The same with further words behind its own, up to `max_size` ids: those that pretrained vectors know."""
        words = self.words.extended(more_words, max_size=max_size)
        return FormEncoder(words, self.characters, lowercase=self.lowercase)

    def joined(self, other: FormEncoder, *, max_size: int | None) -> FormEncoder:
        """The same with the words (up to `max_size` ids) and characters of another encoder behind its own."""
        own, more = self.characters, other.characters
        if own is not None and more is not None:
            letters = own.vocabulary.extended(more.vocabulary.tokens, max_size=None)
            own = CharTokenizer(letters, lowercase=False)
        words = self.words.extended(other.words.tokens, max_size=max_size)
        return FormEncoder(words, own, lowercase=self.lowercase)

    def encode(self, sentences: Sequence[Sequence[str]]) -> tuple[Ragged, Forms]:
        """Form numbers, a row for each sentence, and the table they point into."""
        numbers: dict[str, int] = {"": PADDING}
        flat = [numbers.setdefault(token, len(numbers)) for sentence in sentences for token in sentence]
        rows = Ragged(np.array(flat, np.int32), offsets_of([len(sentence) for sentence in sentences]))
        return rows, self._table(list(numbers))

    def unknown_rate(self, rows: Ragged, forms: Forms) -> float:
        """The share of tokens whose word is unknown, 0 to 1."""
        return float((forms.words[rows.ids] == UNKNOWN).mean()) if rows.ids.size else 0.0

    def to_files(self) -> dict[str, bytes]:
        """vocabulary.json, and characters.json where characters are read."""
        own = {WORDS_FILE: self.words.to_file()}
        return own if self.characters is None else {**own, CHARACTERS_FILE: self.characters.vocabulary.to_file()}

    @classmethod
    def from_files(
        cls, files: Mapping[str, bytes], *, words: int, characters: int | None, lowercase: bool
    ) -> FormEncoder:
        """Strict reading of `to_files`; words and characters: how many ids there are, 0 and 1 included."""
        for name in (WORDS_FILE, *((CHARACTERS_FILE,) if characters is not None else ())):
            if name not in files:
                raise ModelFileError(f"the model has no {name}")
        alphabet = None
        if characters is not None:
            found = Vocabulary.from_file(files[CHARACTERS_FILE], characters)
            if any(len(token) != 1 for token in found.tokens):
                raise ModelFileError(f"{CHARACTERS_FILE} holds single characters only")
            alphabet = CharTokenizer(found, lowercase=False)
        return cls(Vocabulary.from_file(files[WORDS_FILE], words), alphabet, lowercase=lowercase)

    def _table(self, forms: list[str]) -> Forms:
        ids = self.words.ids
        words = np.array([ids.get(form.lower() if self.lowercase else form, UNKNOWN) for form in forms], np.int64)
        words[PADDING] = PADDING
        if self.characters is None:
            return Forms(words, Ragged(np.empty(0, np.int32), np.zeros(len(forms) + 1, np.int64)))
        return Forms(words, self.characters.encode_all(forms).truncate(MOST_CHARACTERS, "both"))


def _alphabet(forms: Mapping[str, int]) -> CharTokenizer:
    """The characters that two tokens or more have: one alone could tell a secret, and would hardly be learned."""
    counts: Counter[str] = Counter()
    for form, count in forms.items():
        for character in set(form):
            counts[character] += count
    return CharTokenizer(Vocabulary.from_counts(counts, min_count=2, max_size=None), lowercase=False)
