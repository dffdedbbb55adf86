"""The optimiser and its schedule, from settings; both are torch's, but for large tables of word vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from unspool.config import Settings
from unspool.nn import Embedding
from unspool.ops import rows
from unspool.training.adamw import AdamW
from unspool.training.row_adam import RowAdamW

# Rows from which a table is updated by rows: below, all of it lies in the caches, and a batch holds much of it.
LARGE = 10_000
BETAS = (0.9, 0.98)
Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser that `settings.optimizer` names; biases and gains are never decayed.

    With `layer_decay` every layer of the model, from the output down, has that share of the rate of the one above.
    AdamW updates large tables of the model's `tables()` by rows: until `finish`, whoever reads their weights other than
    by looking up must call `settle` before.
    """
    layers = [list(model.parameters())] if settings.layer_decay == 1 else _layers(model)
    groups: list[dict[str, Any]] = []
    for depth, parameters in enumerate(layers):
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        decayed, free = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
        share = settings.layer_decay**depth
        groups.append({"params": decayed, "weight_decay": settings.weight_decay, "share": share})
        groups.append({"params": free, "weight_decay": 0.0, "share": share})
    rate = settings.learning_rate
    if settings.optimizer == "adadelta":
        return torch.optim.Adadelta(groups, lr=rate, foreach=True)
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, foreach=True)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, foreach=True)
    if not (tables := _large_tables(model, settings)):
        return AdamW(groups, lr=rate, betas=BETAS, fused=True)
    by_rows = RowAdamW(groups, lr=rate, betas=BETAS)
    for table in tables:
        by_rows.follow(table)
    return by_rows


def _large_tables(model: nn.Module, settings: Settings) -> list[Embedding]:
    """What is worth updating by rows; nothing when averaged weights walk over all rows anyway."""
    if settings.average or not hasattr(model, "tables"):
        return []
    tables: list[Embedding] = model.tables()  # type: ignore[operator]
    return [one for one in tables if one.weight.requires_grad and one.num_embeddings >= LARGE]


def settle(optimizer: torch.optim.Optimizer) -> None:
    """Bring the weights up to the optimiser's last step, which those of tables updated by rows are not always."""
    if isinstance(optimizer, RowAdamW):
        optimizer.catch_up_all()


def finish(optimizer: torch.optim.Optimizer) -> None:
    """Settle, and leave the model alone from now on."""
    if isinstance(optimizer, RowAdamW):
        optimizer.release()


def make_averaged(model: nn.Module, settings: Settings) -> AveragedModel | None:
    """A copy of the model whose weights follow as `share · copy + (1 - share) · model`; None when not wanted.

    The share is `kept_share` of `settings.average`, so that a few steps do not end near the first weights.
    """
    if not settings.average:
        return None

    @torch.no_grad()
    def follow(averages: Tensors, weights: Tensors, updates: torch.Tensor | int) -> None:
        torch._foreach_lerp_(averages, weights, 1.0 - kept_share(settings.average, int(updates)))

    return AveragedModel(model, multi_avg_fn=follow)


def kept_share(average: float, updates: int) -> float:
    """What an average keeps of itself after so many updates: `average`, and less as long as it has seen few."""
    return min(average, (1 + updates) / (10 + updates))


def rate_factor(step: float, planned: int, warmup: float) -> float:
    """Share of the peak rate at a step: a linear rise over `warmup · planned` steps, then a linear fall to zero."""
    rising = max(1.0, warmup * planned)
    if step < rising:
        return (step + 1) / (rising + 1)
    return max(0.0, (planned - step) / max(1.0, planned - rising))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group its share of the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def unfreeze(model: nn.Module, settings: Settings, epoch: int | None) -> None:
    """With `gradual_unfreezing`, let the output learn in epoch 0 and one layer more below it in each later one; in
    the end (None) all. Howard and Ruder 2018, section 3.3."""
    if settings.gradual_unfreezing:
        for depth, parameters in enumerate(_layers(model)):
            for parameter in parameters:
                parameter.requires_grad_(epoch is None or depth <= epoch)


def _layers(model: nn.Module) -> list[list[nn.Parameter]]:
    """The model's parameters layer by layer, from the output down."""
    found: list[list[nn.Parameter]] = model.layers()  # type: ignore[operator]
    return found


def clip(parameters: Iterable[torch.Tensor], limit: float) -> float:
    """Scale the gradients to a joint norm of at most `limit`; returns the norm before.

    What torch.nn.utils.clip_grad_norm_ does, which also multiplies short gradients, by 1: a pass over all of them.
    """
    dense, sparse = [], []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = rows.coalesced(parameter.grad)
            sparse.append(parameter.grad.values())
        elif parameter.grad is not None:
            dense.append(parameter)
    norm = nn.utils.get_total_norm([p.grad for p in dense if p.grad is not None] + sparse, foreach=True)
    if not norm + 1e-6 <= limit:
        nn.utils.clip_grads_with_norm_(dense, limit, norm, foreach=True)
        for values in sparse:
            values.mul_(torch.clamp(limit / (norm + 1e-6), max=1.0))
    return float(norm)
