"""Models that version 0.1 wrote still load and still give the answers they gave then.

The folders in format1/ are never written again: when the format changes, a format2/ comes beside them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unspool import predictors

STORED = Path(__file__).parent / "format1"
ANSWERS = json.loads((STORED / "answers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(ANSWERS["log_probabilities"]))
def test_a_stored_model_gives_its_stored_answers(name: str) -> None:
    loaded = predictors.load(STORED / name)
    assert loaded.settings.model == name
    answers = loaded.log_probabilities(ANSWERS["texts"])
    assert answers == pytest.approx(np.array(ANSWERS["log_probabilities"][name]), abs=1e-6)
