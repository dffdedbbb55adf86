"""`unspool demo many-to-one`: the lecture's first notebook, "RNN Basics", and then our recipe.

The notebook reads the 1,000 most frequent words and the last 500 of them of each review, and trains SimpleRNN, GRU
and LSTM (E 50, H 100, dropout and recurrent dropout .2, batches of 64) for 6 epochs with Adam at 1e-4, epsilon 1e-4 and
every gradient clipped to norm 1. Two things differ here, and neither is a setting: padding is not read, because our
layers know lengths (the notebook pads on the left and reads the zeros), and gates use the exact logistic function.

With these settings SimpleRNN hardly learns, and why can be told beforehand. Recurrent dropout p hides a share p of the
state and divides the rest by 1 - p: an orthogonal matrix makes a state 1/√(1 - p) times as large at every step, 1.12
for .2. Through hundreds of steps it grows in training until tanh holds it, gradients grow with it, and without dropout,
in testing, the network is another one. A fourth row starts the same matrix √(1 - p) times as large, and changes nothing
else. Gated cells need no such care: their gates decide what stays.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from unspool.cli.demos.common import Row, find_data, indices, our_recipe, table
from unspool.cli.output import note, result

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from unspool.text.ragged import Ragged

    Labels = npt.NDArray[np.int64]

WORDS, LENGTH, EMBEDDING, HIDDEN, DROPOUT, BATCH, EPOCHS = 1000, 500, 50, 100, 0.2, 64, 6
RATE, EPSILON, CLIP = 1e-4, 1e-4, 1.0
NOTEBOOK = {"rnn": (0.58, 6 * 245.0), "gru": (0.72, 6 * 645.0), "lstm": (0.8276, 6 * 605.0)}
"""The lecture's accuracy on IMDB, and the seconds its six epochs took."""

STARTS = (
    ("rnn, notebook", "rnn", 1.0),
    ("rnn, smaller start", "rnn", (1 - DROPOUT) ** 0.5),
    ("gru, notebook", "gru", 1.0),
    ("lstm, notebook", "lstm", 1.0),
)
"""Name of a row, its network, and how many times as large as Keras's its recurrent weights start."""

RECIPE = {"gru": 3, "lstm": 3, "cnn": 4}
"""The networks that our recipe trains, with the epochs."""

NOT_WORDS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~', " "))  # what Keras's Tokenizer leaves out


def many_to_one(*, data: str = "film-reviews", minutes: float = 3.0, seed: int = 0) -> None:
    """SimpleRNN, GRU and LSTM exactly as in the lecture's notebook, then gru, lstm and cnn with our recipe.

    SimpleRNN also a second time, its recurrent weights started smaller, which is what it lacked.

    A random 80 % of the texts are trained on, the accuracy is that on the rest. The lecture's figures are for the
    film reviews of IMDB: give their file with --data to compare.

    Parameters
    ----------
    data
        Labelled texts with two labels: a file, a folder, or the name of a corpus.
    minutes
        Most wall time of each network with our recipe.
    seed
        Seed of everything random.
    """
    started = time.monotonic()
    from unspool.text.splitting import split

    texts = find_data(data, labels=2)
    rows = split(texts.texts, texts.labels, share=0.2, seed=seed)
    truth = indices(texts.labels)
    note(f"read       {len(rows[0]):,} texts to train on, {len(rows[1]):,} to test on")
    whole = _encode(texts.texts, rows[0])
    encoded = [whole.take(part) for part in rows]
    answers = [truth[part] for part in rows]
    shown = [_notebook(name, model, gain, encoded, answers, seed) for name, model, gain in STARTS]
    notebook = time.monotonic() - started
    for model, epochs in RECIPE.items():
        given = {"model": model, "seed": seed, "epochs": epochs}
        shown.append(our_recipe(given, texts, minutes, baseline=shown[-1].baseline))
    table(shown)
    result(f"the notebook's part {notebook:.0f} s (there about 2.5 hours), all {time.monotonic() - started:.0f} s")


