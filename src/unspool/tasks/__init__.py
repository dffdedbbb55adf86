"""One module a task: from a file of texts to a trained model and its figures. `TASKS` is the table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from unspool.tasks import classify, generate, tag, translate
from unspool.tasks.base import Notice, Outcome, Request, Task
from unspool.text.readers import ReadOptions

__all__ = ["TASKS", "Notice", "Outcome", "Request", "Task", "find_task"]

TASKS: Mapping[str, Task] = {
    "tag": tag,
    "translate": translate,
    "classify": classify,
    "generate": generate,
}  # in the order in which they are asked whether data is theirs


def find_task(paths: Sequence[Path], options: ReadOptions) -> tuple[str, str]:
    """The task that some data looks made for, and why; classify when no other knows it."""
    for name, task in TASKS.items():
        if name != "classify" and (reason := task.recognises(paths, options)):
            return name, reason
    return "classify", classify.recognises(paths, options) or "one label for each text"
