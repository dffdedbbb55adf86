"""Reliability check 13: no text, however nasty, makes tokenising more than linear; every pattern is looked at."""

from __future__ import annotations

import ast
import gc
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]

import pytest

import unspool
from unspool.text.tokenizers import LEVELS, train_tokenizer
from unspool.text.words import split_words, word_pattern

NASTY = {
    "letters": "a",
    "dots": ".",
    "quotes": '"',
    "apostrophes": "'",
    "letter-apostrophe": "a'",
    "dashes": "—",
    "emoji": "👩\u200d",
    "marks": "\u0301",
    "joiners": "\u200d",
    "spaces": " ",
    "lines": "\n",
    "letter-space": "a ",
}


def seconds(work: Callable[[], object]) -> float:
    """The least processor time of two runs, without the collector, whose cost grows with all else that is alive."""
    best = float("inf")
    gc.disable()
    try:
        for _ in range(2):
            started = time.process_time()
            work()
            best = min(best, time.process_time() - started)
    finally:
        gc.enable()
    return best


def is_linear(once: Callable[[], object], twice: Callable[[], object], more: float) -> bool:
    """Whether `twice` takes less than 2.5 times as long, and 2 s. What is quadratic never does; what is linear may be
    disturbed by the machine, and is measured again."""
    return any((long := seconds(twice)) < 2 and long < 2.5 * seconds(once) + more for _ in range(10))


@pytest.mark.parametrize("name", NASTY)
def test_twice_the_text_takes_at_most_twice_the_time(name: str) -> None:
    def nasty(size: int) -> str:
        return "a" + (NASTY[name] * size)[:size] + "!"

    for level in LEVELS:
        size = 2**16 if level == "bpe" else 2**19
        tokenizer = train_tokenizer(level, [nasty(1000)])
        once, twice = nasty(size), nasty(2 * size)
        assert is_linear(partial(tokenizer.encode, once), partial(tokenizer.encode, twice), 0.05), level


@pytest.mark.parametrize("name", NASTY)
def test_the_pattern_itself_is_linear(name: str) -> None:
    once, twice = ("a" + NASTY[name] * size + "!" for size in (2**17, 2**18))
    assert is_linear(partial(split_words, once), partial(split_words, twice), 0.02)


@pytest.mark.parametrize("name", NASTY)
def test_bpe_learns_from_an_endless_run(name: str) -> None:
    started = time.process_time()
    train_tokenizer("bpe", [NASTY[name] * 200_000])
    assert time.process_time() - started < 5


def nested(tree: object, inside: bool = False) -> bool:
    """Whether an unbounded repeat stands inside another, in a parsed pattern."""
    if isinstance(tree, tuple) and len(tree) == 2 and str(tree[0]) in ("MAX_REPEAT", "MIN_REPEAT"):
        unbounded = tree[1][1] == _parser.MAXREPEAT
        return (inside and unbounded) or nested(tree[1][2], inside or unbounded)
    if isinstance(tree, list | tuple | _parser.SubPattern):
        return any(nested(part, inside) for part in tree)
    return False


def written_patterns() -> list[tuple[str, str]]:
    """(file, pattern) of every literal given to a function of `re` in the package."""
    found = []
    for file in sorted(Path(unspool.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args:
                pattern = node.args[0]
                found.append((file.name, pattern.value if isinstance(pattern, ast.Constant) else ""))
    return found


def test_no_pattern_of_the_package_nests_repeats() -> None:
    for file, pattern in written_patterns():
        assert pattern or file == "words.py", f"{file} builds a pattern at run time; check it here"
        assert not nested(_parser.parse(pattern)), (file, pattern)
    assert not nested(_parser.parse(word_pattern().pattern))


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(?:\w*x?)*", r"(a|b+)*c"])
def test_a_nested_repeat_would_be_seen(pattern: str) -> None:
    assert nested(_parser.parse(pattern))
    assert re.compile(pattern)
