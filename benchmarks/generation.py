"""Text as it is generated, against a plain torch loop of the same model: `python -m benchmarks.generation [--json]`.

Both sides embed, step through the LSTM with the state carried, make a softmax and draw the next character; both have
the same weights. ratio = torch's median time / ours, taken in turns in one run. Ours goes all the way to the text.
"""

from __future__ import annotations

import argparse
import json
import string
from collections.abc import Callable

import torch
from torch import nn

from benchmarks import isa
from benchmarks.timing import alternate
from unspool.decoding.sampling import Sampling
from unspool.models.language_model import LanguageModel
from unspool.models.recipes import settle
from unspool.predictors import GeneratorPredictor
from unspool.text.tokenizers import train_tokenizer

LENGTH = 100  # characters of each sample in one measurement


def predictor(hidden: int, layers: int) -> GeneratorPredictor:
    """A character model as it comes from training, with the weights it starts with."""
    settings = settle({"task": "generate", "level": "char", "hidden": hidden, "layers": layers, "lowercase": False})
    tokenizer = train_tokenizer("char", [string.printable[:63]], min_count=1)
    network = LanguageModel(settings, tokenizer.size).eval()
    network.requires_grad_(False)
    return GeneratorPredictor([], settings, network, tokenizer)


def ours(model: GeneratorPredictor, streams: int) -> Callable[[], object]:
    """As `unspool generate` makes samples."""
    ids, _ = model.prompt_ids("a")
    return lambda: list(model.generate(ids, Sampling(), LENGTH, streams))


def plain(model: GeneratorPredictor, streams: int) -> Callable[[], object]:
    """The loop that a torch tutorial shows, with the same weights."""
    network, settings = model.network, model.settings
    lstm = nn.LSTM(settings.embedding, settings.hidden, settings.layers, batch_first=True)
    lstm.load_state_dict(network.layer.state_dict())

    def run() -> object:
        token, state = torch.full((streams, 1), 2), None
        made = []
        with torch.inference_mode():
            for _ in range(LENGTH):
                y, state = lstm(network.embedding(token), state)
                token = torch.multinomial(torch.softmax(network.output(y[:, -1]), -1), 1)
                made.append(token)
        return torch.cat(made, 1).tolist()

    return run


def main() -> None:
    """Print a table, or with --json one object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each side of a case")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    isa.add_option(parser)
    options = parser.parse_args()
    isa.hold(options.isa)
    model = predictor(options.hidden, options.layers)
    for streams in (1, 8, 64):
        times = alternate({"ours": ours(model, streams), "torch": plain(model, streams)}, seconds=options.seconds)
        row = {
            "case": f"lstm {options.layers} x {options.hidden}, {streams} streams",
            "ours_us_a_step": round(1000 * times["ours"] / LENGTH, 1),
            "torch_us_a_step": round(1000 * times["torch"] / LENGTH, 1),
            "ours_tokens_per_second": round(1000 * streams * LENGTH / times["ours"]),
            "ratio": round(times["torch"] / times["ours"], 2),
        }
        print(json.dumps(row) if options.json else "  ".join(f"{v!s:>12}" for v in row.values()), flush=True)


if __name__ == "__main__":
    main()
