"""`unspool import-keras`: from Keras's file and vocabulary to texts answered as Keras would."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unspool.errors import ModelFileError
from unspool.predictors import load

os.environ["KERAS_BACKEND"] = "torch"
Command = Callable[..., tuple[int, list[str], str]]

WORDS = {"a": 1, "dull": 2, "fine": 3, "film": 4, "rare": 9}
TEXTS = ["A fine, fine film!", "dull", "", "film " * 9 + "dull", "a strange film"]
# By hand: words without an id below 6 are left out; 6 ids, zeros on the left, the tail kept.
BLOCK = [[0, 0, 1, 3, 3, 4], [0, 0, 0, 0, 0, 2], [0] * 6, [4, 4, 4, 4, 4, 2], [0, 0, 0, 0, 1, 4]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A network that reads its padding, and its file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras", reason="Keras is not installed (pip install 'unspool[dev]')")
        keras.utils.set_random_seed(3)
        L = keras.layers
        convolution, end = L.Conv1D(5, 3, activation="tanh"), L.Dense(1, activation="sigmoid")
        made = keras.Sequential([keras.Input((None,)), L.Embedding(6, 4), convolution, L.LSTM(3), end])
        path = tmp_path_factory.mktemp("keras") / "films.keras"
        made.save(path)
    return made, path


def shares(model: Any, block: list[list[int]]) -> np.ndarray:
    return np.asarray(model(np.array(block), training=False).detach())[:, 0]


@pytest.mark.parametrize("form", ["word_index", "tokenizer", "list"])
def test_texts_are_answered_as_by_keras(
    form: str, model: tuple[Any, Path], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    contents = {
        "word_index": json.dumps(WORDS),
        "tokenizer": json.dumps(
            {"class_name": "Tokenizer", "config": {"word_index": json.dumps(WORDS), "num_words": 6}}
        ),
        "list": "<padding>\na\ndull\nfine\nfilm\nother\nrare\n",
    }
    Path("words").write_text(contents[form])
    flags = ["--vocabulary", "words", "--length", 6, "--labels", "bad,good", "--out", "films"]
    code, out, error = command("import-keras", model[1], *flags)
    assert (code, out) == (0, ["model      films"])
    assert "is read like a word, as in Keras without mask_zero" in error
    predictor: Any = load(Path("films"))
    assert predictor.labels == ["bad", "good"]
    np.testing.assert_allclose(np.exp(predictor.log_probabilities(TEXTS))[:, 1], shares(model[0], BLOCK), atol=1e-5)
    alone = np.concatenate([predictor.log_probabilities([text]) for text in TEXTS])
    np.testing.assert_allclose(predictor.log_probabilities(TEXTS), alone, atol=1e-6)


def test_without_a_length_a_text_gets_no_padding_but_what_a_window_needs(
    model: tuple[Any, Path], tmp_path: Path, command: Command
) -> None:
    assert command("import-keras", model[1], "--out", tmp_path / "m")[0] == 0
    predictor: Any = load(tmp_path / "m")
    want = [shares(model[0], [row])[0] for row in ([0, 0, 2], [1, 2, 3], [1, 2, 3, 4, 5])]
    found = np.exp(predictor.log_probabilities(["2", "1 2 3", "1 2 3 4 5"]))[:, 1]
    np.testing.assert_allclose(found, want, atol=1e-5)
    with pytest.raises(ModelFileError, match="holds the id 6, the network knows 0 to 5"):
        predictor.log_probabilities(["1 6"])


def test_text_vectorization_pads_on_the_right_and_knows_the_unknown(
    model: tuple[Any, Path], tmp_path: Path, command: Command
) -> None:
    (tmp_path / "words").write_text("\n[UNK]\na\nfine\nfilm\ndon't\n")
    flags = ["--vocabulary", tmp_path / "words", "--length", 4, "--out", tmp_path / "m"]
    assert command("import-keras", model[1], *flags)[0] == 0
    predictor: Any = load(tmp_path / "m")
    want = shares(model[0], [[2, 3, 4, 0], [1, 4, 1, 2]])
    found = np.exp(predictor.log_probabilities(["A fine... film", "some film has a start and an end"]))[:, 1]
    np.testing.assert_allclose(found, want, atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--labels", "a,b,c"], "--labels names 3 different labels, the network answers with 2"),
        (["--vocabulary", "none.json"], "none.json cannot be read"),
        (["--vocabulary", "odd.json"], "neither a list of words nor a JSON object"),
        (["--vocabulary", "empty"], "empty names no word with an id from 1 to 5: the network would read nothing"),
        (["--vocabulary", "far.json"], "far.json names no word with an id from 1 to 5"),
        (["--vocabulary", "twice"], "twice lists a word twice: its place is its id"),
        (["--vocabulary", "bytes"], "bytes is not UTF-8"),
        (["--padding", "middle"], "left"),
    ],
)
def test_a_wrong_request_writes_nothing(
    flags: list[str], words: str, model: tuple[Any, Path], tmp_path: Path, command: Command, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    contents = {"odd.json": b'{"a": "b"}', "empty": b"", "far.json": b'{"a": 9, "b": -1}', "twice": b"\na\nb\na\n"}
    for name, content in {**contents, "bytes": b"a\n\xff\nb\n"}.items():
        Path(name).write_bytes(content)
    code, out, error = command("import-keras", model[1], "--out", "m", *flags)
    assert (code, out) == (2, [])
    assert words in error
    assert not Path("m").exists()


def test_a_file_that_is_not_there_is_told(command: Command, tmp_path: Path) -> None:
    code, out, error = command("import-keras", tmp_path / "nothing.keras")
    assert (code, out) == (2, [])
    assert "there is no file" in error and "nothing.keras" in error


def test_an_imported_model_cannot_be_trained(command: Command, tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text,label\n" + "fine film,pos\ndull film,neg\n" * 9)
    code, _, error = command("train", tmp_path / "texts.csv", "--model", "imported", "--out", tmp_path / "run")
    assert code == 2
    assert "what unspool import-keras makes: it cannot be trained" in error


def test_an_imported_model_cannot_be_looked_into(model: tuple[Any, Path], command: Command, tmp_path: Path) -> None:
    command("import-keras", model[1], "--out", tmp_path / "m", "--length", 6)
    (tmp_path / "texts.txt").write_text("1 2 3\n")
    for what in (["1 2"], ["--corpus", tmp_path / "texts.txt"]):
        code, out, error = command("inspect", tmp_path / "m", *what, "--out", tmp_path / "page.html")
        assert (code, out) == (2, [])
        assert error.endswith(
            "an imported network cannot be looked into: of it only the answers are known (unspool predict)\n"
        )
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("layers", 0, "size"), 7, "does not hold the tensors"),
        (("layers", 1, "kind"), "os.system", "layer 1"),
        (("layers", 2, "inputs"), [5], "reads a layer that comes after it"),
        (("layers", 3, "activation"), "relu", "does not end in one sigmoid unit"),
        (("texts", "unknown"), 6, "a word has id 6"),
        (("length",), True, "length"),
        (("more",), 1, "exactly layers, length and texts"),
    ],
)
def test_a_changed_description_is_refused(
    place: tuple[Any, ...], value: Any, words: str, model: tuple[Any, Path], tmp_path: Path, command: Command
) -> None:
    from unspool.files import manifest_of, to_json

    assert command("import-keras", model[1], "--out", tmp_path / "m")[0] == 0
    path = tmp_path / "m" / "imported.json"
    whole = description = json.loads(path.read_text())
    for part in place[:-1]:
        description = description[part]
    description[place[-1]] = value
    path.write_bytes(to_json(whole))
    contents = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.name != "manifest.json"}
    (path.parent / "manifest.json").write_bytes(to_json(manifest_of(contents)))
    with pytest.raises(ModelFileError) as raised:
        load(tmp_path / "m")
    assert words in str(raised.value)
