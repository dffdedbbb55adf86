"""`unspool predict`: as many answers as texts, in order, harmless to look at."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unspool import SequenceClassifier, predictors

Command = Callable[..., tuple[int, list[str], str]]
STRANGE = [
    "fine film",
    "",
    "dull\u2028film",
    "a\u0085b\vc\fd",
    "nul\0inside",
    "carriage\rreturn",
    "  ",
    "\ufeffbom inside",
    "\x1b[2Jescape",
    "😀 e\u0301 שלום",
    "dull film",
]


def expected(model: Path, texts: list[str]) -> list[str]:
    loaded = predictors.load(model)
    shares = np.exp(np.concatenate([loaded.log_probabilities([text]) for text in texts]))  # each text alone
    shown = {"good\x1b[31m": "good\\x1b[31m", "bad\nlabel": "bad\\nlabel"}
    return [f"{shown[loaded.labels[row.argmax()]]}\t{row.max():.4f}" for row in shares]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_lines_in_are_lines_out(bom: bytes, end: str, model: Path, tmp_path: Path, command: Command) -> None:
    joint = "\r\n" if end == "\r\n" else "\n"
    file = tmp_path / "texts.txt"
    file.write_bytes(bom + (joint.join(STRANGE) + end).encode())
    code, out, _ = command("predict", model, "--input", file)
    assert code == 0
    assert out == expected(model, STRANGE)


def test_the_installed_command_answers_standard_input(
    model: Path, installed: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    done = installed("predict", model, stdin="\n".join(STRANGE).encode())
    assert done.returncode == 0
    assert done.stdout.decode().split("\n")[:-1] == expected(model, STRANGE)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["gru", "bow", "blend"])
def test_texts_of_unknown_words_are_told(kind: str, model: Path, tmp_path: Path, command: Command) -> None:
    if kind != "gru":
        model = tmp_path / "m"
        settings = {"model": "bow"} if kind == "bow" else {"filters": 4, "embedding": 4, "epochs": 1, "blend": 0.5}
        texts = [f"{word} film {n}" for n in range(15) for word in ("fine", "dull")]
        SequenceClassifier(**settings, level="word").fit(texts, ["good", "bad"] * 15).save(model)
    code, out, err = command("predict", model, "never seen", "fine never", "", "  ", "nor this")
    assert (code, len(out)) == (0, 5)
    assert err == "note       4 of 5 texts hold nothing that the model knows: it only guesses\n"
    assert command("predict", model, "--json", "fine")[2] == ""
    assert "1 of 1 text hold" in command("predict", model, "")[2]


def test_without_the_core_the_same_answers_and_one_line_that_tells(
    model: Path, command: Command, strict: Callable[[str], Any]
) -> None:
    """The first in a process whose core is away, as where it was installed without a compiler."""
    texts = ["fine film", "dull film 3 and more", "film"]
    script = "import sys; sys.modules['unspool._native'] = None; from unspool.cli import main; main()"
    words = [sys.executable, "-c", script, "predict", str(model), "--json", *texts]
    environment = {name: value for name, value in os.environ.items() if name != "UNSPOOL_ISA"}
    done = subprocess.run(words, capture_output=True, check=True, text=True, env=environment)
    assert done.stderr == (
        "unspool: computing without the compiled core, more slowly: absent: install again with a C++ compiler present "
        "(pip cache: use --no-cache-dir)\n"
    )
    _, lines, _ = command("predict", model, "--json", *texts)
    for found, wanted in zip(map(strict, done.stdout.splitlines()), map(strict, lines), strict=True):
        assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)


def test_a_last_empty_line_is_a_text_and_a_final_newline_is_none(
    model: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content, texts in ((b"", 0), (b"\n", 1), (b"a", 1), (b"a\n", 1), (b"a\n\n", 2), (b"\na", 2)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code, out, _ = command("predict", model, "--input", "-")
        assert (code, len(out)) == (0, texts), content


def test_a_text_that_begins_with_a_hyphen_stands_after_two(model: Path, command: Command) -> None:
    code, out, _ = command("predict", model, "--", "-5 fine film", "--json")
    assert (code, len(out)) == (0, 2)


def test_json_has_all_labels_and_one_object_a_line(model: Path, command: Command, strict: Callable[[str], Any]) -> None:
    code, out, _ = command("predict", model, "fine film", "dull film", "--json")
    assert code == 0
    answers = [strict(line) for line in out]
    assert [answer["label"] for answer in answers] == ["good\x1b[31m", "bad\nlabel"]
    for answer in answers:
        assert set(answer["probabilities"]) == {"good\x1b[31m", "bad\nlabel"}
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=2e-6)
        assert answer["probability"] == max(answer["probabilities"].values())
    assert all(line.isprintable() for line in out)


def test_a_text_with_a_newline_is_one_answer(model: Path, command: Command) -> None:
    code, out, _ = command("predict", model, "fine\nfilm", "dull film")
    assert (code, len(out)) == (0, 2)


def test_a_table_gives_its_text_column(model: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "t.csv"
    file.write_text('id,words\n1,"fine\nfilm"\n2,dull film\n', encoding="utf-8")
    code, out, _ = command("predict", model, "--input", file, "--text-column", "words")
    assert code == 0
    assert out == expected(model, ["fine\nfilm", "dull film"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a text", "--input", "x.txt"], "give texts or --input, not both"),
        (["a text", "--text-column", "1"], "leave them out"),
        (["--input", "missing.txt"], "missing.txt cannot be read"),
    ],
)
def test_wrong_requests_are_one_sentence(
    arguments: list[str], words: str, model: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command("predict", model, *arguments)
    assert (code, out) == (2, [])
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["nothing", "x" * 5000])
def test_a_model_that_is_not_there_is_one_sentence(name: str, command: Command) -> None:
    code, out, err = command("predict", name, "a")
    assert (code, out) == (2, [])
    assert err.startswith("unspool: ")
    assert len(err) <= 1024
    assert err.count("\n") == 1
