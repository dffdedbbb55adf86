"""Alternating timings, and the machine's peak to hold them against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from unspool import native

Run = Callable[[], object]
TURN, AWAKE = 0.25, 0.12
"""Seconds of a turn that count, or one run where that takes longer; and those before them, whose runs do not count
where others follow: onnxruntime's threads stay awake for a tenth of a second, beside whatever runs then."""


def alternate(runs: dict[str, Run], seconds: float = 1.5, least: int = 5) -> dict[str, float]:
    """Median milliseconds of a run of each, in turns so that a change of the machine's load meets all alike."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or min(map(len, times.values())) < least:
        for name, run in runs.items():
            times[name] += turn(run)
    return {name: statistics.median(values) for name, values in times.items()}


def turn(run: Run) -> list[float]:
    """Milliseconds of each run of one turn that counts."""
    times, awake, start = [], 0, time.perf_counter()
    begin, end = start + AWAKE, start + AWAKE + TURN
    while start < end:
        awake += start < begin
        run()
        now = time.perf_counter()
        times.append(1000 * (now - start))
        start = now
    return times[awake:] or times


def peak_gflops() -> float:
    """GF/s of multiply-adds in registers alone, two operations each, on all threads, best of several: what the machine
    gives at this moment. By the core; without it, of torch's matrix product."""
    core, threads = native.core(), torch.get_num_threads()
    a, b = torch.randn(1536, 1536), torch.randn(1536, 1536)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        done = (a @ b).numel() * len(b) if core is None else core.multiply_adds(2_000_000, threads)
        best = max(best, 2 * done / (time.perf_counter() - start) / 1e9)
    return best
