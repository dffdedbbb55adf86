"""`unspool demo selectivity`: the prototype LSTM's unbounded state, and the cells that cure it.

The task: the first of many tokens names one of eight answers, the rest is noise; at the end the answer is asked for. A
cell has to write once and then keep: be selective. It is trained on texts of all lengths up to the given one, so that
it cannot count on the end, and asked on texts four times as long. What a cell remembers may add up step by step in most
of them; the prototype alone also shows and reads that sum as it is, where the others look at it through tanh or a
normalisation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unspool.cli.output import note, result
from unspool.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

CELLS = ("prototype", "normalised", "pseudo", "gru", "lstm", "peephole")
ANSWERS, NOISE, WIDTH, HIDDEN, BATCH = 8, 16, 16, 32, 32
GATES = ("i", "f", "o", "r", "z")
TESTED, LONGER = 512, 4


def selectivity(*, length: int = 50, steps: int = 600, seed: int = 0) -> None:
    """Train six cells to remember the first token of a text, then ask them at the trained and at four times the length.

    Shown for each: accuracy at both lengths, the largest value that any unit's state and output take at both, and the
    share of gates that stand below .1 or above .9, which is how selective the cell has become.

    Parameters
    ----------
    length
        Tokens of the longest text in training.
    steps
        Updates of each cell, 32 texts each.
    seed
        Seed of everything random.
    """
    if not 2 <= length <= 2000 or not 1 <= steps <= 10**6:
        raise UsageError(f"--length is {length} and --steps is {steps}: expected 2 to 2,000, and 1 to 1,000,000")
    started = time.monotonic()
    names = [name for first in ("accuracy", "state", "output") for name in (first, f"at {LONGER} x")]
    result(f"{'':12} " + " ".join(f"{name:>9}" for name in (*names, "selective")))
    for cell in CELLS:
        own = time.monotonic()
        network = _trained(cell, length, steps, seed)
        figures = [_figures(network, length * factor, seed) for factor in (1, LONGER)]
        shown = [f"{accuracy:9.4f}" for accuracy, *_ in figures]
        shown += [f"{figure[place]:9.2f}" for place in (1, 2) for figure in figures]
        result(f"{cell:12} {' '.join(shown)} {figures[0][3]:9.1%}")
        note(f"{cell:12} {time.monotonic() - own:.1f} s")
    chance, seconds = 1 / ANSWERS, time.monotonic() - started
    result("state, output: the largest value of any unit; selective: the share of gates near 0 or 1")
    result("the prototype shows and reads its sum as it is; the others look at theirs through tanh or a normalisation")
    result(f"accuracy by chance {chance:.4f}; up to {length} tokens in training; {seconds:.0f} s in all")


def texts(length: int, seed: int, *, shortest: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: ids (B, T), and the answers (B,) that the first tokens name.

    T is `length`, or one number a batch from `shortest` to `length`.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    longest = length
    while True:
        if shortest is not None:
            length = int(torch.randint(shortest, longest + 1, (), generator=generator))
        answers = torch.randint(ANSWERS, (BATCH,), generator=generator)
        noise = torch.randint(1 + ANSWERS, 1 + ANSWERS + NOISE, (BATCH, length - 1), generator=generator)
        yield torch.cat([1 + answers[:, None], noise], 1), answers


def _network(cell: str) -> nn.Module:
    from torch import nn

    from unspool.nn import RECURRENT, Embedding

    class Memory(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = Embedding(1 + ANSWERS + NOISE, WIDTH)
            self.layer = RECURRENT[cell](WIDTH, HIDDEN, batch_first=True)
            self.output = nn.Linear(HIDDEN, ANSWERS)

        def forward(self, ids: Tensor) -> Tensor:
            logits: Tensor = self.output(self.layer(self.embedding(ids))[0][:, -1])
            return logits

    return Memory()


def _trained(cell: str, length: int, steps: int, seed: int) -> Any:
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    network = _network(cell)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _, (ids, answers) in zip(range(steps), texts(length, seed, shortest=2), strict=False):
        loss = functional.cross_entropy(network(ids), answers)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval()


def _figures(network: Any, length: int, seed: int) -> tuple[float, float, float, float]:
    """Accuracy, the largest absolute state and output, and the share of selective gates, over fresh texts."""
    import torch

    right, state, output, selective = 0, 0.0, 0.0, []
    with torch.inference_mode():
        for _, (ids, answers) in zip(range(TESTED // BATCH), texts(length, seed + 1), strict=False):
            right += int((network(ids).argmax(1) == answers).sum())
            (trace,) = network.layer.trace(network.embedding(ids))
            state = max(state, float(list(trace.states.values())[-1].abs().max()))
            output = max(output, float(trace.output.abs().max()))
            gates = torch.stack([value for name, value in trace.gates.items() if name in GATES])
            selective.append(((gates < 0.1) | (gates > 0.9)).float().mean())
    return right / TESTED, state, output, float(torch.stack(selective).mean())
