"""`unspool evaluate`: the figures, and what could make them misleading."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from unspool import predictors

Command = Callable[..., tuple[int, list[str], str]]
GOOD, BAD, NEW = "good\x1b[31m", "bad\nlabel", "never\x9b seen"
ROWS = [("fine film 1", GOOD), ("dull film 1", BAD), ("fine fine", BAD), ("quite new", NEW), ("quite new", GOOD)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps({"text": t, "label": label}) + "\n" for t, label in ROWS), encoding="utf-8")
    return file


def test_json_agrees_with_scikit_learn(model: Path, data: Path, command: Command, strict: Callable[[str], Any]) -> None:
    code, out, _ = command("evaluate", model, data, "--json")
    assert (code, len(out)) == (0, 1)
    figures = strict(out[0])
    loaded = predictors.load(model)
    log_shares = loaded.log_probabilities([text for text, _ in ROWS])
    truth, answers = [label for _, label in ROWS], [loaded.labels[i] for i in log_shares.argmax(axis=1)]
    assert figures["accuracy"] == pytest.approx(reference.accuracy_score(truth, answers))
    assert figures["macro_f1"] == pytest.approx(reference.f1_score(truth, answers, average="macro", zero_division=0))
    known = [row for row, label in enumerate(truth) if label != NEW]
    columns = [loaded.labels.index(truth[row]) for row in known]
    assert figures["log_loss"] == pytest.approx(-np.mean(log_shares[known, columns]))
    low, high = figures["accuracy_interval"]
    assert 0 <= low <= figures["accuracy"] <= high <= 1
    assert figures["examples"] == 5


def test_what_misleads_is_counted_and_named(
    model: Path, data: Path, command: Command, strict: Callable[[str], Any]
) -> None:
    figures = strict(command("evaluate", model, data, "--json")[1][0])
    assert figures["unseen_labels"] == {NEW: 1}
    assert figures["copies"] == 1
    assert figures["conflicting"] == 2
    assert 0 <= figures["seen_in_training"] <= 2  # the two film rows, unless the split held one of them out
    assert figures["unknown_rate"] > 0
    code, out, _ = command("evaluate", model, data)
    shown = "\n".join(out)
    assert code == 0
    assert "unseen label" in shown
    assert "never\\x9b seen" in shown
    assert all(line.isprintable() for line in out)


def test_training_texts_in_the_test_data_are_told(model: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "test.jsonl"
    rows = [{"text": f"{word} film {n}", "label": GOOD} for n in range(5) for word in ("fine", "dull")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, out, _ = command("evaluate", model, file)
    assert code == 0
    assert any(line.startswith("seen in training") and "of these texts" in line for line in out)


def test_only_unseen_labels_have_no_log_loss(
    model: Path, tmp_path: Path, command: Command, strict: Callable[[str], Any]
) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text(json.dumps({"text": "fine", "label": "other"}) + "\n", encoding="utf-8")
    figures = strict(command("evaluate", model, file, "--json")[1][0])
    assert figures["accuracy"] == 0
    assert figures["log_loss"] is None
    assert figures["calibration_error"] is None
    code, _, err = command("evaluate", model, file)
    assert code == 0
    assert "no label is one that the model knows ('bad" in err
    assert "is it another column? (--label-column)" in err


def test_data_that_cannot_be_read_is_one_sentence(model: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    code, out, err = command("evaluate", model, tmp_path / "empty.csv")
    assert (code, out) == (2, [])
    assert "empty.csv" in err
    assert err.count("\n") == 1
