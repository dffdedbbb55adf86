"""Text that ships with every Python: the docstrings, language reference and source of the standard library.

Nothing is imported and nothing is fetched: the files of the running interpreter are parsed, so these corpora work
without a network. Their content is that of the interpreter's version, which the cache records.
"""

from __future__ import annotations

import ast
import platform
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unspool.corpora.entry import Content, CorpusError, labelled_content, text_content

SENTENCE_WORDS = (4, 60)  # shorter ones are headings and signatures, longer ones are tables
LEAST_SENTENCES = 1000  # less than this is an interpreter whose library was stripped of sources or docstrings
LEAST_CHARACTERS = 100_000
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "encodings"}

# A module, or a package with all it holds, and the topic of its docstrings: chapters of the library reference.
TOPICS: dict[str, str] = {
    module: topic
    for topic, modules in {
        "code": """abc ast code codeop compileall contextlib copyreg dataclasses dis distutils enum functools
            importlib inspect keyword lib2to3 modulefinder opcode pickletools pkgutil py_compile pyclbr pydoc runpy
            site symtable sysconfig tabnanny token tokenize types typing weakref zipimport""",
        "concurrency": """_compat_pickle asyncio concurrent multiprocessing pty queue sched selectors signal
            subprocess threading _threading_local""",
        "debugging": """_testcapi bdb cProfile doctest faulthandler logging pdb profile pstats timeit trace traceback
            tracemalloc unittest warnings""",
        "files": """_compression _pyio bz2 configparser csv dbm filecmp fileinput fnmatch genericpath glob gzip io
            linecache lzma netrc ntpath os pathlib pickle plistlib posixpath shelve shutil sqlite3 stat tarfile
            tempfile tomllib zipfile""",
        "graphics": "idlelib tkinter turtle turtledemo",
        "network": """asynchat asyncore cgi cgitb email ftplib http imaplib ipaddress mailbox mailcap mimetypes
            nntplib poplib smtpd smtplib socket socketserver ssl telnetlib urllib uuid webbrowser wsgiref xmlrpc""",
        "numbers": """_pydatetime _pydecimal _pylong _strptime bisect calendar colorsys datetime decimal fractions
            heapq numbers random secrets statistics zoneinfo""",
        "text": """_markupbase argparse base64 binascii binhex cmd codecs difflib getopt gettext html json
            locale optparse pprint quopri re reprlib shlex string stringprep textwrap xml""",
    }.items()
    for module in modules.split()
}


@dataclass(frozen=True)
class Interpreter:
    """The running Python as a source: nothing is fetched, and the version is the interpreter's."""

    reader: Callable[[], Content]
    sha256: str = ""

    @property
    def origin(self) -> str:
        return f"standard library of {platform.python_implementation()} {platform.python_version()}"

    @property
    def version(self) -> str:
        return platform.python_version()

    def read(self, notice: Callable[[str], None]) -> Content:
        notice(f"reading the {self.origin}")
        return self.reader()


def read_docstrings() -> Content:
    """Sentences of the standard library's docstrings, labelled with the topic of their module (8 topics).

    Examples (`>>>`), field lists and headings are left out; a sentence that stands under two topics, such as
    "This method must be overridden.", belongs to neither; one that stands twice under a topic is kept once.
    """
    topics_of: dict[str, set[str]] = {}
    for path in library_files():
        topic = TOPICS.get(_module(path))
        if topic is not None:
            for sentence in docstring_sentences(path.read_bytes()):
                topics_of.setdefault(sentence, set()).add(topic)
    rows = [(sentence, topics.pop()) for sentence, topics in topics_of.items() if len(topics) == 1]
    if len(rows) < LEAST_SENTENCES:
        raise CorpusError(
            f"this Python's standard library holds only {len(rows)} sentences of documentation, expected at least "
            f"{LEAST_SENTENCES}: it was installed without its sources; use a full installation of Python"
        )
    return labelled_content(rows)


def read_reference() -> Content:
    """The language reference that `help()` shows, then every module's own documentation, as one text."""
    files = list(library_files())
    parts = [_reference_topics(path.read_bytes()) for path in files if path.parts[-2:] == ("pydoc_data", "topics.py")]
    parts += [doc for path in files if (doc := _module_docstring(path.read_bytes()))]
    return _long_enough("\n\n".join(parts) + "\n")


def read_source() -> Content:
    """The source of the standard library's modules and packages, one file after another, as one text."""
    texts = (decoded for path in library_files() if (decoded := _decoded(path.read_bytes())).strip())
    return _long_enough("\n".join(texts))


def library_files() -> Iterator[Path]:
    """The `.py` files of the standard library in a fixed order, without its tests, data tables and site-packages."""
    yield from _python_files(Path(sysconfig.get_path("stdlib")))


def _python_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name in LEFT_OUT or path.name.startswith(("_sysconfigdata", "config-")):
            continue
        if path.is_dir():
            yield from _python_files(path)
        elif path.suffix == ".py":
            yield path


def docstring_sentences(source: bytes) -> Iterator[str]:
    """The sentences of every docstring in one module's source; nothing when it does not parse."""
    for docstring in _docstrings(source):
        stripped = "\n".join(line.strip() for line in docstring.split("\n"))
        for paragraph in stripped.split("\n\n"):
            if _is_prose(paragraph.split("\n")):
                yield from _sentences(paragraph.replace("\n", " "))


def _is_prose(lines: list[str]) -> bool:
    return not any(line.startswith((">>>", "...", "|", "+-", "@", ":", "--", "==")) or "  " in line for line in lines)


def _sentences(paragraph: str) -> Iterator[str]:
    for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph):
        words = sentence.split()
        letters = sum(character.isalpha() for character in sentence)
        long_enough = SENTENCE_WORDS[0] <= len(words) <= SENTENCE_WORDS[1] and letters >= 0.6 * len(sentence)
        if long_enough and sentence[0].isupper() and sentence[-1] in ".!?":
            yield " ".join(words)


def _docstrings(source: bytes) -> Iterator[str]:
    waiting: list[ast.AST] = [_parsed(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
        # expressions hold no definitions and are most of the tree
        waiting.extend(child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))


def _module_docstring(source: bytes) -> str:
    return ast.get_docstring(_parsed(source)) or ""


def _reference_topics(source: bytes) -> str:
    """The values of the dictionary of topics, which is the longest literal of `pydoc_data/topics.py`."""
    values = [
        value.value
        for node in ast.walk(_parsed(source))
        if isinstance(node, ast.Dict)
        for value in node.values
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    return "\n\n".join(value.strip() for value in values)


def _parsed(source: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own invalid escapes are no news to the reader of a corpus
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError):  # deliberate examples of bad syntax
            return ast.Module(body=[], type_ignores=[])


def _decoded(source: bytes) -> str:
    try:
        return source.decode("utf-8")
    except UnicodeDecodeError:  # a handful of files declare another encoding
        return ""


def _module(path: Path) -> str:
    return path.relative_to(sysconfig.get_path("stdlib")).parts[0].removesuffix(".py")


def _long_enough(text: str) -> Content:
    if len(text) < LEAST_CHARACTERS:
        raise CorpusError(
            f"this Python's standard library holds only {len(text)} characters of text, expected at least "
            f"{LEAST_CHARACTERS}: it was installed without its sources; use a full installation of Python"
        )
    return text_content(text)
