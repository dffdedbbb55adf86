from __future__ import annotations

import pytest

from unspool.training.tagging_metrics import report, span_f1

TRUTH = [["B-x", "I-x", "O", "B-y"], ["O", "B-x"]]


def test_spans_count_only_when_whole_and_of_their_type() -> None:
    answers = [["B-x", "I-x", "O", "B-x"], ["O", "B-x"]]
    found = report(TRUTH, answers, spans=True)
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert (found["span_precision"], found["span_recall"], found["span_f1"]) == (2 / 3, 2 / 3, 2 / 3)
    assert found["per_type"]["x"] == {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "examples": 2, "answered": 3}
    assert found["per_type"]["y"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 1, "answered": 0}
    assert (found["sentence_accuracy"], found["tokens"], found["sentences"]) == (0.5, 6, 2)
    assert span_f1(TRUTH, answers) == 2 / 3


def test_a_span_cut_short_is_wrong() -> None:
    assert span_f1([["B-x", "I-x"]], [["B-x", "O"]]) == 0.0
    assert span_f1([["O"]], [["O"]]) == 0.0


def test_single_tags_are_types_of_their_own() -> None:
    found = report([["N", "V", "N"]], [["N", "N", "N"]], spans=False)
    assert found["span_f1"] is None
    assert found["per_type"]["N"] == {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "examples": 2, "answered": 3}
    assert found["per_type"]["V"]["f1"] == 0.0


def test_nothing_gives_zeros() -> None:
    found = report([], [], spans=True)
    assert (found["accuracy"], found["span_f1"], found["tokens"], found["per_type"]) == (0.0, 0.0, 0, {})
