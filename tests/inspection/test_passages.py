"""Taggers, language models and translators from inside: the same answers as outside, and the states of their layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unspool import LanguageModel, SequenceTagger, predictors
from unspool.cli import run as command
from unspool.decoding.beam import BeamOptions
from unspool.errors import UsageError
from unspool.inspection.page import page_of_passages
from unspool.inspection.passages import BEAM, END, START, passage
from unspool.predictors import GeneratorPredictor, TaggerPredictor
from unspool.predictors.translator import TranslatorPredictor, encode
from unspool.tasks import Request, run

HOSTILE = "<script>alert(1)</script>"
TINY: dict[str, Any] = {"hidden": 5, "embedding": 4, "epochs": 1}


@pytest.fixture(scope="module")
def tagger() -> TaggerPredictor:
    tokens = [["fly", "to", "Oslo", "now"], ["go", "to", "Rome"]] * 12
    tags = [["O", "O", HOSTILE, "O"], ["O", "O", HOSTILE]] * 12
    return SequenceTagger(**TINY, min_count=1).fit(tokens, tags).predictor_


@pytest.fixture(scope="module")
def writer() -> GeneratorPredictor:
    return (
        LanguageModel(**TINY, model="gru", batch_size=2, chunk=8)
        .fit("to be or not to be, that is it. " * 20)
        .predictor_
    )


@pytest.fixture(scope="module")
def translators(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[TranslatorPredictor, Path]]:
    folder = tmp_path_factory.mktemp("pairs")
    path = folder / "pairs.tsv"
    path.write_text("".join(f"a red dog {n}\tein roter hund {n}\n" for n in range(40)))

    def make(model: str) -> tuple[TranslatorPredictor, Path]:
        if not (folder / model).exists():
            given = {**TINY, "task": "translate", "model": model, "level": "word"}
            given |= {"filters": 6} if model == "dilated-cnn" else {}
            run.start(Request(path, given), folder / model)
        found = predictors.load(folder / model)
        assert isinstance(found, TranslatorPredictor)
        return found, folder / model

    return make


def last_states(layer: Any, vectors: torch.Tensor) -> list[np.ndarray[Any, Any]]:
    """The state of each direction after its last step."""
    _, state = layer(vectors)
    return [part.detach().numpy() for part in (state[0] if isinstance(state, tuple) else state)[:, 0]]


def test_a_tagger_tells_its_tags_and_its_layers(tagger: TaggerPredictor) -> None:
    found = passage(tagger, "fly to Rome")
    ((tags, shares),) = tagger.tag_with_confidence([["fly", "to", "Rome"]])
    assert found.answer == " ".join(f"{w}/{t}" for w, t in zip(found.steps, tags, strict=True))
    np.testing.assert_allclose([dark for _, _, dark in found.tokens], 1 - np.array(shares))
    rows, forms = tagger.encoder.encode([["fly", "to", "Rome"]])
    network = tagger.network
    spelled = network.spell(*(torch.from_numpy(x) for x in _spellings(forms)))[torch.from_numpy(rows.ids).long()]
    words = torch.from_numpy(forms.words)[torch.from_numpy(rows.ids).long()]
    vectors = torch.cat([network.embedding(words[None]), spelled[None]], 2)
    for traced, last, step in zip(found.traces, last_states(network.encoder, vectors), (-1, 0), strict=True):
        np.testing.assert_allclose(traced.states["h"][step], last, atol=1e-6)
    assert [len(reach.norms) for reach in found.reaches] == [3, 3]


def _spellings(forms: Any) -> tuple[Any, Any]:
    longest = int(forms.characters.lengths.max())
    block = np.zeros((len(forms.characters), longest), np.int64)
    for row, length in enumerate(forms.characters.lengths):
        block[row, :length] = forms.characters[row]
    return block, forms.characters.lengths


def test_a_language_model_tells_each_surprise_and_its_layers(writer: GeneratorPredictor) -> None:
    found = passage(writer, "to be")
    (expected,) = writer.surprises(["to be"])
    assert found.steps == [START, *"to b"] and [token for token, _, _ in found.tokens] == list("to be")
    np.testing.assert_allclose([dark * max(expected.nats) for _, _, dark in found.tokens], expected.nats)
    assert found.answer == f"{np.mean(expected.nats):.4f} nats a token"
    ids = np.insert(writer.encoder.encode("to b"), 0, writer.encoder.start(None)).astype(np.int64)
    vectors = writer.network.embedding(torch.from_numpy(ids[None]))
    (last,) = last_states(writer.network.layer, vectors)
    np.testing.assert_allclose(found.traces[0].states["h"][-1], last, atol=1e-6)


@pytest.mark.parametrize("model", ["gru", "dilated-cnn"])
def test_a_translator_tells_where_it_looks(translators: Callable[[str], Any], model: str) -> None:
    predictor, _ = translators(model)
    found = passage(predictor, "a red dog")
    ((expected,),) = predictor.translate(["a red dog"], BeamOptions(BEAM))
    assert found.answer == expected.text and found.alignment is not None
    assert found.alignment.source == expected.source == ("a", "red", "dog")
    assert len(found.alignment.target) == len(found.alignment.weights) > 0
    np.testing.assert_array_equal(found.alignment.weights, expected.attention)
    if model == "dilated-cnn":
        assert found.traces == [] and found.reaches == []
        return
    assert found.steps == ["a", "red", "dog", END]
    ids = torch.from_numpy(encode(predictor.source_tokenizer, ["a red dog"])[0][None].astype(np.int64))
    for traced, last, step in zip(
        found.traces, last_states(predictor.network.encoder, predictor.network.source_embedding(ids)), (-1, 0),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(traced.states["h"][step], last, atol=1e-6)


def test_tags_and_texts_are_text_on_the_page(tagger: TaggerPredictor) -> None:
    found = page_of_passages(tagger, [passage(tagger, f"fly to {HOSTILE}")], HOSTILE, "unspool").decode()
    assert "<script" not in found and "&lt;script&gt;" in found


def test_the_command(translators: Callable[[str], Any], capsysbinary: Any, tmp_path: Path) -> None:
    _, folder = translators("gru")
    assert command(["inspect", str(folder), "a red dog", "--out", str(tmp_path / "page.html")]) == 0
    out = capsysbinary.readouterr().out.decode()
    assert "looks at" in out and "gate z" in out and "half of the gradient" in out
    assert "Where the decoder looks" in (tmp_path / "page.html").read_text()
    assert command(["inspect", str(folder), "a dog", "--json", "--out", str(tmp_path / "other.html")]) == 0
    (values,) = json.loads(capsysbinary.readouterr().out)["texts"]
    assert np.array(values["alignment"]["weights"]).shape == (len(values["alignment"]["target"]), 2)
    assert command(["inspect", str(folder), "a", "--corpus", str(tmp_path), "--out", str(tmp_path / "x.html")]) == 2
    assert "--corpus summarises classifiers" in capsysbinary.readouterr().err.decode()
    assert not (tmp_path / "x.html").exists()


def test_an_empty_text_is_refused(writer: GeneratorPredictor) -> None:
    with pytest.raises(UsageError, match="nothing to look at"):
        passage(writer, "  ")
