"""`unspool demo apply-everything`: what is known from CNNs, applied to a recurrent network, one thing at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.cli.demos.common import find_data
from unspool.cli.output import note, result
from unspool.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from unspool.models.classifier import Batch, Classifier
    from unspool.tasks.classify.fitting import Prepared
    from unspool.text.readers import LabelledTexts
    from unspool.training.classification import ClassifierData

PLAIN: dict[str, Any] = {
    "model": "lstm", "hidden": 64, "bidirectional": False, "pooling": "last", "dropout": 0.0, "embedding_dropout": 0.0,
    "word_dropout": 0.0, "weight_decay": 0.0, "validation": 0.2, "learning_rate": 2e-3,
}  # fmt: skip
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "torch's uniform start": {},
    "dropout .5": {"dropout": 0.5},
    "embedding dropout .3": {"embedding_dropout": 0.3},
    "recurrent dropout .25": {"recurrent_dropout": 0.25},
    "layer normalisation": {"layer_norm": True},
    "two layers": {"layers": 2},
    "two layers, residual": {"layers": 2, "residual": True},
    "optimiser sgd": {"optimizer": "sgd", "learning_rate": 0.1},
    "optimiser rmsprop": {"optimizer": "rmsprop"},
    "optimiser adadelta": {"optimizer": "adadelta", "learning_rate": 1.0},
    "weight decay .1": {"weight_decay": 0.1},
    "max over time": {"pooling": "max"},
    "both directions": {"bidirectional": True},
    "word dropout .1": {"word_dropout": 0.1},
    "swapped words": {},
}
"""Name and what differs from PLAIN; three more have no setting and are made here, by name."""

SWAPPED_SHARE = 0.1
ALPHA = 0.05


def apply_everything(
    *,
    data: str = "film-reviews",
    vectors: Path | None = None,
    transfer: str | None = None,
    epochs: int = 5,
    seed: int = 0,
) -> None:
    """A plain LSTM, then each of 15 changes by itself: initialisation, dropout, normalisation, residual, optimiser, …

    Trained on a random 80 % of the texts; shown are the best accuracy on the rest, and the difference to the plain
    network. The last lines tell how far off chance takes an accuracy, and which differences are more than chance.

    Parameters
    ----------
    data
        Labelled texts: a file, a folder, or the name of a corpus.
    vectors
        Pretrained word vectors, GloVe or word2vec text format (also .gz): one more row, which starts from them.
    transfer
        Other labelled texts: one more row, whose embedding and LSTM were first trained on these.
    epochs
        Passes over the texts for each row.
    seed
        Seed of everything random.
    """
    if epochs < 1:
        raise UsageError(f"--epochs is {epochs}: expected at least 1")
    texts, other = find_data(data), find_data(transfer) if transfer else None
    given = {**PLAIN, "epochs": epochs, "patience": epochs, "seed": seed}
    hits: dict[str, npt.NDArray[np.bool_]] = {}
    result(f"{'':24} {'accuracy':>8} {'change':>8} {'seconds':>8}")
    extra = (["pretrained vectors"] if vectors else []) + (["transfer"] if other else [])
    for name in (*CHANGES, *extra):
        started = time.monotonic()
        asked = {**given, **CHANGES.get(name, {})}
        hits[name] = _hits(name, asked, texts, vectors if name == "pretrained vectors" else None, other)
        accuracy, plain = hits[name].mean(), hits["plain"].mean()
        result(f"{name:24} {accuracy:8.4f} {accuracy - plain:+8.4f} {time.monotonic() - started:8.1f}")
    _tell_chance(hits)
    if missing := [flag for flag, file in (("--vectors FILE", vectors), ("--transfer DATA", other)) if file is None]:
        note(f"not shown  what other data gives: {', '.join(missing)}")


def _tell_chance(hits: Mapping[str, npt.NDArray[np.bool_]]) -> None:
    """The interval of an accuracy, and the changes that chance would hardly make."""
    import numpy as np

    from unspool.comparison.statistics import holm, sign_flip_p

    plain = hits["plain"]
    share, count = float(plain.mean()), len(plain)
    half = 1.96 * (share * (1 - share) / count) ** 0.5
    result(f"±{half:.4f} is the 95 % interval of each accuracy ({count:,} texts)")
    names = [name for name in hits if name != "plain"]
    found = holm([sign_flip_p(hits[name].astype(np.float64) - plain) for name in names])
    beyond = [name for name, p in zip(names, found, strict=True) if p < ALPHA]
    result(
        f"more than chance among these texts (paired test, corrected for {len(names)}): {', '.join(beyond) or 'none'}"
    )


def _hits(
    name: str, given: Mapping[str, Any], texts: LabelledTexts, vectors: Path | None, other: LabelledTexts | None
) -> npt.NDArray[np.bool_]:
    """Which texts of the validation part the best epoch answers rightly."""
    from unspool.tasks.classify import fitting

    prepared = fitting.prepare(texts.texts, texts.labels, given, vectors=vectors)
    network = _network(prepared)
    if name == "torch's uniform start":
        _start_uniform(network)
    if name == "transfer" and other is not None:
        _take_over(network, prepared, other, given)
    _train(network, prepared, swapped=name == "swapped words")
    right: npt.NDArray[np.bool_] = _predict(network, prepared) == prepared.validation.truth
    return right


def _network(prepared: Prepared) -> Classifier:
    import torch

    from unspool.models.classifier import Classifier

    assert prepared.tokenizer is not None
    torch.manual_seed(prepared.settings.seed)
    mode = "rand" if prepared.vectors is None else prepared.settings.vectors_mode
    size, classes = prepared.tokenizer.size, len(prepared.labels)
    return Classifier(prepared.settings, size, classes, vectors=prepared.vectors, vectors_mode=mode)


def _train(network: Classifier, prepared: Prepared, *, swapped: bool = False) -> None:
    from unspool.training.trainer import Trainer

    data = prepared.data
    assert data is not None
    Trainer(network, _Swapping(data) if swapped else data, prepared.settings).fit()


def _predict(network: Classifier, prepared: Prepared) -> npt.NDArray[np.int64]:
    from unspool.training.classification import predict

    assert prepared.data is not None
    answers: npt.NDArray[np.int64] = predict(network, prepared.data.validation).argmax(axis=1)
    return answers


def _start_uniform(network: Classifier) -> None:
    """torch.nn.LSTM's start: everything from U(-1/√H, 1/√H), the forget bias too."""
    import torch

    with torch.no_grad():
        for parameter in network.encoder.parameters():  # type: ignore[attr-defined]
            parameter.uniform_(-(network.settings.hidden**-0.5), network.settings.hidden**-0.5)


