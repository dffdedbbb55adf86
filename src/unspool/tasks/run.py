"""A training run on disk: `run.json` says what was asked, checkpoints where it stands, `model/` what came of it.

    reviews.unspool/   run.json · metrics.jsonl · checkpoints/ · model/     (and search.json after --search)

`run.json` is written before anything is trained, so that a run can be taken up after a kill at any moment; `resume`
reads the data again and refuses to go on when data, settings or versions differ from the run's.
"""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from unspool import files, native
from unspool._version import __version__
from unspool.errors import DataError, Interrupted, ModelFileError, SettingError, TrainingError, UsageError, shorten
from unspool.models.recipes import settle
from unspool.predictors import save
from unspool.tasks import TASKS, Request, Task, find_task, search
from unspool.tasks import start as starts
from unspool.text.readers import ReadOptions
from unspool.training.callbacks import Callback, MetricsLog

FORMAT = 4
RUN_FILE = "run.json"


@dataclass(frozen=True)
class Finished:
    """The run's folder, its model's folder, and the figures; what a search found, None without one."""

    folder: Path
    model: Path
    outcome: Any  # an Outcome, with the figures of its task
    found: search.Found | None = None


def free_folder(data: Path) -> Path:
    """`<name>.unspool` in the current folder, or the first `<name>-2.unspool`, … that does not exist."""
    stem = data.name.split(".")[0] or "texts"
    candidate, number = Path(f"{stem}.unspool"), 2
    while candidate.exists():
        candidate, number = Path(f"{stem}-{number}.unspool"), number + 1
    return candidate


def start(
    request: Request,
    folder: Path,
    *,
    callbacks: Sequence[Callback] = (),
    notice: Callable[[str], None] = lambda _: None,
    started: float | None = None,
) -> Finished:
    """Read, prepare, make the run's folder, train and publish the model.

    started: the `time.monotonic()` value from which `minutes` count; now when None.
    Raises UsageError before anything is written when the folder is taken, or the data or a setting cannot be used.
    """
    started = time.monotonic() if started is None else started
    if folder.exists():
        raise UsageError(
            f"{shorten(folder, 300)} exists: choose another --out, or unspool resume {shorten(folder, 300)}"
        )
    request = _with_task(request, notice)
    if request.vectors and not request.vectors.is_file():
        raise DataError(f"{shorten(request.vectors, 300)} is no file: --vectors takes a GloVe or word2vec text file")
    read = _read(request, notice)
    _check_space(folder, read)
    _make_run(folder, {"format": FORMAT, "request": _plain(request), "facts": read.facts})
    with files.alone(folder, RUN_FILE):
        if request.search:
            request, read, started = _search(request, folder, read, notice, started)
        return _train(request, folder, read, callbacks, notice, started=started, resume=False)


def resume(
    folder: Path,
    *,
    allow_changed: bool = False,
    callbacks: Sequence[Callback] = (),
    notice: Callable[[str], None] = lambda _: None,
    started: float | None = None,
) -> Finished:
    """Take up a run where its newest undamaged checkpoint stands.

    Raises UsageError naming what differs from the run when data, settings or versions changed, unless
    `allow_changed`; another thread count is only told. started: as for `start`; the time used before counts too.
    """
    started = time.monotonic() if started is None else started
    if not (folder / RUN_FILE).exists():
        raise ModelFileError(f"{shorten(folder, 300)} is not a run: it has no {RUN_FILE}")
    values = files.read_json(folder / RUN_FILE)
    request, before = _parse(values, folder)
    read = _read(request, lambda _: None)
    facts = dict(read.facts)
    threads, threads_before = facts.pop("threads"), before.pop("threads", None)
    if (changed := _differences(before, facts)) and not allow_changed:
        raise UsageError(f"this differs from the run: {'; '.join(changed)}. Go on all the same with --allow-changed")
    for line in changed:
        notice(f"changed    {line}")
    if threads != threads_before:
        notice(f"threads    {threads_before} before, {threads} now: the last digits may differ")
    with files.alone(folder, RUN_FILE):
        if changed:
            files.publish(folder / RUN_FILE, files.to_json({**values, "facts": read.facts}))
        if request.search:
            request, read, started = _search(request, folder, read, notice, started)
        return _train(request, folder, read, callbacks, notice, started=started, resume=True)


@dataclass(frozen=True)
class _Read:
    """The data of a request, prepared by its task; `facts` must not change while a run goes on."""

    task: Task
    prepared: Any
    fingerprint: str
    facts: dict[str, Any]


def _with_task(request: Request, notice: Callable[[str], None]) -> Request:
    """The request with its task among the settings, all of which are checked before any text is read."""
    if "task" in request.given:
        known = request.given if request.start is None else {"task": request.given["task"]}  # the model decides more
        name, reason = str(settle(known).task), "as asked"
    else:
        name, found = find_task(request.paths, request.read)
        reason = f"{found} (--task {'|'.join(TASKS)})"
    notice(f"task       {name}: {reason}")
    given = {**request.given, "task": name}
    start = starts.load(request.start, name) if request.start else None
    request = replace(request, given=starts.given_with(given, start, name))
    settings = settle(request.given)
    if request.search:
        search.check(request.given, settings, _fixed(request))
    return request


def _read(request: Request, notice: Callable[[str], None]) -> _Read:
    task = TASKS[settle(request.given).task]
    data = task.read(request)
    for note in data.notes:
        notice(f"read       {note}")
    prepared = task.prepare(data, request, notice)
    facts = {
        "data": data.fingerprint,
        "validation": data.validation_fingerprint,
        "vectors": files.sha256_of(request.vectors) if request.vectors else None,
        "start": starts.digest(request.start) if request.start else None,
        "settings": prepared.settings.model_dump(mode="json"),
        "unspool": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "kernels": native.backend(),
        "threads": torch.get_num_threads(),
        **task.facts(prepared),
    }
    return _Read(task, prepared, data.fingerprint, facts)


