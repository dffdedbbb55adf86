"""Everything a run needs to go on, in safetensors and JSON, two generations deep.

A checkpoint is a folder `step-<step>-<epochs done>` with `state.safetensors`, `state.json` and, last,
`manifest.json`. What is in it is the list `Progress` plus the tensors of model, best model, averaged model and
optimiser. Random numbers need no place: every step seeds itself from (seed, step), the order of examples from
(seed, epoch).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from unspool import files
from unspool.errors import ModelFileError, TrainingError, shorten

FORMAT = 1
NAMES = ("state.safetensors", "state.json")
KEPT = 2


@dataclass
class Progress:
    """Where a run stands; every field is in every checkpoint."""

    step: int = 0
    epoch: int = 0
    position: int = 0  # batches of this epoch that are done
    planned_steps: int = 0  # end of the schedule
    best_score: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0  # training time used, over all resumes
    loss_sum: float = 0.0  # of this epoch
    finished: bool = False


def save(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    averaged: nn.Module | None = None,
) -> None:
    """Publish one checkpoint below `folder`, then drop all but the newest two.

    Raises TrainingError rather than write a weight that is not finite.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    if averaged is not None:
        tensors |= {f"averaged.{name}": value for name, value in averaged.state_dict().items()}
    tensors |= optimizer_tensors(optimizer)
    check_finite(tensors, "no checkpoint was written")
    target = folder / f"step-{progress.step:09d}-{progress.epoch:06d}"
    if not _is_whole(target):  # step and epoch settle the state: what is on disk need not be put at risk
        _drop(target)
        state = {"format": FORMAT, "progress": asdict(progress), "tensors": sorted(tensors)}
        contents = {
            "state.safetensors": safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}),
            "state.json": files.to_json(state),
        }
        files.publish_folder(target, contents)
    complete = _complete(folder)
    here = complete.index(target) + 1
    for path in (*complete[: max(0, here - KEPT)], *complete[here:]):  # what is ahead of this one was damaged
        _drop(path)


def check_finite(tensors: Mapping[str, Tensor], consequence: str) -> None:
    """Raise TrainingError naming the first tensor with a NaN or an infinity in it, and the consequence."""
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise TrainingError(f"{name} holds a value that is not finite: {consequence}; try a lower --learning-rate")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors `optimizer.<parameter>.<key>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{key}": value
        for index, entry in state.items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }


def restore(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    notice: Callable[[str], None],
    averaged: nn.Module | None = None,
) -> tuple[Progress, dict[str, Tensor]] | None:
    """Load the newest undamaged checkpoint into model, optimiser and the averaged model, where there is one.

    Returns where the run stands and the best weights so far, or None when no checkpoint was ever completed. A
    damaged one is told and the one before is taken. Raises ModelFileError when all are damaged.
    """
    candidates = _complete(folder)
    for path in reversed(candidates):
        try:
            tensors, progress = _load(path)
            _fill(tensors, model, optimizer, averaged)
        except ModelFileError as error:
            notice(f"checkpoint {path.name} is damaged ({error}); the one before is taken")
            continue
        _drop_incomplete(folder)
        return progress, _named(tensors, "best.")
    if candidates:
        raise ModelFileError(f"every checkpoint in {folder} is damaged: nothing was touched")
    return None


def _complete(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.name.startswith("step-") and (p / files.MANIFEST).exists())


def _drop_incomplete(folder: Path) -> None:
    complete = set(_complete(folder))
    for path in folder.iterdir():
        if path.is_dir() and path not in complete:
            shutil.rmtree(path)


def _is_whole(path: Path) -> bool:
    try:
        _load(path)
    except ModelFileError:
        return False
    return True


def _drop(path: Path) -> None:
    """Remove a checkpoint; its manifest first, so that a kill in between leaves none that looks complete."""
    if path.is_dir():
        (path / files.MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)


def _load(path: Path) -> tuple[dict[str, Tensor], Progress]:
    contents = files.read_folder(path, NAMES)
    if set(contents) != set(NAMES):
        raise ModelFileError(f"{path} lacks one of {', '.join(NAMES)}")
    state = files.parse_json(contents["state.json"], path / "state.json")
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ModelFileError(f"{path / 'state.json'} is not of checkpoint format {FORMAT}")
    progress = _parse_progress(state.get("progress"), path)
    tensors = _parse_tensors(contents["state.safetensors"], path)
    if sorted(tensors) != state.get("tensors"):
        raise ModelFileError(f"{path / 'state.safetensors'} does not hold the tensors that state.json lists")
    return tensors, progress


def _parse_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path / 'state.safetensors'} is not a safetensors file: {error}") from error


def _parse_progress(values: Any, path: Path) -> Progress:
    names = {field.name for field in fields(Progress)}
    if not isinstance(values, dict) or set(values) != names:
        raise ModelFileError(f"{path / 'state.json'} must hold exactly {', '.join(sorted(names))}")
    for field in fields(Progress):
        if not _fits(values[field.name], str(field.type)):
            raise ModelFileError(f"{path / 'state.json'}: {field.name} is {shorten(repr(values[field.name]))}")
    return Progress(**values)


def _fits(value: Any, annotation: str) -> bool:
    """Whether a JSON value is what a field of Progress holds; counts and times are never negative."""
    if annotation == "int":
        return type(value) is int and value >= 0
    if annotation == "float | None":
        return value is None or type(value) in (int, float)
    return type(value) is bool if annotation == "bool" else type(value) in (int, float)


def _fill(
    tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, averaged: nn.Module | None
) -> None:
    try:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _named(tensors, "optimizer.").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        model.load_state_dict(_named(tensors, "model."))
        if averaged is not None:
            averaged.load_state_dict(_named(tensors, "averaged."))
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(f"the checkpoint does not fit the model: {error}") from error


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
