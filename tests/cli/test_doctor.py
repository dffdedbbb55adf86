"""`unspool doctor`: versions, backend, threads."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

import torch

import unspool
from unspool import native
from unspool.cli.doctor import LIBRARIES

Command = Callable[..., tuple[int, list[str], str]]


def test_json_tells_what_is_installed(command: Command, strict: Callable[[str], Any]) -> None:
    code, out, err = command("doctor", "--json")
    assert (code, err) == (0, "")
    facts = strict(out[0])
    assert facts["unspool"] == unspool.__version__
    assert facts["native"] == native.backend()
    assert facts["threads"] == torch.get_num_threads()
    assert {name: facts[name] for name in LIBRARIES} == {name: metadata.version(name) for name in LIBRARIES}


def test_every_fact_has_a_line(command: Command, strict: Callable[[str], Any]) -> None:
    facts = strict(command("doctor", "--json")[1][0])
    code, out, _ = command("doctor")
    assert code == 0
    assert [line.split(maxsplit=1) for line in out] == [[name, str(value)] for name, value in facts.items()]
