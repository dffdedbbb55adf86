"""What the tests of corpora share: an own cache, wheels for a pip without an index, a server on loopback."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import socket
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, not made yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("UNSPOOL_CACHE", str(folder))
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection and every started program fails the test."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"the network or a program was asked for: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.fixture
def make_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """make_wheel(package, release, files) -> SHA-256; the wheel is what pip finds, and all that it finds."""
    house = tmp_path / "wheelhouse"
    house.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))

    def make(package: str, release: str, files: dict[str, bytes]) -> str:
        info = f"{package}-{release}.dist-info"
        contents = files | {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {release}\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = [f"{name},sha256={_record_hash(data)},{len(data)}" for name, data in contents.items()]
        contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode()
        path = house / f"{package}-{release}-py3-none-any.whl"
        path.write_bytes(zipped(contents))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return make


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, tuple[int, str, bytes]]]]:
    """(address, pages) of an http server on loopback; pages: path -> (status, Location, body), to be filled."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    pages: dict[str, tuple[int, str, bytes]] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(pages))
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}", pages


@pytest.fixture
def zip_of() -> Callable[[dict[str, bytes]], bytes]:
    return zipped


@pytest.fixture
def serving() -> tuple[Callable[..., type[BaseHTTPRequestHandler]], type[running]]:
    return handler_for, running


class running:
    """The server answers inside the block, in a thread that ends with it."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.server = server
        self.thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *args: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def handler_for(pages: dict[str, tuple[int, str, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, location, body = pages.get(self.path, (404, "", b""))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def zipped(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
