"""kill -9 at random moments: `python -m benchmarks.kill [--runs 20]`.

Trains once undisturbed; then again and again, each time killing the installed command's whole process group one to
three times at random moments between its start and its end, and taking the run up with `unspool resume`. The final
weights, the log and the figures must be those of the undisturbed run, and no temporary file may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = ["--model", "gru", "--hidden", "8", "--embedding", "8", "--batch-size", "16", "--min-count", "1"]
SETTINGS += ["--epochs", "60", "--patience", "60"]
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def write_texts(path: Path, count: int = 400) -> None:
    """A file of made-up reviews."""
    generator = random.Random(0)
    words = ["a", "the", "film", "story", "and", "of", "scene", "actor"]
    rows = []
    for row in range(count):
        own = ("fine", "bright", "warm") if row % 2 else ("dull", "grim", "flat")
        text = " ".join(generator.choice([*words, *own]) for _ in range(4 + row % 13))
        rows.append(f"{text},{'pos' if row % 2 else 'neg'}\n")
    path.write_text("text,label\n" + "".join(rows))


def command(*arguments: str) -> list[str]:
    """The installed command beside this Python."""
    return [str(Path(sys.executable).with_name("unspool")), *arguments]


def killed(arguments: list[str], seconds: float) -> bool:
    """Start a process group, kill all of it after some seconds; False when it had ended before."""
    process = subprocess.Popen(arguments, start_new_session=True, **QUIET)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def undisturbed(data: Path, folder: Path) -> float:
    """Seconds of a run that nothing kills."""
    started = time.monotonic()
    subprocess.run(next_command(data, folder), check=True, **QUIET)
    return time.monotonic() - started


def disturbed_run(data: Path, folder: Path, kills: int, whole: float, generator: random.Random) -> int:
    """One run with up to `kills` kills; returns how many hit a living process."""
    hits = 0
    while hits < kills and killed(next_command(data, folder), whole * generator.uniform(0.1, 0.9)):
        hits += 1
    subprocess.run(next_command(data, folder), check=True, **QUIET)
    return hits


def next_command(data: Path, folder: Path) -> list[str]:
    """resume where there is a run, train where the kill came before the run's folder was made."""
    if (folder / "run.json").exists():
        return command("resume", str(folder))
    if folder.exists():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return command("train", str(data), "--out", str(folder), *SETTINGS)


def difference(whole: Path, other: Path) -> str:
    """What differs between two finished runs, or an empty text."""
    if (whole / "model/model.safetensors").read_bytes() != (other / "model/model.safetensors").read_bytes():
        return "the weights differ"
    if log(whole) != log(other):
        return "the logs differ"
    if left := [path.name for path in other.rglob("*.tmp")]:
        return f"left behind: {left}"
    return ""


def log(folder: Path) -> list[dict[str, object]]:
    """The rows of metrics.jsonl without the seconds."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def main() -> int:
    """Returns the number of runs that ended differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator, wrong, hits = random.Random(arguments.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder / "reviews.csv")
        seconds = min(undisturbed(folder / "reviews.csv", folder / name) for name in ("first", "second", "whole"))
        for number in range(arguments.runs):
            run = folder / f"run-{number}"
            hit = disturbed_run(folder / "reviews.csv", run, generator.randint(1, 3), seconds, generator)
            found = difference(folder / "whole", run)
            hits += hit
            wrong += bool(found)
            print(f"run {number + 1:3}: {hit} kills: {found or 'the same bits'}", flush=True)
    print(f"{arguments.runs - wrong} of {arguments.runs} runs, {hits} kills in all, end as the undisturbed one does")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
