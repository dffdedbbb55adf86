"""`--from MODEL`: what is taken over, what joins it, how layers learn, and what is refused."""

from __future__ import annotations

import os
import re
import shutil
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unspool import LanguageModel, SequenceClassifier, SequenceTagger, Translator, predictors
from unspool.cli import run as command_line
from unspool.config import Settings
from unspool.errors import DataError, Interrupted, SettingError, UsageError
from unspool.models.classifier import LEAST_DEVIATION, Classifier
from unspool.tasks import Request, classify, generate, run, tag, translate
from unspool.tasks import start as starts
from unspool.text.duplicates import text_hashes
from unspool.text.readers import Documents
from unspool.training import classification, optim
from unspool.training.callbacks import Callback
from unspool.training.checkpoint import Progress

TEXTS = [f"{word} film {'again' if n % 3 else 'today'} {n}" for n in range(20) for word in ("fine", "dull")]
LABELS = ["good", "bad"] * 20
NEWER = [text.replace("film", "play") for text in TEXTS]
NEWER_LABELS = ["good", "odd"] * 20
SMALL: dict[str, Any] = {"model": "gru", "hidden": 6, "embedding": 5, "epochs": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a tiny model of each task, and of a language model of characters."""
    folder = tmp_path_factory.mktemp("starts")
    language = LanguageModel(**SMALL, layers=2, level="word", lowercase=True, min_count=1, chunk=4, batch_size=2)
    language.fit(TEXTS).save(folder / "words")
    running: dict[str, Any] = {"tied": True, "chunk": 8, "batch_size": 2}
    LanguageModel(**{**SMALL, **running}).fit(TEXTS, LABELS).save(folder / "characters")
    LanguageModel(**{**SMALL, "chunk": 8, "batch_size": 2}, adaptive=True).fit(TEXTS).save(folder / "adaptive")
    LanguageModel(**{**SMALL, "chunk": 4, "batch_size": 2}, level="bpe").fit(TEXTS).save(folder / "pairs")
    SequenceClassifier(**SMALL, level="word").fit(TEXTS, LABELS).save(folder / "classifier")
    SequenceClassifier("bow", level="word").fit(TEXTS, LABELS).save(folder / "bow")
    sentences, tags = [text.split() for text in TEXTS], [["A", "N", "O", "O"] for _ in TEXTS]
    SequenceTagger(**SMALL, output="crf").fit(sentences, tags).save(folder / "tagger")
    translator = Translator(**SMALL, level="word", target_level="char", joint=False)
    translator.fit(TEXTS, [text[::-1] for text in TEXTS]).save(folder / "translator")
    return folder


def start_network(prepared: Any, task: Any) -> Any:
    return task.untrained(prepared, prepared.settings)[0].eval()


# ---- what is taken over: the network before its first step


def test_a_classifier_has_the_vectors_and_layers_of_a_language_model(models: Path) -> None:
    begun: Any = predictors.load(models / "words")
    told: list[str] = []
    prepared = classify.fitting.prepare(NEWER, LABELS, {"min_count": 1}, start=begun, notice=told.append)
    assert prepared.tokenizer is not None
    added = prepared.tokenizer.size - begun.tokenizer.size
    assert f"start      a model of the task generate: {begun.tokenizer.size} kinds of tokens, {added} new" in told
    settings = prepared.settings
    assert (settings.model, settings.hidden, settings.layers, settings.bidirectional) == ("gru", 6, 2, False)
    assert (settings.level, settings.lowercase) == ("word", True)
    network = start_network(prepared, classify)
    ids = torch.from_numpy(prepared.tokenizer.encode("fine film again dull").astype(np.int64))[None]
    assert ids.max() < begun.tokenizer.size
    with torch.no_grad():
        wanted, _ = begun.network(ids, begun.network.no_state(1))  # the states that the language model has
        found, _ = network.encoder.layer(network.embedding(ids))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert not network.embedding.weight[0].any()
    new = prepared.tokenizer.encode("play")[0]
    mean = begun.network.embedding.weight[: begun.tokenizer.size].mean(0)
    torch.testing.assert_close(network.embedding.weight[new], mean)


def test_the_recipe_for_a_start_is_told_and_gives_way_to_what_was_given(models: Path) -> None:
    texts = [f"{text} " * 40 for text in NEWER]  # long ones, whose recipe has large batches
    for given, wanted in (({}, (32, 4e-3)), ({"batch_size": 7, "learning_rate": 0.1}, (7, 0.1))):
        told: list[str] = []
        start: Any = predictors.load(models / "words")
        settings = classify.fitting.prepare(texts, LABELS, given, start=start, notice=told.append).settings
        assert (settings.batch_size, settings.learning_rate) == wanted
        line = next(one for one in told if one.startswith("recipe     for a start from a language model: "))
        assert "--pooling mean" in line and ("--batch-size 32" in line) == (not given)


def test_a_classifier_goes_on_with_new_words_and_labels(models: Path) -> None:
    begun: Any = predictors.load(models / "classifier")
    told: list[str] = []
    prepared = classify.fitting.prepare(NEWER, NEWER_LABELS, {}, start=begun, notice=told.append)
    assert prepared.labels == ["bad", "good", "odd"]
    assert any(line.startswith("start      a model of the task classify: ") for line in told)
    network = start_network(prepared, classify)
    assert prepared.tokenizer is not None
    assert "play" in prepared.tokenizer.vocabulary.ids
    assert "play" not in begun.tokenizer.vocabulary.ids
    ids = torch.from_numpy(prepared.tokenizer.encode("dull film today").astype(np.int64))[None]
    lengths = torch.tensor([3])
    with torch.no_grad():
        found, wanted = network(ids, lengths), begun.network(ids, lengths)
    torch.testing.assert_close(found[:, :2], wanted)
    torch.testing.assert_close(found[:, 2], wanted.mean(1))


def test_figures_stay_honest_about_texts_that_the_start_was_trained_on(models: Path) -> None:
    begun: Any = predictors.load(models / "classifier")
    told: list[str] = []
    held_out = (TEXTS[:9], LABELS[:9])
    prepared = classify.fitting.prepare(
        NEWER, LABELS, {"epochs": 1}, start=begun, validation=held_out, notice=told.append
    )
    known = sum(number in begun.seen for number in text_hashes(TEXTS[:9]).astype(np.uint32))
    assert known
    assert f"overlap    {known} validation texts were trained on by the model to start from: figures flatter" in told
    outcome = classify.fit(prepared)
    assert set(begun.seen) < set(outcome.predictor.seen)


def test_a_label_without_texts_is_kept_and_the_baseline_stands(models: Path) -> None:
    begun: Any = predictors.load(models / "classifier")
    outcome = classify.fit(classify.fitting.prepare(NEWER, NEWER_LABELS, {"epochs": 1}, start=begun))
    assert outcome.predictor.labels == ["bad", "good", "odd"]  # nothing of "bad" in the new texts
    assert outcome.baseline["accuracy"] == 1.0
    assert outcome.predictor.log_probabilities(["dull film"]).shape == (1, 3)


@pytest.mark.parametrize("name", ["words", "characters", "adaptive", "pairs"])
def test_a_language_model_goes_on(name: str, models: Path) -> None:
    begun: Any = predictors.load(models / name)
    texts = [f"{text} indeed: yes" for text in NEWER]
    labels = ["good", "odd"] * 20 if name == "characters" else None
    given = {"batch_size": 2, "chunk": 4}
    prepared = generate.fitting.prepare(Documents.of(texts, labels), given, start=begun)
    network, old = start_network(prepared, generate), begun.tokenizer.size
    tokenizer = prepared.encoder.tokenizer
    if name in ("adaptive", "pairs"):  # neither takes new words: pairs spell them, an adaptive softmax has no room
        assert tokenizer.size == old
    else:
        assert tokenizer.size > old
        assert tokenizer.vocabulary.tokens[: old - 2] == begun.tokenizer.vocabulary.tokens
    first, theirs = (one.start("good") if labels else 0 for one in (prepared.encoder, begun.encoder))
    ids, own = (torch.tensor([[one, *begun.tokenizer.encode("dull film")]]) for one in (first, theirs))
    with torch.no_grad():
        found = network.log_probs(network(ids, network.no_state(1))[0][:, -1])[:, :old]
        wanted = begun.network.log_probs(begun.network(own, begun.network.no_state(1))[0][:, -1])
    torch.testing.assert_close(found.log_softmax(1), wanted, rtol=0, atol=1e-5)  # new tokens only take their share
    if labels:
        assert list(prepared.encoder.labels) == ["bad", "good", "odd"]


def test_a_tagger_goes_on(models: Path) -> None:
    begun: Any = predictors.load(models / "tagger")
    sentences, tags = [text.split() for text in NEWER], [["A", "X", "O", "O"] for _ in NEWER]
    prepared = tag.fitting.prepare(tag.fitting.Sentences(sentences, tags), {"task": "tag"}, start=begun)
    assert prepared.labels == ["A", "N", "O", "X"]
    network = start_network(prepared, tag)
    found, wanted = (
        emissions(one, encoder) for one, encoder in ((network, prepared.encoder), (begun.network, begun.encoder))
    )
    torch.testing.assert_close(found[..., :3], wanted)
    torch.testing.assert_close(network.crf.transitions[:3, :3], begun.network.crf.transitions)


@torch.no_grad()
def emissions(network: Any, encoder: Any) -> Any:
    rows, forms = encoder.encode([["fine", "film", "again"]])
    ids = torch.from_numpy(forms.words[rows.ids])[None]
    letters = [torch.from_numpy(forms.characters[k].astype(np.int64)) for k in rows.ids]
    lengths = torch.tensor([len(word) for word in letters])
    spelled = network.spell(torch.nn.utils.rnn.pad_sequence(letters, batch_first=True), lengths)
    return network(ids, spelled[None], torch.tensor([3]))


def test_a_translator_goes_on(models: Path) -> None:
    begun: Any = predictors.load(models / "translator")
    pairs = translate.fitting.Pairs(NEWER, [text[::-1].replace("y", "z") for text in NEWER], (), "")
    prepared = translate.fitting.prepare(pairs, {}, None, lambda _: None, begun)
    assert prepared.source_tokenizer.size > begun.source_tokenizer.size
    assert prepared.target_tokenizer.size > begun.target_tokenizer.size
    network = translate.fitting.make_network(prepared).eval()
    answers = []
    for one, source in ((network, prepared.source_tokenizer.size), (begun.network, begun.source_tokenizer.size)):
        ids = torch.tensor([[*begun.source_tokenizer.encode("fine film"), source]])
        step, state = one.start(ids, torch.tensor([3]))
        with torch.no_grad():
            first, _ = step(torch.tensor([one.boundary]), state)
        answers.append(first[:, 1 : begun.target_tokenizer.size].log_softmax(1))
    torch.testing.assert_close(*answers, rtol=0, atol=1e-5)


# ---- how layers learn


def two_layers(**settings: Any) -> tuple[Classifier, Settings]:
    chosen = Settings(model="lstm", hidden=4, embedding=3, layers=2, dropout=0.0, **settings)
    torch.manual_seed(0)
    return Classifier(chosen, 7, 3), chosen


def test_layers_are_listed_from_the_output_down() -> None:
    network, _ = two_layers(pooling="attention")
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    layers = [sorted(names[id(parameter)] for parameter in layer) for layer in network.layers()]
    assert [len(layer) for layer in layers] == [5, 8, 8, 1]
    assert all("_l1" in name for name in layers[1])
    assert all("_l0" in name for name in layers[2])
    assert layers[3] == ["embedding.weight"]


def test_each_layer_has_its_share_of_the_rate() -> None:
    network, settings = two_layers(layer_decay=0.5, optimizer="sgd", weight_decay=0.0)
    optimizer = optim.make_optimizer(network, settings)
    optim.set_rate(optimizer, 0.1)
    before = [[parameter.detach().clone() for parameter in layer] for layer in network.layers()]
    network(torch.tensor([[2, 3, 4]]), torch.tensor([3])).square().sum().backward()
    optimizer.step()
    for depth, (layer, old) in enumerate(zip(network.layers(), before, strict=True)):
        for parameter, start in zip(layer, old, strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.detach(), start - 0.1 * 0.5**depth * parameter.grad)


def test_layers_begin_to_learn_one_after_the_other(models: Path) -> None:
    begun: Any = predictors.load(models / "words")
    given = {"gradual_unfreezing": True, "epochs": 3, "batch_size": 8}
    prepared = classify.fitting.prepare(TEXTS, LABELS, given, start=begun)
    network, data, settings = classify.untrained(prepared, prepared.settings)
    states: list[dict[str, torch.Tensor]] = []

    class Keep(Callback):
        def on_validation(self, standing: Progress, figures: Any, *, best: bool) -> None:
            states.append({name: value.clone() for name, value in network.state_dict().items()})

    states.append({name: value.clone() for name, value in network.state_dict().items()})
    classify.fitting.Trainer(network, data, settings, callbacks=(Keep(),)).fit()
    learned = [
        {name for name in before if not torch.equal(before[name], after[name])} for before, after in pairwise(states)
    ]
    assert learned[0] == {"output.weight", "output.bias"}
    assert {name[-2:] for name in learned[1] - learned[0]} == {"l1"}
    assert {name[-2:] for name in learned[2] - learned[1]} == {"l0"}
    assert all(parameter.requires_grad for parameter in network.parameters())


# ---- runs


def table(path: Path, texts: list[str], labels: list[str]) -> Path:
    rows = [("text", "label"), *zip(texts, labels, strict=True)]
    path.write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    return path


class Kill(Callback):
    def on_step(self, standing: Progress, loss: float) -> None:
        if standing.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_stopped_run_resumes_to_the_same_bits_and_knows_its_start(models: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "new.tsv", NEWER, NEWER_LABELS)
    given = {"epochs": 4, "batch_size": 8, "gradual_unfreezing": True, "layer_decay": 0.4}
    begun = tmp_path / "begun"
    shutil.copytree(models / "words", begun)
    request = Request(data, given, start=begun)
    run.start(request, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run.start(request, tmp_path / "stopped", callbacks=(Kill(),))
    run.resume(tmp_path / "stopped")
    wanted, found = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert found == wanted
    assert predictors.load(tmp_path / "whole").card["start"] == starts.digest(begun)
    shutil.rmtree(begun)
    shutil.copytree(models / "classifier", begun)  # another model in its place
    with pytest.raises(SettingError, match="does not fit the model to start from"):
        run.resume(tmp_path / "stopped")


def test_another_start_is_named(models: Path, tmp_path: Path) -> None:
    data, begun = table(tmp_path / "new.tsv", NEWER, NEWER_LABELS), tmp_path / "begun"
    shutil.copytree(models / "classifier", begun)
    run.start(Request(data, {"epochs": 1}, start=begun), tmp_path / "run")
    shutil.rmtree(begun)
    SequenceClassifier(**{**SMALL, "seed": 1}, level="word").fit(TEXTS, LABELS).save(begun)
    with pytest.raises(UsageError, match=r"differs from the run: start was \w+…, is \w+…. Go on"):
        run.resume(tmp_path / "run")


def test_python_starts_from_a_folder_too(models: Path) -> None:
    found = SequenceClassifier(epochs=1, start=models / "words", layer_decay=0.5).fit(NEWER, LABELS)
    assert found.predictor_.settings.hidden == 6
    again = SequenceClassifier(epochs=1, start=str(models / "classifier")).fit(NEWER, NEWER_LABELS)
    assert again.classes_.tolist() == again.predictor_.labels == joined(LABELS, NEWER_LABELS)
    assert again.predict_proba(["fine"]).shape == (1, len(again.classes_))
    model = LanguageModel(start=models / "characters", epochs=1, batch_size=2).fit([f"film {n}" for n in range(20)])
    assert model.predictor_.labels == ["bad", "good"]


def joined(*given: list[str]) -> list[str]:
    """Labels in the order in which models learned of them, those of one model sorted."""
    return list(dict.fromkeys(label for labels in given for label in sorted(set(labels))))


@pytest.mark.parametrize("newer", [[1, 2], [10, 9], [0, 1], [1, 0]], ids=str)
def test_numbers_join_the_numbers_of_the_model_to_start_from(newer: list[int], tmp_path: Path) -> None:
    first = SequenceClassifier(**SMALL, level="word").fit(TEXTS, [int(label == LABELS[0]) for label in LABELS])
    first.save(tmp_path / "first")
    y = [newer[label == LABELS[0]] for label in LABELS]
    again = SequenceClassifier(epochs=1, start=tmp_path / "first").fit(TEXTS, y)
    known = list(dict.fromkeys([0, 1, *sorted(newer)]))
    assert again.classes_.tolist() == known
    assert again.predictor_.labels == [str(label) for label in known]
    again.save(tmp_path / "again")
    loaded = SequenceClassifier.load(tmp_path / "again")
    assert loaded.classes_.tolist() == known
    assert np.array_equal(loaded.predict(TEXTS), again.predict(TEXTS))
    with pytest.raises(DataError, match="y holds labels of type str, the model to start from has int"):
        SequenceClassifier(epochs=1, start=tmp_path / "first").fit(TEXTS, LABELS)


# ---- what is refused

REFUSED: dict[str, tuple[str | None, dict[str, Any], str]] = {
    "another size": (
        "words",
        {"hidden": 7},
        "--hidden 7 does not fit the model to start from, which has 6: leave",
    ),
    "another level": ("words", {"level": "char"}, "--level char does not fit the model to start from, which has word"),
    "another cell": ("words", {"model": "lstm"}, "--model lstm does not fit the model to start from, which has gru"),
    "both directions": ("words", {"bidirectional": True}, "--bidirectional True does not fit the model to start from"),
    "too few kinds": ("words", {"max_vocabulary": 3}, "--max-vocabulary is 3: the model to start from has "),
    "unfreezing alone": (None, {"gradual_unfreezing": True}, "--gradual-unfreezing has no effect without --from MODEL"),
    "rates alone": (None, {"layer_decay": 0.3}, "--layer-decay has no effect without --from MODEL: leave it out"),
    "another task": (
        "tagger",
        {},
        "of the task 'tag': the task 'classify' starts from a model of its own or a",
    ),
    "bow": ("bow", {}, "a model of the kind 'bow' has nothing to start from: give a network"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str, models: Path, tmp_path: Path) -> None:
    name, given, words = REFUSED[case]
    data = table(tmp_path / "new.tsv", TEXTS, LABELS)
    start = models / name if name else None
    with pytest.raises((SettingError, UsageError), match=words.replace("(", r"\(")):
        run.start(Request(data, {"task": "classify", **given}, start=start), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_vectors_and_a_start_do_not_go_together(models: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("fine 1 2 3 4 5\n")
    begun = predictors.load(models / "classifier")
    with pytest.raises(SettingError, match="--vectors and --from do not go together"):
        classify.fitting.prepare(TEXTS, LABELS, {}, start=begun, vectors=vectors)


def test_a_fixed_vocabulary_is_said_to_be_fixed(models: Path) -> None:
    begun = predictors.load(models / "adaptive")
    with pytest.raises(SettingError, match="--min-count has no effect here: the tokens are those of --from MODEL"):
        generate.fitting.prepare(Documents.of(TEXTS), {"min_count": 1}, start=begun)


def test_tags_of_another_kind_are_refused(models: Path) -> None:
    begun = predictors.load(models / "tagger")
    sentences = tag.fitting.Sentences([["a", "b"]] * 9, [["B-x", "O"]] * 9)
    with pytest.raises(DataError, match="one has spans"):
        tag.fitting.prepare(sentences, {"task": "tag"}, start=begun)


# ---- the commands


def test_pretrain_then_train_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plain.csv").write_text("text\n" + "".join(f"{text}\n" for text in TEXTS * 3))
    data, short = table(tmp_path / "few.tsv", TEXTS, LABELS), ["--epochs", "1"]

    def call(*arguments: object) -> str:
        code, told = command_line([str(argument) for argument in arguments]), capsys.readouterr().err
        assert code == 0, told
        return told

    sizes = ["--hidden", "6", "--embedding", "5", "--chunk", "4", "--batch-size", "2"]
    told = call("pretrain", tmp_path / "plain.csv", "--out", tmp_path / "lm", *sizes, *short)
    assert "level      word" in told and "task       generate: as asked\n" in told
    begun: Any = predictors.load(tmp_path / "lm")
    assert (begun.task, begun.settings.level, begun.settings.lowercase) == ("generate", "word", True)
    told = call("train", data, "--from", tmp_path / "lm", "--out", tmp_path / "run", "--layer-decay", ".4", *short)
    assert f"start      a model of the task generate: {begun.tokenizer.size} kinds of tokens" in told
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"{label} {text}\n" for text, label in zip(TEXTS, LABELS, strict=True)))
    assert command_line(["pretrain", str(lines), "--chunk", "999"]) == 2
    assert "lines seem to begin with one, which is read as text: --format lines parts them" in capsys.readouterr().err
    (tmp_path / "task.toml").write_text('task = "classify"\n')
    assert command_line(["pretrain", str(data), "--config", str(tmp_path / "task.toml")]) == 2
    assert "the task 'classify' does not fit: unspool pretrain makes language models" in capsys.readouterr().err
    (tmp_path / "task.toml").write_text('pooling = "max"\n')
    assert command_line(["pretrain", str(data), "--config", str(tmp_path / "task.toml")]) == 2
    assert "task.toml: pooling has no effect on the task 'generate'" in capsys.readouterr().err


def test_pretrain_offers_what_a_language_model_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["pretrain", "--help"]) == 0
    offered = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out.partition("Reading")[2]))
    assert {"--hidden", "--chunk", "--tied", "--text-column", "--minutes"} <= offered
    assert not {"--task", "--pooling", "--blend", "--label-column", "--keep"} & offered


def test_features_of_a_language_model_are_standardised_until_the_training_ends(models: Path) -> None:
    begun: Any = predictors.load(models / "words")
    prepared = classify.fitting.prepare(NEWER, LABELS, {"min_count": 1, "epochs": 2}, start=begun)
    assert prepared.data is not None
    network, read = start_network(prepared, classify), []
    network.output.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].detach().numpy()))
    classification.predict(network, prepared.data.train)
    features = np.concatenate(read)  # there are so few texts that all of them were looked at
    raw = classification.some_features(network, prepared.data.train, 10**4)
    spread = raw.std(0).numpy()
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(0, ddof=1), np.minimum(1, spread / LEAST_DEVIATION), rtol=1e-3)
    before = classification.predict(network, prepared.data.train)
    network.fold()
    np.testing.assert_allclose(classification.predict(network, prepared.data.train), before, atol=1e-5)
    fitted = classify.fitting.fit(prepared).predictor
    assert not {"mean", "deviation"} & set(fitted.network.state_dict())
