"""LanguageModel, the library's way to the task generate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unspool import LanguageModel
from unspool.errors import DataError, SettingError, UsageError

TINY = {"hidden": 16, "embedding": 8, "batch_size": 4, "chunk": 16, "epochs": 8, "learning_rate": 0.02}
TINY |= {"dropout": 0.1, "average": 0.99}  # the recipe's are for more steps


def test_its_whole_life(tmp_path: Path) -> None:
    model = LanguageModel(**TINY).fit("the cat sat. " * 80)
    assert model.generate("the cat", length=6, temperature=0) == " sat. "
    assert model.generate("the cat", length=30, temperature=0, stop=". the") == " sat"
    assert model.generate("the", length=np.int64(9), seed=np.int64(3)) == model.generate("the", length=9, seed=3)
    with pytest.raises(UsageError, match="length is True: expected 1 or more"):
        model.generate(length=True)
    with pytest.raises(DataError, match="label must be a text, got list"):
        model.generate(label=["x"])  # type: ignore[arg-type]
    assert repr(model).startswith("LanguageModel(hidden=16, embedding=8, ")
    assert model.score(["the cat sat. "]) > model.score(["sat the cat. "])
    model.save(tmp_path / "m")
    again = LanguageModel.load(tmp_path / "m")
    assert again.generate("the", length=30, seed=3) == model.generate("the", length=30, seed=3)
    assert again.score(["the cat"]) == model.score(["the cat"]) and again.validation_ == model.validation_
    with pytest.raises(UsageError, match=r"exists and .* save to another path, or remove it first with shutil\.rmtree"):
        model.save(tmp_path / "m")
    with pytest.raises(UsageError, match="length is 0"):
        model.generate(length=0)
    with pytest.raises(UsageError, match="stop is '': expected the text before which to end, or None"):
        model.generate(stop="")
    with pytest.raises(DataError, match="nothing to score"):
        model.score([""])
    assert model.score("the cat") == model.score(["the cat"]) < 0
    with pytest.raises(DataError, match="prompt must be a text, got NoneType"):
        model.generate(None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="there are 1 texts but 0 labels"):
        model.score(["the"], [])


def test_a_list_with_one_text_is_running_text_as_the_text_is() -> None:
    text, few = "the cat sat. " * 80, TINY | {"epochs": 1}
    alone, listed = LanguageModel(**few).fit(text), LanguageModel(**few).fit([text])
    assert listed.predictor_.running and listed.validation_ == alone.validation_
    labelled = LanguageModel(**few).fit([text], ["cats"])
    assert labelled.predictor_.running and len(labelled.generate("the", label="cats", length=3)) == 3


def test_a_few_steps_are_enough_for_the_average_of_the_recipe() -> None:
    text = "the cat sat. " * 80
    plain = LanguageModel(**TINY | {"average": 0.0}).fit(text).validation_["nats_per_token"]
    averaged = LanguageModel(**TINY | {"average": 0.995}).fit(text).validation_["nats_per_token"]
    assert plain < 0.5 and averaged < 1.5 * plain


@pytest.mark.parametrize(
    ("texts", "labels", "words"),
    [
        (None, None, "texts must be a list of texts, got NoneType"),
        (b"the cat", None, "texts must hold strings; item 0 is of type int"),
        (["a", None], None, "texts must hold strings; item 1 is of type NoneType"),
        (["a", "b"], [1, 2], "labels must hold strings; item 0 is of type int"),
        (["a", "b"], 3, "labels must be a list of texts, got int"),
        (["a", "b"], ["x"], "there are 2 texts but 1 labels"),
    ],
)
def test_what_is_no_list_of_texts_is_told(texts: Any, labels: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        LanguageModel(**TINY).fit(texts, labels)


def test_what_is_not_fitted_or_no_language_model_says_so() -> None:
    with pytest.raises(UsageError, match="not fitted yet: call fit first"):
        LanguageModel().generate()
    with pytest.raises(UsageError, match="task 'classify', not a language model"):
        LanguageModel.load(Path(__file__).parent / "models" / "format1" / "gru")


def test_errors_name_arguments_and_no_flags() -> None:
    model = LanguageModel(**TINY | {"epochs": 1}).fit("the cat sat. " * 80)
    with pytest.raises(SettingError, match=r"^temperature is -1: expected"):
        model.generate("the", temperature=-1)
    with pytest.raises(SettingError, match=r"^top_p is 'x': expected a probability"):
        model.generate("the", top_p="x")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="cannot write by 'x': give fit labels, or leave the label out"):
        model.generate("the", label="x")
    with pytest.raises(DataError, match="cannot write by 'x': give fit labels"):
        model.score(["the"], ["x"])
    with pytest.raises(DataError, match=r"give more text or a smaller chunk$"):
        LanguageModel(**TINY).fit("the cat sat.")
    with pytest.raises(DataError, match=r"no text can be spared for validation: give more text$"):
        LanguageModel(**TINY).fit(["the cat sat"] * 9)
    with pytest.raises(SettingError, match=r"^tied and adaptive do not go together"):
        LanguageModel(tied=True, adaptive=True).fit("the cat sat. " * 80)
