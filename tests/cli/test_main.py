"""The command itself: exit codes, one line an error, suggestions, help."""

from __future__ import annotations

import importlib
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unspool import cli
from unspool.cli import COMMANDS, data, demo, doctor
from unspool.cli.demo import DEMOS
from unspool.errors import DataError, Interrupted, TrainingError

MODULES = {name: name.replace("-", "_") for name in COMMANDS}
FUNCTIONS = {name: getattr(importlib.import_module(f"unspool.cli.{file}"), file) for name, file in MODULES.items()}
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "raise_on_signal", lambda: None)  # the test runner keeps its own


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "reviews.tsv"
    path.write_text("label\ttext\n" + "pos\tgood film\nneg\tbad film\n" * 5)
    return path


def last_line(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = cli.run(arguments)
    shown = capfd.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert sum(line.startswith("unspool: ") for line in lines) == 1
    assert lines[-1].startswith("unspool: ")
    assert len(lines[-1].encode()) <= 1100
    assert lines[-1].isprintable()
    return code, lines[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("trian", 'Unknown command "trian". Did you mean "train"?'),
        ("data lst", 'Did you mean "list"?'),
        ("demo many-to-on", "there is no demo 'many-to-on'"),
        ("demo --otu x", "Did you mean --out?"),
        ("--nope", 'Unknown command "--nope"'),
        ("train DATA --hiden 3", "Unknown option: --hiden. Did you mean --hidden?"),
        ("doctor --jsn", "Did you mean --json?"),
        ("train DATA --model ltsm", "there is no model 'ltsm' (did you mean 'lstm'?)"),
        ("train DATA --model gru --region-sizes 3", "--region-sizes has no effect on the model 'gru'"),
        ("train DATA --hidden many", 'unable to convert "many" into int'),
        ("train DATA --hidden 0", "--hidden is '0'"),
        ("train DATA --keep sides", 'Choose from: "head", "tail", "both"'),
        ("train DATA --task tags", 'Choose from: "classify", "tag"'),
        ("train DATA --separator pip", "separator"),
        ("train DATA --config none.toml", "none.toml cannot be read"),
        ("train", "DATA is missing: unspool train DATA (more with unspool train --help)"),
        ("generate", "MODEL is missing: unspool generate MODEL (more with"),
        ("evaluate x", "DATA is missing: unspool evaluate MODEL DATA (more with"),
        ("generate m Once b", "'Once', 'b': nothing more is expected after unspool generate MODEL but flags (unspool"),
        ("complexity m x", "'x': nothing more is expected after unspool complexity [FOLDER] but flags (unspool"),
        ("doctor x", "'x': nothing more is expected after unspool doctor but flags (unspool doctor --help)"),
        ("data get", "NAME is missing: unspool data get NAME (more with unspool data get --help)"),
        ("train DATA --hidden", "--hidden requires an argument"),
        ("generate --model", "--model requires an argument"),
        ("train DATA DATA", "labelled texts come as one file or folder"),
        ("train nothing.tsv", "nothing.tsv"),
        ("evaluate nothing DATA", "there is no model at nothing"),
        ("predict nothing x", "there is no model at nothing"),
        ("resume nothing", "nothing is not a run"),
        ("predict DATA x", "is not a folder"),
        ("tra\x1b[31mn", "Unknown command"),
        ("x" * 100_000, "Unknown command"),
    ],
    ids=lambda value: value[:30].encode("unicode_escape").decode(),
)
def test_a_wrong_request_ends_with_2_and_one_line(
    arguments: str, words: str, labelled: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, line = last_line(arguments.replace("DATA", labelled.name).split(" "), capfd)
    assert code == 2
    assert words in line
    assert [path.name for path in labelled.parent.iterdir()] == [labelled.name]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("row 3 is odd"), 2),
        (TrainingError("the disk is\nfull"), 1),
        (MemoryError(), 1),
        (Interrupted("stopped", signal.SIGTERM), 143),
        (Interrupted("stopped", signal.SIGINT), 130),
    ],
    ids=repr,
)
def test_every_error_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(doctor, "_facts", fail)
    assert last_line(["doctor"], capfd)[0] == code


def test_an_error_of_our_own_making_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_facts", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.run(["doctor"])


HELPED = [[], *([name] for name in COMMANDS), ["data"], ["data", "get"], ["demo"], *(["demo", name] for name in DEMOS)]


@pytest.mark.parametrize("command", HELPED, ids=str)
def test_help_goes_to_stdout(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--help"]) == 0
    shown = capfd.readouterr()
    assert shown.out.startswith("Usage: unspool")
    assert shown.err == ""


@pytest.mark.parametrize("command", ["compare", "import-keras", "demo apply-everything"])
def test_the_help_of_a_command_is_all_that_its_docstring_says(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command.split(), "--help"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    module = command.replace("demo ", "demos.").replace("-", "_")
    function = getattr(importlib.import_module(f"unspool.cli.{module}"), module.split(".")[-1])
    explained = (inspect.getdoc(function) or "").split("Parameters\n")[0]
    assert " ".join(explained.split()) in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained_in_code_and_readme(name: str) -> None:
    function = FUNCTIONS[name]
    explained = inspect.getdoc(function) or ""
    for parameter in set(inspect.signature(function).parameters) - {"read", "settings"}:
        assert f"\n{parameter}\n" in explained, parameter
    assert f"unspool {name}" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_what_a_command_says_of_a_language_model_is_explained(name: str) -> None:
    explained = inspect.getdoc(FUNCTIONS[name]) or ""
    wanted = {
        "predict": ("surprise", "`tokens`", "`nats`", "`nats_per_token`"),
        "evaluate": ("`nats_per_token`", "`perplexity`", "`bits_per_byte`", "`tokens`", "`unknown_rate`"),
    }
    assert "language model" in explained and all(word in explained for word in wanted[name])
    (row,) = [line for line in README.read_text(encoding="utf-8").splitlines() if f"| `unspool {name} " in line]
    assert "of a language model" in row


@pytest.mark.parametrize("function", [data.list_corpora, data.get])
def test_the_data_commands_are_explained(function: Any) -> None:
    assert inspect.getdoc(function)
    assert "unspool data" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["", *DEMOS])
def test_every_demo_is_explained_in_code_and_readme(name: str) -> None:
    function = demo.demo
    if name:
        function = getattr(
            importlib.import_module("unspool.cli.demos." + name.replace("-", "_")), name.replace("-", "_")
        )
    explained = inspect.getdoc(function) or ""
    for parameter in inspect.signature(function).parameters:
        assert f"\n{parameter}\n" in explained, parameter
    assert f"unspool demo {name}".rstrip() in README.read_text(encoding="utf-8")


def test_every_setting_is_a_flag(capfd: pytest.CaptureFixture[str]) -> None:
    from unspool.config import Settings, flag

    cli.run(["train", "--help"])
    shown = capfd.readouterr().out
    assert [name for name in Settings.model_fields if flag(name) not in shown] == []


def test_python_m_unspool_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unspool", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    from unspool import __version__

    assert done.stdout.strip() == __version__


@pytest.mark.parametrize(
    ("chosen", "found"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
    ids=["by itself", "a number given", "a policy given"],
)
def test_waiting_threads_leave_the_cores_to_others(chosen: dict[str, str], found: str) -> None:
    """The runtime reads it when torch is loaded, so it must be there before."""
    show = "print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    program = f"import os, sys; from unspool import cli; cli.run = lambda: {show}; cli.main()"
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names} | chosen
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{found} False\n"