def _take_over(network: Classifier, prepared: Prepared, other: LabelledTexts, given: Mapping[str, Any]) -> None:
    """Train on the other texts, then take over the LSTM, and the vectors of the words that both know."""
    import torch

    from unspool.tasks.classify import fitting

    note("transfer: training on the other texts first")
    before = fitting.prepare(other.texts, other.labels, given)
    source = _network(before)
    _train(source, before)
    assert prepared.tokenizer is not None
    assert before.tokenizer is not None
    known = {before.tokenizer.token(place): place for place in range(2, before.tokenizer.size)}
    pairs = [(k, known.get(prepared.tokenizer.token(k))) for k in range(2, prepared.tokenizer.size)]
    network.encoder.load_state_dict(source.encoder.state_dict())  # type: ignore[attr-defined]
    with torch.no_grad():
        for own, theirs in pairs:
            if theirs is not None:
                network.embedding.weight[own] = source.embedding.weight[theirs]


class _Swapping:
    """The data with a tenth of neighbouring words swapped in every training batch: an augmentation."""

    def __init__(self, data: ClassifierData) -> None:
        self.data = data
        self.order, self.validate = data.order, data.validate

    def batch(self, rows: Any) -> Batch:
        batch = self.data.batch(rows)
        return batch._replace(ids=swap(batch.ids, batch.lengths, SWAPPED_SHARE))


def swap(ids: torch.Tensor, lengths: torch.Tensor, share: float) -> torch.Tensor:
    """ids (B, T) with about `share` of the tokens of each row exchanged with their right neighbour."""
    import torch

    chosen = torch.rand(ids.shape) < share / 2
    chosen[:, 1:] &= ~chosen[:, :-1]  # no token moves twice
    chosen &= torch.arange(ids.shape[1]) < lengths[:, None] - 1
    order = torch.arange(ids.shape[1]).expand_as(ids).clone()
    order[chosen] += 1
    order[:, 1:][chosen[:, :-1]] -= 1
    return ids.gather(1, order)
