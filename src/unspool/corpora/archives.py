"""A file, or a member of a zip or tar archive, behind an https address that carries its own checksum.

`https://example.org/reviews.zip#sha256=<64 hex digits>&member=data/train.tsv` names one file for good: the part after
`#` is never sent, the checksum is required, and `member` may be left out when the archive holds one data file.
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import PurePosixPath
from typing import IO

from unspool.corpora.checksum import check_sha256
from unspool.corpora.entry import Content, Corpus, CorpusError
from unspool.corpora.members import Members, open_members
from unspool.errors import shorten

DOWNLOAD_LIMIT = 2**30
SOCKET_SECONDS = 30
ARCHIVES = (".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DATA_FILES = (".csv", ".tsv", ".jsonl", ".txt", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".txt.gz")
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # plain http is for a server on this machine alone


@dataclass(frozen=True)
class Archive:
    """A file behind an address; `member` names the file inside it when it is an archive."""

    address: str
    sha256: str
    member: str = ""

    @property
    def origin(self) -> str:
        return self.address

    @property
    def version(self) -> str:
        return self.sha256

    def read(self, notice: Callable[[str], None]) -> Content:
        notice(f"fetching {shorten(self.address, 200)}")
        data = _download(self.address)
        check_sha256(data, self.sha256, self.address)
        path = urllib.parse.urlsplit(self.address).path
        if not path.lower().endswith(ARCHIVES):
            return Content(_suffix(path), data)
        with open_members(data, self.address) as members:
            name = self.member or _only_data_file(members)
            return Content(_suffix(name), members.read(name))


def corpus_at(given: str) -> Corpus:
    """The corpus that an address with a checksum names. Raises CorpusError for any other form of address."""
    address, _, fragment = given.partition("#")
    marks = dict(urllib.parse.parse_qsl(fragment))
    sha256 = marks.get("sha256", "").lower()
    if not _may_fetch(address):
        raise CorpusError(f"{shorten(address, 200)!r} cannot be fetched: only https addresses without a user name are")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256) or not set(marks) <= {"sha256", "member"}:
        raise CorpusError(
            f"{shorten(given, 200)!r} names no checksum: expected ADDRESS#sha256=HEX, with &member=PATH "
            "for one file of an archive; or fetch the file yourself and give its path"
        )
    member = marks.get("member", "")
    name = "address-" + hashlib.sha256(f"{sha256} {member}".encode()).hexdigest()[:16]
    about = "a file from the web, kept as it is"
    return Corpus(name, None, about, "unknown", "not stated", Archive(address, sha256, member))


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects may lead only where an address given by hand may."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not _may_fetch(newurl):
            raise CorpusError(f"the address leads on to {shorten(newurl, 200)!r}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(address: str) -> bytes:
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        with opener.open(address, timeout=SOCKET_SECONDS) as reply:
            data: bytes = reply.read(DOWNLOAD_LIMIT + 1)
    except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError; ValueError: a malformed address
        raise CorpusError(f"{shorten(address, 200)} could not be fetched: {_reason(error)}") from error
    if len(data) > DOWNLOAD_LIMIT:
        raise CorpusError(f"{shorten(address, 200)} is larger than the {DOWNLOAD_LIMIT:,} bytes allowed")
    return data


def _reason(error: Exception) -> str:
    return shorten(str(error).removeprefix("<urlopen error ").removesuffix(">"), 150)


def _may_fetch(address: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    return safe and bool(host) and parts.username is None


def _only_data_file(members: Members) -> str:
    names = [name for name in members.names() if name.lower().endswith(DATA_FILES)]
    if len(names) != 1:
        some = ", ".join(shorten(name, 60) for name in names[:5]) or "none"
        raise CorpusError(
            f"the archive holds {len(names)} data files ({some}): say which one by adding &member=PATH to the address"
        )
    return names[0]


def _suffix(name: str) -> str:
    """The ending of a file's name, which tells the readers its format; ".txt" for a name without a plain one."""
    suffixes = PurePosixPath(name).suffixes[-2:]
    ending = "".join(suffixes if suffixes[-1:] == [".gz"] else suffixes[-1:]).lower()
    return ending if re.fullmatch(r"\.[a-z0-9]{1,8}(\.gz)?", ending) else ".txt"
