"""Our layers against others: `python -m benchmarks.layers [--json] [--only WORD] [--seconds S]`.

ratio = other_ms / ours_ms; train = forward and all gradients; torch computes the padded batch. share_of_peak is
relative to multiply-adds in registers alone on the same threads, measured in the same run. Keras (backends JAX, torch,
TensorFlow) and onnxruntime are measured where they are installed (`pip install -e .[benchmarks]`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import cases, isa
from benchmarks.timing import alternate, peak_gflops

WIDTHS = (64, 9, 13, 9, 7, 7, 6)  # of the printed columns


def measure(chosen: list[cases.Case], seconds: float) -> Iterator[dict[str, object]]:
    """One row a case; a case whose other side is not installed is left out, and stderr says so."""
    peak = peak_gflops()
    for case in chosen:
        with ExitStack() as stack:
            try:
                runs = case.runs(stack)
            except ImportError as error:
                print(f"left out: {case.name} ({error})", file=sys.stderr)
                continue
            times = alternate(runs, seconds=seconds)
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


def show(rows: Iterator[dict[str, object]], as_json: bool) -> None:
    """Print rows as they come: a table, or one JSON object a line."""
    for row in rows:
        line = "  ".join(f"{value!s:>{width}}" for value, width in zip(row.values(), WIDTHS, strict=True))
        print(json.dumps(row) if as_json else line, flush=True)


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--only", default="", help="only the cases whose name, or other side, holds this word")
    parser.add_argument("--seconds", type=float, default=1.5, help="time for each side of a case")
    isa.add_option(parser)
    options = parser.parse_args()
    isa.hold(options.isa)
    chosen = [case for case in cases.CASES if options.only in f"{case.name} {case.against}"]
    if not chosen:
        sys.exit(f"no case has {options.only!r} in its name")
    show(measure(chosen, options.seconds), options.json)


if __name__ == "__main__":
    main()
