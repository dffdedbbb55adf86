"""What the kernels must not cost: memory that grows from call to call, and time for numbers too small to matter."""

from __future__ import annotations

import random
import statistics
import sys
import time
from pathlib import Path

import pytest
import torch

from unspool import native, nn

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def test_memory_does_not_grow():
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    layer, pick = nn.GRU(4, 8, batch_first=True), random.Random(0)
    before = 0
    for call in range(2000):
        if call == 200:
            before = resident_bytes()
        y, _ = layer(torch.zeros(2, pick.randint(1, 500), 4))
        y.sum().backward()
    assert resident_bytes() - before < 20 * 2**20


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_denormals_cost_no_time(cell):
    """Without flushing them, steps on denormals take ten times as long and more."""
    layer = nn.RECURRENT[cell](64, 64, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1e-3)

    def seconds(x: torch.Tensor) -> float:
        times = []
        for _ in range(9):
            start = time.process_time()
            layer(x)[0].backward(x)
            times.append(time.process_time() - start)
        return statistics.median(times)

    usual, tiny = torch.full((16, 100, 64), 0.1), torch.full((16, 100, 64), 1e-39)
    assert 0 < float(tiny.max()) < torch.finfo(torch.float32).tiny
    found = [seconds(tiny) / seconds(usual) for _ in range(3)]
    assert min(found) < 3, found


def test_denormals_are_flushed():
    """Some CPUs take no longer for them, and would hide from the test above that they are not."""
    tiny, threads = torch.full((40, 3), 1e-39), torch.get_num_threads()
    for count in (1, 2):
        y = torch.ones(40, 5)
        native.present().linear_forward(tiny, torch.ones(5, 3), None, count, y)
        assert not y.any()
    y = torch.ones(4, 5, 3)
    native.present().recurrent_forward(
        "rnn_relu", torch.full((4, 5, 3), 1e-39), None, None, torch.eye(3), torch.eye(3), None, None, None,
        torch.zeros(4, 3), *[None] * 5, 0.0, False, threads, y, None, torch.empty(4, 3), None,
    )  # fmt: skip
    assert not y.any()
