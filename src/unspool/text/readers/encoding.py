"""The first pass over a file: its encoding, its line ends, and whether it is text at all.

UTF-8 unless a byte order mark says otherwise, or every other byte is zero (UTF-16 without a mark), or the bytes are
no UTF-8: then Windows-1252, or Latin-1 where that has no character. A file that is UTF-8 all over except for a
few bytes is refused rather than turned to gibberish.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass

from unspool.errors import DataError, shorten
from unspool.text.readers.source import Source, reading

_MARKS = (  # UTF-32 first: its little-endian mark begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_SAMPLE = 2**16
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\x00\x0b\x0c\x1b\x1c\x1d\x1e\x1f"))


@dataclass(frozen=True)
class Survey:
    """What the first pass found.

    encoding: Python's name of it, one that drops a byte order mark. line_end: "\\n", or "\\r" in a file that has no
    other. empty: no characters at all. note: the encoding in words.
    """

    encoding: str
    line_end: str
    empty: bool
    note: str


class _NotDecodable(Exception):
    def __init__(self, line: int, byte: int) -> None:
        super().__init__(line, byte)
        self.line = line
        self.byte = byte


def survey(source: Source, encoding: str | None = None, *, refuse_nul: bool = True) -> Survey:
    """Read the whole source once. Raises DataError for binary data, NUL characters, or a wrong `encoding`."""
    head = next(source.chunks(), b"")
    if encoding is not None:
        return _as_asked(source, encoding, head, refuse_nul)
    for mark, name, title in _MARKS:
        if head.startswith(mark):
            return _strict(source, name, f"{title} with a byte order mark", refuse_nul)
    if wide := _wide_without_mark(head):
        return _strict(source, wide, f"{wide.upper()} without a byte order mark", refuse_nul)
    _refuse_controls(source, head)
    try:
        return _decode_all(source, "utf-8", "UTF-8", refuse_nul)
    except _NotDecodable as found:
        return _single_byte(source, found, refuse_nul)


def lines(source: Source, found: Survey) -> Iterator[str]:
    """The lines, each with its end, decoded as surveyed; split at `found.line_end` only."""
    with reading(source.name):
        wrapper = io.TextIOWrapper(source.open(), found.encoding, newline=found.line_end)
    with reading(source.name), wrapper:
        try:
            yield from wrapper
        except UnicodeDecodeError as error:
            raise DataError(f"{source.name} is not {found.encoding} all through") from error


def _as_asked(source: Source, encoding: str, head: bytes, refuse_nul: bool) -> Survey:
    name = codecs.lookup(encoding).name
    if name == "utf-8" and head.startswith(codecs.BOM_UTF8):
        name = "utf-8-sig"
    return _strict(source, name, f"{name}, as asked", refuse_nul)


def _strict(source: Source, encoding: str, title: str, refuse_nul: bool) -> Survey:
    try:
        return _decode_all(source, encoding, title, refuse_nul)
    except _NotDecodable as found:
        raise DataError(
            f"{source.name}, line {found.line}: byte 0x{found.byte:02x} is not {title}; "
            "mend the file or give its encoding with --encoding"
        ) from found


def _single_byte(source: Source, found: _NotDecodable, refuse_nul: bool) -> Survey:
    good, bad = _count_utf8(source)
    where = f"byte 0x{found.byte:02x} in line {found.line}"
    if good >= 10 * bad:
        raise DataError(
            f"{source.name} is UTF-8 except for {bad} bytes, the first of them {where}; "
            "mend the file or give its encoding with --encoding"
        )
    try:
        return _decode_all(source, "cp1252", f"Windows-1252 (cp1252), not UTF-8 because of {where}", refuse_nul)
    except _NotDecodable:
        return _decode_all(source, "latin-1", f"Latin-1, not UTF-8 because of {where}", refuse_nul)


def _decode_all(source: Source, encoding: str, title: str, refuse_nul: bool) -> Survey:
    decoder = codecs.getincrementaldecoder(encoding)()
    line, returns, size = 1, 0, 0
    for chunk, last in _with_last(source.chunks()):
        try:
            text = decoder.decode(chunk, last)
        except UnicodeDecodeError as error:
            raise _NotDecodable(line + error.object[: error.start].count(b"\n"), error.object[error.start]) from error
        if refuse_nul and (position := text.find("\0")) >= 0:
            line += text.count("\n", 0, position)
            raise DataError(f"{source.name}, line {line}: a NUL character; this is not a text file, or a damaged one")
        line += text.count("\n")
        returns += text.count("\r")
        size += len(text)
    line_end = "\r" if line == 1 and returns else "\n"
    return Survey(encoding, line_end, size == 0, f"encoding: {title}")


def _count_utf8(source: Source) -> tuple[int, int]:
    """How many non-ASCII characters are good UTF-8, and how many bytes are not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    good = bad = 0
    for chunk, last in _with_last(source.chunks()):
        text = decoder.decode(chunk, last)
        foreign = text.count("\ufffd")
        bad += foreign
        good += len(text) - foreign - len(text.encode("ascii", "ignore"))
    return good, bad


def _with_last(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    for chunk in chunks:
        yield chunk, False
    yield b"", True


def _wide_without_mark(head: bytes) -> str | None:
    """UTF-16 of mostly Latin text has a zero in nearly every other byte, always on the same side."""
    sample = head[:_SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if half and odd > 0.5 * half and even <= 0.01 * half:
        return "utf-16-le"
    if half and even > 0.5 * half and odd <= 0.01 * half:
        return "utf-16-be"
    return None


def _refuse_controls(source: Source, head: bytes) -> None:
    sample = head[:_SAMPLE]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls > 0.05 * len(sample):
        raise DataError(f"{source.name} is not text: {shorten(controls)} of its first {len(sample)} bytes are controls")
