"""Files from the web, from a server on loopback: no address outside this machine is asked."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from unspool import corpora
from unspool.corpora import archives

TABLE = b"text\tlabel\ngood\tyes\nbad\tno\n"
Pages = dict[str, tuple[int, str, bytes]]


def marked(address: str, data: bytes, member: str = "") -> str:
    return f"{address}#sha256={hashlib.sha256(data).hexdigest()}" + (f"&member={member}" if member else "")


def test_a_plain_file_keeps_its_bytes_and_its_ending(served: tuple[str, Pages], cache: Path) -> None:
    address, pages = served
    packed = gzip.compress(TABLE)
    pages["/data/train.tsv.gz"] = (200, "", packed)
    path = corpora.fetch(marked(f"{address}/data/train.tsv.gz", packed))
    assert path.read_bytes() == packed and path.name.endswith(".tsv.gz")
    record = json.loads((path.parent / "SOURCE.json").read_text())
    assert (record["origin"], record["licence"]) == (f"{address}/data/train.tsv.gz", "not stated")
    pages.clear()
    assert corpora.fetch(marked(f"{address}/data/train.tsv.gz", packed)) == path  # cached: nobody is asked


def test_the_only_data_file_of_an_archive_is_taken(
    served: tuple[str, Pages], zip_of: Callable[[dict[str, bytes]], bytes]
) -> None:
    address, pages = served
    data = zip_of({"readme.md": b"hello", "set/train.tsv": TABLE})
    pages["/set.zip"] = (200, "", data)
    path = corpora.fetch(marked(f"{address}/set.zip", data))
    assert path.read_bytes() == TABLE and path.suffix == ".tsv"


def test_of_several_data_files_one_must_be_named(
    served: tuple[str, Pages], zip_of: Callable[[dict[str, bytes]], bytes]
) -> None:
    address, pages = served
    data = zip_of({"train.tsv": TABLE, "test.tsv": b"text\tlabel\nwell\tyes\n"})
    pages["/set.zip"] = (200, "", data)
    with pytest.raises(corpora.CorpusError, match=r"holds 2 data files \(train.tsv, test.tsv\): .*&member=PATH"):
        corpora.fetch(marked(f"{address}/set.zip", data))
    train = corpora.fetch(marked(f"{address}/set.zip", data, "train.tsv"))
    test = corpora.fetch(marked(f"{address}/set.zip", data, "test.tsv"))
    assert (train.read_bytes(), test.read_bytes()) == (TABLE, b"text\tlabel\nwell\tyes\n")


@pytest.mark.parametrize(
    "name", ["../../../evil.tsv", "/evil.tsv", "..\\..\\evil.tsv", "a/\u202egnp.tsv", "x" * 300 + ".tsv"]
)
def test_a_members_name_never_becomes_a_path(
    name: str, served: tuple[str, Pages], zip_of: Callable[[dict[str, bytes]], bytes], cache: Path, tmp_path: Path
) -> None:
    address, pages = served
    data = zip_of({name: TABLE})
    pages["/set.zip"] = (200, "", data)
    path = corpora.fetch(marked(f"{address}/set.zip", data))
    assert path.read_bytes() == TABLE
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert sorted(files) == sorted([path, path.parent / "SOURCE.json"])
    assert path.parent.parent == cache / "corpora" and len(path.name) < 50


def test_a_wrong_checksum_is_refused_and_leaves_nothing(served: tuple[str, Pages], cache: Path) -> None:
    address, pages = served
    pages["/train.tsv"] = (200, "", TABLE + b"more\tyes\n")
    with pytest.raises(corpora.CorpusError, match=r"nothing of it was kept.*'python-docstrings'"):
        corpora.fetch(marked(f"{address}/train.tsv", TABLE))
    assert not cache.exists()


def test_a_missing_page_and_a_dead_server_are_one_sentence(served: tuple[str, Pages], cache: Path) -> None:
    address, _ = served
    with pytest.raises(corpora.CorpusError, match=r"none\.tsv could not be fetched: HTTP Error 404: Not Found"):
        corpora.fetch(marked(f"{address}/none.tsv", TABLE))
    with pytest.raises(corpora.CorpusError, match=r"could not be fetched: .*refused.*; without a network use"):
        corpora.fetch(marked("http://127.0.0.1:1/none.tsv", TABLE))
    assert not cache.exists()


def test_a_redirect_may_lead_on_but_not_away_from_https(served: tuple[str, Pages]) -> None:
    address, pages = served
    pages["/new.tsv"] = (200, "", TABLE)
    pages["/old.tsv"] = (302, "/new.tsv", b"")
    pages["/file.tsv"] = (302, "file:///etc/passwd", b"")
    pages["/http.tsv"] = (302, "http://example.org/new.tsv", b"")
    assert corpora.fetch(marked(f"{address}/old.tsv", TABLE)).read_bytes() == TABLE
    with pytest.raises(corpora.CorpusError, match="Redirection to url 'file:///etc/passwd' is not allowed"):
        corpora.fetch(marked(f"{address}/file.tsv", TABLE))
    with pytest.raises(corpora.CorpusError, match=r"leads on to 'http://example\.org/new\.tsv', which is not https"):
        corpora.fetch(marked(f"{address}/http.tsv", TABLE))


def test_a_file_beyond_the_limit_is_refused(served: tuple[str, Pages], monkeypatch: pytest.MonkeyPatch) -> None:
    address, pages = served
    monkeypatch.setattr(archives, "DOWNLOAD_LIMIT", len(TABLE) - 1)
    pages["/train.tsv"] = (200, "", TABLE)
    with pytest.raises(corpora.CorpusError, match="larger than the 26 bytes allowed"):
        corpora.fetch(marked(f"{address}/train.tsv", TABLE))


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/a.tsv",
        "http://127.0.0.1.example.org/a.tsv",
        "https://me:secret@example.org/a.tsv",
        "https:///a.tsv",
        "https://[::1/a.tsv",
        "ftp://example.org/a.tsv",
        "file:///etc/passwd",
    ],
)
def test_only_https_addresses_are_fetched(address: str, no_network: None) -> None:
    with pytest.raises(corpora.CorpusError, match="only https addresses without a user name are"):
        corpora.fetch(marked(address, TABLE))


@pytest.mark.parametrize("fragment", ["", "#sha256=12", f"#sha256={'z' * 64}", f"#sha256={'0' * 64}&recipe=2"])
def test_an_address_without_a_checksum_says_how_to_give_one(fragment: str, no_network: None) -> None:
    with pytest.raises(corpora.CorpusError, match="names no checksum: expected ADDRESS#sha256=HEX"):
        corpora.fetch("https://example.org/a.tsv" + fragment)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with the openssl command")
def test_https_is_spoken_and_the_certificate_is_checked(
    serving: tuple[Callable[..., Any], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler_for, running = serving
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for({"/train.tsv": (200, "", TABLE)}))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=True)
    address = marked(f"https://localhost:{server.server_port}/train.tsv", TABLE)
    monkeypatch.setenv("no_proxy", "localhost")
    with running(server):
        with pytest.raises(corpora.CorpusError, match="certificate verify failed"):
            corpora.fetch(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert corpora.fetch(address).read_bytes() == TABLE
