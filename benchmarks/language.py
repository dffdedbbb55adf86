"""Training steps of a character model, against a plain torch one: `python -m benchmarks.language [--json]`.

Both sides embed, run the LSTM over a chunk with the state carried on, take the cross-entropy of 67 characters, and go
back, clip and update with AdamW; both have the same weights at first. ratio = torch's median time / ours, in turns in
one run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks import isa
from benchmarks.timing import alternate
from unspool.models.language_model import Batch, LanguageModel
from unspool.models.recipes import settle
from unspool.training import optim

CHARACTERS = 67
SHAPES = ((1, 256, 32, 64), (2, 256, 64, 100))  # layers, units, streams, characters of a chunk


def ours(network: LanguageModel, inputs: torch.Tensor, targets: torch.Tensor) -> Callable[[], object]:
    """A step as the trainer makes it."""
    optimizer = optim.make_optimizer(network, network.settings)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        network.loss(Batch(inputs, targets, fresh=False)).backward()
        optim.clip(network.parameters(), 1.0)
        optimizer.step()

    return step


def plain(network: LanguageModel, inputs: torch.Tensor, targets: torch.Tensor) -> Callable[[], object]:
    """The step that a torch tutorial shows, from the same weights."""
    settings = network.settings
    model = nn.ModuleDict({
        "embedding": nn.Embedding(CHARACTERS, settings.embedding),
        "layer": nn.LSTM(settings.embedding, settings.hidden, settings.layers, batch_first=True),
        "output": nn.Linear(settings.hidden, CHARACTERS),
    })  # fmt: skip
    model.load_state_dict(network.weights())
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)
    zeros = torch.zeros(settings.layers, len(inputs), settings.hidden)
    carried = [zeros, zeros]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        y, state = model["layer"](model["embedding"](inputs), (carried[0], carried[1]))
        carried[:] = [part.detach() for part in state]
        functional.cross_entropy(model["output"](y).flatten(0, 1), targets.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def main() -> None:
    """Print a table, or with --json one object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each side of a case")
    isa.add_option(parser)
    options = parser.parse_args()
    isa.hold(options.isa)
    for layers, hidden, streams, chunk in SHAPES:
        plain_model = {"dropout": 0.0, "embedding_dropout": 0.0}  # the other side drops nothing
        settings = settle({"task": "generate", "level": "char", "layers": layers, "hidden": hidden, **plain_model})
        network = LanguageModel(settings, CHARACTERS, streams=streams)
        inputs, targets = torch.randint(CHARACTERS, (2, streams, chunk))
        runs = {"ours": ours(network, inputs, targets), "torch": plain(network, inputs, targets)}
        times = alternate(runs, seconds=options.seconds)
        row = {
            "case": f"lstm {layers} x {hidden}, {streams} streams, chunks of {chunk}",
            "ours_characters_per_second": round(1000 * streams * chunk / times["ours"]),
            "torch_characters_per_second": round(1000 * streams * chunk / times["torch"]),
            "ratio": round(times["torch"] / times["ours"], 2),
        }
        print(json.dumps(row) if options.json else "  ".join(f"{v!s:>12}" for v in row.values()), flush=True)


if __name__ == "__main__":
    main()
