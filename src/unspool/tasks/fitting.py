"""What the `fit` of every task does: train to the end and tell how, and count weights before there are any."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from unspool import config
from unspool.config import Settings
from unspool.tasks.base import Notice
from unspool.training.checkpoint import Progress
from unspool.training.trainer import Trainer


def run(trainer: Trainer, *, resume: bool, notice: Notice) -> Progress:
    """Take up the newest checkpoint where that is asked, train to the end, tell when the minutes were that end."""
    if resume:
        notice(f"resume     {_taken_up(trainer, notice)}")
    progress = trainer.fit()
    if trainer.ended_by_time:
        notice(
            f"time       the time of --minutes {trainer.settings.minutes:g}, which counts from the start of the "
            f"command, is over after {progress.step / progress.planned_steps:.0%} of the planned steps"
        )
    return progress


def weight_bytes(make_network: Callable[[], nn.Module]) -> int:
    """Bytes of the weights of the network that is made. No memory is taken for them."""
    with torch.device("meta"):
        network = make_network()
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def _taken_up(trainer: Trainer, notice: Notice) -> str:
    if not trainer.resume(notice):
        return "no checkpoint was completed yet: training starts from the beginning"
    progress = trainer.progress
    if progress.finished:
        return f"training had ended after epoch {progress.epoch}: the model is measured and written again"
    return f"from step {progress.step:,}, in epoch {progress.epoch + 1}"


def told_recipe(before: Settings, chosen: Settings, kind: str, notice: Notice) -> Settings:
    """`chosen`, after one line about what the recipe for `kind` of data changes."""
    old, new = before.model_dump(), chosen.model_dump()
    if changed := [_as_flag(name, new[name]) for name in new if new[name] != old[name]]:
        notice(f"recipe     for {kind}: {' '.join(changed)}")
    return chosen


def _as_flag(name: str, value: object) -> str:
    if isinstance(value, bool):
        return config.flag(name if value else f"no_{name}")
    return f"{config.flag(name)} {value:g}" if isinstance(value, float) else f"{config.flag(name)} {value}"
