"""Two processes that share a batch (gloo): the gradients of one process with all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from unspool import nn

SCRIPT = """
import sys, torch
from torch.nn.parallel import DistributedDataParallel
from unspool import nn
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
torch.manual_seed(0)
layer = nn.LSTM(5, 6, batch_first=True, bidirectional=True)
x, lengths = torch.load(f"{folder}/batch")
mine = slice(4 * rank, 4 * rank + 4)
shared = DistributedDataParallel(layer)  # without a name it would be gone before its gradients meet
y, _ = shared(x[mine], lengths=lengths[mine])
(y.square().sum() / 4).backward()
if rank == 0:
    torch.save([p.grad for p in layer.parameters()], f"{folder}/gradients")
torch.distributed.destroy_process_group()
"""


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    torch.manual_seed(1)
    x, lengths = torch.randn(8, 7, 5), torch.tensor([7, 3, 0, 5, 6, 1, 7, 2])
    torch.save((x, lengths), tmp_path / "batch")
    command = [sys.executable, "-c", SCRIPT]
    workers = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    torch.manual_seed(0)
    layer = nn.LSTM(5, 6, batch_first=True, bidirectional=True)
    (layer(x, lengths=lengths)[0].square().sum() / 8).backward()
    for found, parameter in zip(torch.load(tmp_path / "gradients"), layer.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, atol=1e-6, rtol=0)
