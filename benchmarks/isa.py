"""`--isa avx2`: both sides of a benchmark held to one instruction set.

Each library reads its own environment variable when it is imported, so the benchmark starts itself again with them
set. onnxruntime has none: where it is measured it uses what the machine has.
"""

from __future__ import annotations

import argparse
import os
import sys

HOLDS = {
    "avx2": {
        "UNSPOOL_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's recurrent layers, TensorFlow
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # torch's matrix products, and with them the measured peak
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",  # JAX
    }
}


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option itself."""
    text = "hold both sides, and the peak, to this instruction set (onnxruntime cannot be held)"
    parser.add_argument("--isa", choices=HOLDS, help=text)


def hold(isa: str | None) -> None:
    """Start this benchmark again under the limit, unless that has happened."""
    wanted = HOLDS[isa] if isa else {}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})
