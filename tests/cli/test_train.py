"""`unspool train`: what it says and where, what it leaves, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unspool.tasks.classify.show import summary_lines

Command = Callable[..., tuple[int, list[str], str]]
FLAGS = ["--model", "gru", "--hidden", "4", "--embedding", "4", "--min-count", "1", "--level", "word"]


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """60 texts whose first word tells the label, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{'fine' if n % 2 else 'dull'} film number {n},{'pos' if n % 2 else 'neg'}\n" for n in range(60)]
    Path("reviews.csv").write_text("text,label\n" + "".join(rows))
    return Path("reviews.csv")


def test_figures_go_to_stdout_and_decisions_to_stderr(reviews: Path, command: Command) -> None:
    code, out, error = command("train", reviews, *FLAGS, "--epochs", 20, "--learning-rate", 0.02)
    assert code == 0
    assert [line.split()[0] for line in out] == ["validation", "baseline", "note", "trained", "model"]
    assert out[0].startswith("validation accuracy 1.0000 (")
    assert out[-1] == "model      reviews.unspool/model"
    first = dict.fromkeys(line.split()[0] for line in error.splitlines())
    assert list(first) == ["task", "read", "labels", "split", "tokens", "batches", "baseline", "model", "epoch"]
    assert sum(line.startswith("epoch") for line in error.splitlines()) == int(out[-2].split()[1])


def test_json_is_one_object_and_nothing_else(reviews: Path, command: Command, strict: Any) -> None:
    code, out, _ = command("train", reviews, *FLAGS, "--epochs", 2, "--out", "here/run", "--json")
    assert (code, len(out)) == (0, 1)
    found = strict(out[0])
    assert found["model"] == "here/run/model"
    assert found["epochs"] == 2
    assert found["settings"]["hidden"] == 4
    assert found["seconds"] > 0
    assert found["parameters"] > 100
    assert found["better_than_baseline"] is (found["validation"]["accuracy"] > found["baseline"]["accuracy"])
    for figures in (found["validation"], found["baseline"]):
        assert {"accuracy", "macro_f1", "log_loss", "examples"} <= set(figures)


def test_a_network_that_is_not_better_says_so(reviews: Path, command: Command) -> None:
    code, out, _ = command("train", reviews, *FLAGS, "--epochs", 1, "--learning-rate", 1e-9)
    assert code == 0
    assert "note       the network is not better than the linear baseline here (--model bow trains that one)" in out


def test_together_is_what_half_a_blend_would_have(reviews: Path, command: Command) -> None:
    _, alone, _ = command("train", reviews, *FLAGS, "--epochs", 1, "--out", "alone", "--json")
    code, blended, error = command("train", reviews, *FLAGS, "--epochs", 1, "--blend", 0.5, "--out", "both", "--json")
    assert code == 0 and any(line.startswith("blend ") for line in error.splitlines())
    first, second = json.loads(alone[0]), json.loads(blended[0])
    assert first["together"] == second["validation"]["accuracy"]
    assert first["validation"]["log_loss"] != second["validation"]["log_loss"] and second["together"] is None


@pytest.mark.parametrize(("together", "told"), [(0.9, True), (0.8, False), (None, False)])
def test_a_blend_is_advised_only_where_it_is_better_than_both(together: float | None, told: bool) -> None:
    figures = {"accuracy": 0.8, "accuracy_interval": (0.7, 0.9), "macro_f1": 0.8, "log_loss": 0.5, "examples": 10}
    outcome: Any = SimpleNamespace(
        validation=figures, baseline={**figures, "accuracy": 0.7}, epochs=3, beats_baseline=True, together=together
    )
    advice = "note       together they have accuracy 0.9000: --blend 0.5 makes that the model"
    assert (advice in list(summary_lines(outcome))) is told


def test_the_linear_model_is_trained_without_epochs(reviews: Path, command: Command) -> None:
    code, out, _ = command("train", reviews, "--model", "bow", "--json")
    assert code == 0
    assert json.loads(out[0])["epochs"] == 0
    assert not Path("reviews.unspool/checkpoints").exists()
    code, out, _ = command("predict", "reviews.unspool", "fine film")
    assert out[0].startswith("pos")
    assert command("resume", "reviews.unspool")[0] == 0


