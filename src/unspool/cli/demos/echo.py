"""`unspool demo echo`: what truncated back-propagation learns of what lies inside a chunk, and beyond it.

The toy (R2RT, "Recurrent Neural Networks in Tensorflow I"): X_t is 0 or 1 by the toss of a coin, and Y_t is 1 with
probability ½ + ½ X_{t-3} - ¼ X_{t-8}. What Y costs is known exactly to whoever knows neither, the first, or both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unspool.cli.output import note, result
from unspool.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

NEAR, FAR = 3, 8
TRUNCATIONS = (5, 10, 20)
UNITS, STREAMS, MEASURED = 16, 200, 200
RATE = 0.01


def echo(*, steps: int = 1000, seed: int = 0) -> None:
    """Train a small RNN on the echo toy with back-propagation cut after 5, 10 and 20 steps, beside the exact entropies.

    The state goes on from chunk to chunk, so the network always sees the past; what differs is how far back an
    error is carried. Random recurrent weights echo the past by themselves, so a short cut learns late rather than
    never.

    Parameters
    ----------
    steps
        Updates of each network, on one chunk of 200 parallel streams.
    seed
        Seed of everything random.
    """
    if not 1 <= steps <= 10**6:
        raise UsageError(f"--steps is {steps}: expected 1 to 1,000,000")
    for name, value in entropies().items():
        result(f"{name:34} {value:.4f}")
    for truncation in TRUNCATIONS:
        started = time.monotonic()
        value = measured(trained(truncation, steps, seed), seed)
        result(f"{f'trained, cut after {truncation} steps':34} {value:.4f}")
        note(f"cut after {truncation}: {time.monotonic() - started:.1f} s")


def entropies() -> dict[str, float]:
    """Nats a Y for whoever knows neither X, X_{t-3}, or both: computed, not measured."""
    certain = [[_probability(near, far) for far in (0, 1)] for near in (0, 1)]
    rows = [sum(row) / 2 for row in certain]
    return {
        "exact, knowing nothing": _entropy(sum(rows) / 2),
        f"exact, knowing X(t-{NEAR})": sum(map(_entropy, rows)) / 2,
        f"exact, knowing X(t-{NEAR}) and X(t-{FAR})": sum(_entropy(p) for row in certain for p in row) / 4,
    }


def chunks(steps: int, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`count` chunks, each going on from the one before: X (B, steps) as 0 and 1, and P(Y = 1) (B, steps)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    past = torch.randint(2, (STREAMS, FAR), generator=generator).float()
    for _ in range(count):
        x = torch.cat([past, torch.randint(2, (STREAMS, steps), generator=generator).float()], 1)
        yield x[:, FAR:], 0.5 + 0.5 * x[:, FAR - NEAR : -NEAR] - 0.25 * x[:, :-FAR]
        past = x[:, -FAR:]


def trained(truncation: int, steps: int, seed: int) -> Any:
    """(recurrent layer, output layer) after `steps` updates on chunks of `truncation`."""
    import torch
    from torch import nn
    from torch.nn import functional

    from unspool.nn import RNN

    torch.manual_seed(seed)
    layer, output = RNN(1, UNITS, batch_first=True), nn.Linear(UNITS, 1)
    parameters = [*layer.parameters(), *output.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=RATE)
    state = None
    for number, (x, chance) in enumerate(chunks(truncation, steps, seed)):
        y, state = layer(x[..., None], state)
        loss = functional.binary_cross_entropy_with_logits(output(y)[..., 0], torch.bernoulli(chance))
        optimizer.param_groups[0]["lr"] = RATE * (1 - number / steps)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        state = state.detach()
    return layer, output


def measured(network: Any, seed: int) -> float:
    """Cross-entropy in nats on a fresh sequence, against the true probabilities, so that no toss of Y blurs it."""
    import torch
    from torch.nn import functional

    layer, output = network
    with torch.inference_mode():
        ((x, chance),) = chunks(MEASURED, 1, seed + 1)
        logits = output(layer(x[..., None])[0])[..., 0]
        return float(functional.binary_cross_entropy_with_logits(logits[:, FAR:], chance[:, FAR:]))


def _probability(near: int, far: int) -> float:
    return 0.5 + 0.5 * near - 0.25 * far


def _entropy(p: float) -> float:
    return -sum(q * math.log(q) for q in (p, 1 - p) if q)
