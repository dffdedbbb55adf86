"""The tagger's data as the loop wants it, and the pass that tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unspool.config import Settings
from unspool.models.tagger import TagBatch, Tagger
from unspool.text.batching import Ragged, batches, pad, sorted_batches
from unspool.text.forms import Forms

Tags = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Encoded(NamedTuple):
    """Sentences as form numbers with their table, and the tags of all tokens, flat; -1 for a tag the model lacks."""

    rows: Ragged
    forms: Forms
    tags: Tags


class TaggerData:
    """Encoded training and validation sentences; implements `trainer.Data`.

    score: gives the figures of the flat answers (tokens,) on the validation part, `score` among them.
    """

    def __init__(
        self, train: Encoded, validation: Encoded, settings: Settings, score: Callable[[Tags], Mapping[str, float]]
    ) -> None:
        self.train, self.validation, self.settings, self.score = train, validation, settings, score
        self._tags = Ragged(train.tags.astype(np.int32), train.rows.offsets)

    def order(self, epoch: int) -> Sequence[npt.NDArray[np.int64]]:
        """Length-bucketed batches of row numbers."""
        return batches(self.train.rows.lengths, self.settings.batch_size, self.settings.seed, epoch)

    def batch(self, rows: npt.NDArray[np.int64]) -> TagBatch:
        """The padded block of some training rows; each distinct form of it is spelled once."""
        block, lengths = pad(self.train.rows, rows)
        distinct, inverse = np.unique(block, return_inverse=True)
        characters, character_lengths = pad(self.train.forms.characters, distinct)
        tags, _ = pad(self._tags, rows)
        return TagBatch(
            words=torch.from_numpy(self.train.forms.words[block]),
            forms=torch.from_numpy(inverse.reshape(block.shape)),
            lengths=torch.from_numpy(lengths),
            characters=torch.from_numpy(characters),
            character_lengths=torch.from_numpy(character_lengths),
            tags=torch.from_numpy(tags),
        )

    def validate(self, model: nn.Module, poll: Callable[[], None]) -> Mapping[str, float]:
        """The figures of the validation part."""
        answers, _ = predict(cast(Tagger, model), self.validation.rows, self.validation.forms, poll=poll)
        return self.score(answers)

    def validation_steps(self) -> float:
        """Steps as long as a validation: by its share of the tokens, at half the cost as nothing goes backward."""
        share = float(self.validation.rows.ids.size) / max(1, self.train.rows.ids.size)
        return 0.5 * share * len(self.train.rows) / self.settings.batch_size


@torch.inference_mode()
def predict(
    model: Tagger,
    rows: Ragged,
    forms: Forms,
    *,
    batch_size: int = 64,
    confidence: bool = False,
    poll: Callable[[], None] = lambda: None,
) -> tuple[Tags, Floats | None]:
    """The tag of every token, flat (tokens,) in the order of `rows`, and with `confidence` its probability.

    Each distinct form is spelled once, however often it stands in the sentences.
    """
    spelled = _spell_all(model, forms.characters, poll)
    words = torch.from_numpy(forms.words)
    answers = np.zeros(rows.ids.size, np.int64)
    certain = np.zeros(rows.ids.size) if confidence else None
    for chosen in sorted_batches(rows.lengths, batch_size):
        block, counts = pad(rows, chosen)
        numbers, lengths = torch.from_numpy(block), torch.from_numpy(counts)
        scores = model(words[numbers], spelled[numbers], lengths)
        best = model.decode(scores, lengths)
        real = np.arange(block.shape[1]) < counts[:, None]
        places = (rows.offsets[chosen][:, None] + np.arange(block.shape[1]))[real]
        answers[places] = best.numpy()[real]
        if certain is not None:
            shares = model.probabilities(scores, lengths).gather(2, best[..., None])[..., 0]
            certain[places] = shares.numpy()[real]
        poll()
    return answers, certain


def _spell_all(model: Tagger, characters: Ragged, poll: Callable[[], None]) -> Tensor:
    """The spelling vectors of all forms, (forms, S)."""
    result: Tensor | None = None
    for chosen in sorted_batches(characters.lengths, 512):
        ids, lengths = pad(characters, chosen)
        part = model.spell(torch.from_numpy(ids), torch.from_numpy(lengths))
        if result is None:
            result = torch.empty(len(characters), part.shape[1])
        result[torch.from_numpy(chosen)] = part
        poll()
    return torch.empty(0, 0) if result is None else result
