"""Translator, the library's way to the task translate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from unspool import Translator, config
from unspool.errors import DataError, ModelFileError, SettingError, UsageError

WORDS = dict(
    zip(["a", "the", "red", "big", "dog", "cat"], ["ein", "der", "rot", "gross", "hund", "katze"], strict=True)
)
TINY = {"level": "word", "hidden": 16, "embedding": 16, "batch_size": 8, "epochs": 16, "learning_rate": 0.02,
        "dropout": 0.0, "embedding_dropout": 0.0, "label_smoothing": 0.0}  # fmt: skip


def pairs(count: int) -> tuple[list[str], list[str]]:
    generator = np.random.default_rng(1)
    chosen = [generator.choice(list(WORDS), size=generator.integers(2, 6)).tolist() for _ in range(count)]
    return [" ".join(words) for words in chosen], [" ".join(WORDS[word] for word in words) for words in chosen]


def test_its_whole_life(tmp_path: Path) -> None:
    sources, targets = pairs(150)
    translator = clone(Translator(**TINY)).fit(sources, targets)
    assert translator.predict(["the dog", "", "cat"]) == ["der hund", "", "katze"]
    assert translator.translate(["the dog"], beams=1) == ["der hund"]
    assert translator.score(sources[:20], targets[:20]) > 60 > translator.score(sources[:20], targets[20:40])
    assert translator.validation_["beams"] == 5 and translator.baseline_ == {}
    translator.save(tmp_path / "m")
    again = Translator.load(tmp_path / "m")
    assert again.translate(sources[:9]) == translator.translate(sources[:9])
    assert again.validation_["bleu"] == translator.validation_["bleu"]
    assert (again.level, again.target_level, again.joint, again.epochs) == ("word", "word", True, 16)
    config.resolve({"task": "translate", "model": "gru"}, again._given())  # its arguments would train it again
    with pytest.raises(UsageError, match=r"exists and .* save to another path, or remove it first with shutil\.rmtree"):
        translator.save(tmp_path / "m")
    with pytest.raises(SettingError, match="beams"):
        translator.translate(["a"], beams=0)
    with pytest.raises(DataError, match="there is nothing to score: X is empty"):
        translator.score([], [])
    with pytest.raises(DataError, match="there are no pairs to learn from"):
        Translator().fit([], [])


def test_wrong_inputs_are_told() -> None:
    for X, y, words in (
        (["a"], ["b", "c"], "equally many texts, got 1 and 2"),
        (["a", " "], ["b", "c"], "the pair 1 has an empty side"),
        (["a"], "b", "y must be a list of texts, not one text"),
        (["a"], [3], "y must hold strings; item 0 is of type int"),
        ("a", ["b"], "X must be a list of texts, not one text"),
        (["a"], None, "y must be a list of texts, got NoneType"),
    ):
        with pytest.raises(DataError, match=words):
            Translator().fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not fitted yet: call fit first"):
        Translator().translate(["a"])
    with pytest.raises(ModelFileError, match="task 'classify', not a translator"):
        Translator.load(Path(__file__).parent / "models" / "format1" / "gru")


def test_every_setting_of_the_task_is_an_argument() -> None:
    assert set(Translator().get_params()) == {*config.settings_of("translate"), "start", "verbose"}
