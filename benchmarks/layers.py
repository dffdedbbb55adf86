"""Our layers against torch's: `python -m benchmarks.layers [--json] [--only WORD] [--seconds S]`.

ratio = other_ms / ours_ms. train = forward and all gradients; torch computes the padded batch. share_of_peak is
relative to torch's own matrix product on the same threads, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.timing import Run, alternate, peak_gflops
from unspool import nn as ours

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
WIDTHS = (64, 9, 13, 9, 7, 7, 6)  # of the printed columns
OF_TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True)
class Case:
    """One layer on one shape: B rows, T steps, I inputs, H units; `options` go to our constructor."""

    cell: str
    rows: int
    steps: int
    inputs: int
    hidden: int
    train: bool = True
    against: str = "torch padded"
    options: tuple[tuple[str, float | bool], ...] = ()

    @property
    def name(self) -> str:
        what = "train" if self.train else "infer"
        extra = "".join(f" {key}={value}" for key, value in self.options)
        return f"{self.cell}{extra} {what} B{self.rows} T{self.steps} I{self.inputs} H{self.hidden}"

    @property
    def gflop(self) -> float:
        gates = GATES.get(self.cell, 4)
        products = self.rows * self.steps * 2 * gates * self.hidden * (self.inputs + self.hidden)
        return products * (3 if self.train else 1) / 1e9


SHAPES = ((64, 500, 50, 100), (64, 200, 128, 128), (32, 100, 256, 256), (64, 64, 512, 512))
CASES = (
    *(Case(cell, *shape) for shape in SHAPES for cell in ("lstm", "gru", "rnn")),
    *(Case(cell, *SHAPES[0], train=False) for cell in ("lstm", "gru", "rnn")),
    Case("lstm", 1, 40, 256, 256, train=False),
    *(Case(cell, *SHAPES[1], against="our lstm") for cell in ("peephole", "prototype", "pseudo", "normalised")),
    Case("lstm", *SHAPES[1], against="our lstm", options=(("recurrent_dropout", 0.2), ("zoneout", 0.1))),
    Case("lstm", *SHAPES[1], against="our lstm", options=(("layer_norm", True),)),
)


def runner(layer: nn.Module, x: torch.Tensor, train: bool) -> Run:
    """A call that runs the layer once."""
    if not train:

        def infer() -> None:
            with torch.inference_mode():
                layer(x)

        return infer

    def step() -> None:
        for parameter in layer.parameters():
            parameter.grad = None
        x.grad = None
        layer(x)[0].backward(torch.ones(()).expand(*x.shape[:2], layer.hidden_size))

    return step


def measure(cases: tuple[Case, ...], seconds: float) -> Iterator[dict[str, object]]:
    """One row a case."""
    peak = peak_gflops()
    for case in cases:
        x = torch.randn(case.rows, case.steps, case.inputs, requires_grad=case.train)
        mine = ours.RECURRENT[case.cell](case.inputs, case.hidden, batch_first=True, **dict(case.options))
        kind = OF_TORCH[case.cell] if case.against == "torch padded" else ours.LSTM
        theirs = kind(case.inputs, case.hidden, batch_first=True)
        times = alternate(
            {"ours": runner(mine, x, case.train), "other": runner(theirs, x, case.train)}, seconds=seconds
        )
        gflops = case.gflop / times["ours"] * 1000
        yield {
            "case": case.name,
            "ours_ms": round(times["ours"], 3),
            "other": case.against,
            "other_ms": round(times["other"], 3),
            "ratio": round(times["other"] / times["ours"], 3),
            "gflops": round(gflops, 1),
            "share_of_peak": round(gflops / peak, 3),
        }


def main() -> None:
    """Print a table, or with --json one object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--only", default="", help="only the cases whose name holds this word")
    parser.add_argument("--seconds", type=float, default=1.5, help="time for each side of a case")
    options = parser.parse_args()
    cases = tuple(case for case in CASES if options.only in case.name)
    if not cases:
        sys.exit(f"no case has {options.only!r} in its name")
    for row in measure(cases, options.seconds):
        if options.json:
            print(json.dumps(row), flush=True)
        else:
            print("  ".join(f"{value!s:>{width}}" for value, width in zip(row.values(), WIDTHS, strict=True)))


if __name__ == "__main__":
    main()