def test_flags_go_before_the_settings_file(reviews: Path, command: Command) -> None:
    Path("settings.toml").write_text('model = "gru"\nhidden = 9\nepochs = 1\nmin-count = 1\nlevel = "word"\n')
    _, out, _ = command("train", reviews, "--config", "settings.toml", "--hidden", 3, "--json")
    found = json.loads(out[0])["settings"]
    assert (found["hidden"], found["epochs"]) == (3, 1)


@pytest.mark.parametrize(
    ("content", "flags", "words"),
    [
        ('hidden = "many"', [], "settings.toml: hidden is 'many': "),
        ("hidden = 4", ["--model", "cnn"], "settings.toml: hidden has no effect on the model 'cnn': leave it out"),
        ("task = []", [], "settings.toml: task is '[]': input should be 'classify'"),
        ("model = {}", [], "settings.toml: model is '{}': input should be a valid string"),
        ("batch-size = 0", [], "settings.toml: batch_size is '0': "),
        ("batch-size = 0", ["--hidden", "0"], "unspool: --hidden is '0': "),
        (
            "residual = true",
            ["--model", "gru", "--layers", "1"],
            "settings.toml: residual has no effect with one layer: give --layers 2",
        ),
        ("hidden = 4", ["--hidden", "0"], "unspool: --hidden is '0': "),
    ],
)
def test_an_error_about_the_settings_file_names_it_and_the_key(
    content: str, flags: list[str], words: str, reviews: Path, command: Command
) -> None:
    Path("settings.toml").write_text(content)
    code, _, error = command("train", reviews, "--config", "settings.toml", *flags)
    assert code == 2
    assert words in error


def test_each_run_has_a_folder_of_its_own(reviews: Path, command: Command) -> None:
    paths = [json.loads(command("train", reviews, "--model", "bow", "--json")[1][0])["model"] for _ in range(3)]
    assert paths == [f"reviews{number}.unspool/model" for number in ("", "-2", "-3")]


def test_a_folder_that_is_there_is_refused_before_reading(reviews: Path, command: Command) -> None:
    Path("taken").mkdir()
    code, _, error = command("train", reviews, "--out", "taken")
    assert code == 2
    assert error.splitlines()[-1] == "unspool: taken exists: choose another --out, or unspool resume taken"


def test_a_validation_file_is_used_and_its_strangers_told(reviews: Path, command: Command) -> None:
    Path("other.csv").write_text("text,label\nfine film,pos\ndull film,neg\nodd film,odd\n")
    code, out, error = command(
        "train", reviews, *FLAGS, "--epochs", 2, "--validation-data", "other.csv", "--out", "run", "--json"
    )
    assert code == 0
    assert "never seen in training and are left out: odd\n" in error
    assert json.loads(out[0])["validation"]["examples"] == 2


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 1e30), ("adamw", 1e20), ("rmsprop", 1e20)])
def test_a_rate_that_explodes_is_exit_1_and_nothing_bad_is_kept(
    reviews: Path, command: Command, optimizer: str, rate: float
) -> None:
    flags = ["--optimizer", optimizer, "--learning-rate", rate, "--epochs", 3, "--batch-size", 8]
    code, out, error = command("train", reviews, *FLAGS, *flags)
    last = error.splitlines()[-1]
    assert (code, out) == (1, [])
    assert "step" in last
    assert "try a lower --learning-rate" in last
    assert not list(Path("reviews.unspool").rglob("*.safetensors"))


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "header only": b"text,label\n",
    "NUL": b"text,label\na\x00b,pos\nc,neg\n",
    "open quote": b'text,label\n"open,pos\nc,neg\n',
    "ragged": b"text,label\na,pos,x\nc,neg\n",
    "one class": b"text,label\n" + b"fine film,pos\n" * 20,
    "too few": b"text,label\na,pos\nb,neg\n",
    "no label column": b"text,other\na,pos\nb,neg\n",
    "a column twice": b"text,label,label\na,pos,x\nb,neg,y\n",
    "binary": bytes(range(256)) * 50,
    "a label of a million characters": b"text,label\na,pos\nb," + b"n" * 10**6 + b"\n",
    "one line of a million characters": b"x" * 10**6,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_cannot_be_used_is_one_short_message(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.csv").write_bytes(HOSTILE[name])
    code, out, error = command("train", "texts.csv")
    messages = [line for line in error.splitlines() if line.startswith("unspool: ")]
    assert (code, out, len(messages)) == (2, [], 1)
    assert error.endswith(messages[0] + "\n")
    assert len(messages[0].encode()) <= 1024
    assert [path.name for path in tmp_path.iterdir()] == ["texts.csv"]
