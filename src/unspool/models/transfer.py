"""Weights of a trained network taken over by one that may know more words or labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

Places = Mapping[str, Sequence[Tensor]]
"""For each tensor that may have grown, by name: for each of its first dimensions, where the old entries go."""


def graft(network: nn.Module, weights: Mapping[str, Tensor], places: Places) -> None:
    """Copy `weights` into the tensors of `network` that have their names; the others stay as they are.

    A tensor named in `places` may be larger than the old one: its old entries go where `places` says, and every new one
    begins as the mean of the old ones over those dimensions (as the code of Howard and Ruder 2018 does with new words).
    Raises ValueError when a tensor has another shape.
    """
    own = network.state_dict()
    with torch.no_grad():
        for name, value in weights.items():
            target, where = own[name], places.get(name, ())
            if target.shape[len(where) :] != value.shape[len(where) :]:
                raise ValueError(f"{name} has the shape {tuple(target.shape)}, the trained one {tuple(value.shape)}")
            if not where:
                target.copy_(value)
                continue
            target.copy_(value.mean(dim=tuple(range(len(where))), keepdim=True).expand_as(target))
            target[torch.meshgrid(*where, indexing="ij")] = value


def prefix(count: int) -> Tensor:
    """(count,): the old entries keep their numbers, what is new stands behind them."""
    return torch.arange(count)


def named(old: Sequence[str], new: Sequence[str]) -> Tensor:
    """(len(old),): where each old name stands among the new ones, which hold them all."""
    place = {name: number for number, name in enumerate(new)}
    return torch.tensor([place[name] for name in old], dtype=torch.int64)