def _search(
    request: Request, folder: Path, read: _Read, notice: Callable[[str], None], started: float
) -> tuple[Request, _Read, float]:
    """The request with the settings found and the minutes left, which run.json holds from now on; and when it began."""
    minutes, path = float(request.given["minutes"]), folder / search.FILE
    before = search.used(path)
    try:
        found = search.find(
            read.prepared.settings,
            lambda settings: read.task.untrained(read.prepared, settings),
            _fixed(request),
            path,
            minutes=search.SHARE * minutes,
            spent=time.monotonic() - started,
            notice=notice,
        )
    except Interrupted as error:
        message = f"the search was stopped, its trials are kept; go on with: unspool resume {shorten(folder, 300)}"
        raise Interrupted(message, error.signal_number) from error
    now = time.monotonic()
    left = max(0.01, round(minutes - (now - started + before) / 60, 2))
    request = replace(request, search=False, given={**request.given, **found, "minutes": left})
    read = _read(request, lambda _: None)
    content = {"format": FORMAT, "request": _plain(request), "facts": read.facts}
    files.publish(folder / RUN_FILE, files.to_json(content))
    notice(f"found      {search.flags(found)}, to be trained for {left:g} minute{'' if left == 1 else 's'}")
    return request, read, now


def _fixed(request: Request) -> set[str]:
    """What a search leaves alone: what was given, and the width of given vectors."""
    return {*request.given, *(("embedding",) if request.vectors else ())}


def _train(
    request: Request,
    folder: Path,
    read: _Read,
    callbacks: Sequence[Callback],
    notice: Callable[[str], None],
    *,
    started: float,
    resume: bool,
) -> Finished:
    task, minutes = read.task, read.prepared.settings.minutes
    try:
        outcome = task.fit(
            read.prepared,
            folder=folder / "checkpoints",
            resume=resume,
            deadline=None if minutes is None else started + 60 * minutes,
            callbacks=(MetricsLog(folder / "metrics.jsonl"), *callbacks),
            notice=notice,
        )
        card = task.make_card(request.data.name, read.fingerprint, read.prepared, outcome)
        if read.facts["start"]:
            card["start"] = read.facts["start"]
        outcome.predictor.card = card
        save(outcome.predictor, folder / "model", task.make_readme(folder.name, card))
    except Interrupted as error:
        if "unspool resume" in str(error):
            raise
        raise Interrupted(f"{error}; go on with: unspool resume {shorten(folder, 300)}", error.signal_number) from error
    return Finished(folder, folder / "model", outcome, search.found_in(search.read(folder / search.FILE)))


def _check_space(folder: Path, read: _Read) -> None:
    """Refuse to begin what the disk cannot hold: three checkpoints of four copies of the weights, and the model."""
    needed = 13 * read.task.network_bytes(read.prepared)
    there = next(parent for parent in folder.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise TrainingError(f"{shorten(folder, 300)} needs {needed:,} bytes for checkpoints, the disk has {free:,}")


def _make_run(folder: Path, content: Mapping[str, Any]) -> None:
    """The run's folder with its `run.json`, or, when that fails, no folder."""
    files.make_folder(folder)
    try:
        files.publish(folder / RUN_FILE, files.to_json(content))
    except BaseException:
        shutil.rmtree(folder)
        raise


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`name was x, is y` for everything that differs, the settings one by one."""
    found: list[str] = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{name}: ")
        elif old != new:
            found.append(f"{prefix}{shorten(name, 60)} was {shorten(old, 60)}, is {shorten(new, 60)}")
    return found


def _plain(request: Request) -> dict[str, Any]:
    """The request as run.json holds it; paths made absolute, so that a run can be taken up from anywhere."""
    paths = {name: path if path is None else _absolute(path) for name, path in _paths(request).items()}
    more = [_absolute(path) for path in request.more]
    read = asdict(request.read)
    return {**paths, "more": more, "given": dict(request.given), "read": read, "search": request.search}


def _paths(request: Request) -> dict[str, Path | None]:
    names = ("data", "validation", "vectors", "start")
    return {name: getattr(request, name) for name in names}


def _absolute(path: Path) -> str:
    try:
        text = str(path.absolute())
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"the path {shorten(path, 300)} is not UTF-8: rename the file") from error
    return text


def _parse(values: Any, folder: Path) -> tuple[Request, dict[str, Any]]:
    damaged = ModelFileError(f"{folder / RUN_FILE} is damaged or of another version")
    if not isinstance(values, dict) or values.get("format") != FORMAT or set(values) != {"format", "request", "facts"}:
        raise damaged
    request, facts = values["request"], values["facts"]
    if not isinstance(request, dict) or not isinstance(facts, dict):
        raise damaged
    if set(request) != {"data", "more", "validation", "vectors", "start", "given", "read", "search"}:
        raise damaged
    if not isinstance(request["data"], str) or not isinstance(request["more"], list):
        raise damaged
    if type(request["search"]) is not bool:
        raise damaged
    try:
        read = ReadOptions(**request["read"])
        paths = {name: Path(request[name]) if request[name] else None for name in ("validation", "vectors", "start")}
        more = tuple(Path(path) for path in request["more"])
        asked: dict[str, Any] = {"more": more, "search": request["search"], **paths}
        return Request(Path(request["data"]), dict(request["given"]), read, **asked), facts
    except (TypeError, ValueError, SettingError) as error:
        raise damaged from error