def _encode(texts: list[str], train: Labels) -> Ragged:
    """Ids of the last 500 known words; words that are not among the 1,000 are left out, as in the notebook."""
    import numpy as np

    from unspool.text.ragged import Ragged, offsets_of
    from unspool.text.tokenizers import train_tokenizer
    from unspool.text.vocabulary import UNKNOWN

    cleaned = [text.translate(NOT_WORDS) for text in texts]
    words = train_tokenizer("word", [cleaned[row] for row in train], max_size=WORDS + 1, min_count=1)
    whole = words.encode_all(cleaned)
    known = whole.ids != UNKNOWN
    before = np.concatenate([[0], np.cumsum(known)])  # known words before each place
    counts = np.diff(before[whole.offsets])
    return Ragged(whole.ids[known], offsets_of(counts)).truncate(LENGTH, "tail")


def _notebook(name: str, model: str, gain: float, encoded: list[Ragged], truth: list[Labels], seed: int) -> Row:
    """Six epochs of one network with the notebook's settings."""
    import torch

    note(f"\n== {name}")
    started = time.monotonic()
    torch.manual_seed(seed)
    network = _network(model, gain)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, eps=EPSILON)
    accuracy = 0.0
    for epoch in range(EPOCHS):
        network.train()
        losses = [
            _step(network, optimizer, encoded[0], truth[0], rows) for rows in _batches(len(truth[0]), seed, epoch)
        ]
        accuracy = _accuracy(network, encoded[1], truth[1])
        seconds = time.monotonic() - started
        note(f"epoch {epoch + 1:3d}  loss {sum(losses) / len(losses):.4f}  accuracy {accuracy:.4f}  {seconds:6.1f} s")
    return Row(name, *NOTEBOOK[model], accuracy, time.monotonic() - started)


def _batches(count: int, seed: int, epoch: int) -> list[Labels]:
    """All rows in a random order; not sorted by length, as the notebook's are not."""
    import numpy as np

    from unspool.text.shuffling import random_keys

    order = np.argsort(random_keys(count, seed, epoch))
    return np.split(order, range(BATCH, count, BATCH))


def _network(model: str, gain: float) -> nn.Module:
    """Embedding, one recurrent layer, its last state, one logit; `gain`: of the recurrent weights at the start."""
    from torch import nn

    from unspool.nn import RECURRENT, Embedding, VariationalDropout

    class Notebook(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = Embedding(WORDS + 1, EMBEDDING, scale=0.05)  # Keras's uniform start
            self.dropout = VariationalDropout(DROPOUT)
            self.layer = RECURRENT[model](EMBEDDING, HIDDEN, batch_first=True, recurrent_dropout=DROPOUT)
            self.output = nn.Linear(HIDDEN, 1)
            recurrent = self.layer.get_parameter("weight_hh_l0")
            nn.init.orthogonal_(recurrent, gain)  # Keras starts all gates as one matrix, and biases at 0
            nn.init.xavier_uniform_(self.output.weight)
            nn.init.zeros_(self.output.bias)

        def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
            _, state = self.layer(self.dropout(self.embedding(ids)), lengths=lengths)
            last = state[0] if isinstance(state, tuple) else state
            logit: Tensor = self.output(last[0])
            return logit.squeeze(1)  # (B,)

    return Notebook()


def _step(network: nn.Module, optimizer: Any, texts: Ragged, truth: Labels, rows: Labels) -> float:
    import torch
    from torch.nn import functional

    logits = network(*_block(texts, rows))
    loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(truth[rows]).float())
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter in network.parameters():  # Keras's clipnorm: each tensor by itself
        torch.nn.utils.clip_grad_norm_(parameter, CLIP)
    optimizer.step()
    return float(loss.detach())


def _accuracy(network: nn.Module, texts: Ragged, truth: Labels) -> float:
    import torch

    from unspool.text.batching import sorted_batches

    network.eval()
    right = 0
    with torch.inference_mode():
        for rows in sorted_batches(texts.lengths, 256):
            answers = network(*_block(texts, rows)) > 0
            right += int((answers.numpy() == truth[rows]).sum())
    return right / len(truth)


def _block(texts: Ragged, rows: Labels) -> tuple[Tensor, Tensor]:
    import torch

    from unspool.text.ragged import pad

    ids, lengths = pad(texts, rows)
    return torch.from_numpy(ids), torch.from_numpy(lengths)
