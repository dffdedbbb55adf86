"""A language model's whole life: train, stop, resume, save, load, write, score; and what is refused."""

from __future__ import annotations

import json
import math
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unspool import corpora, predictors
from unspool.cli import generate as command_of_generate
from unspool.cli import run as command_line
from unspool.config import Settings
from unspool.corpora import standard_library
from unspool.decoding.sampling import Sampling
from unspool.errors import DataError, Interrupted, SettingError, UsageError
from unspool.models.recipes import for_level, settle
from unspool.predictors import GeneratorPredictor, generator
from unspool.tasks import Request, find_task, generate, run
from unspool.tasks.generate import fitting, sampler
from unspool.text import ngrams, streams
from unspool.text.readers import Documents, ReadOptions
from unspool.text.spelling import Speller
from unspool.text.streams import START, Encoder, Tokens
from unspool.text.tokenizers import train_tokenizer
from unspool.training.callbacks import Callback
from unspool.training.checkpoint import Progress

TEXT = "the cat sat on the mat and ran.\nthe dog ate a bone and slept.\n" * 60
TINY: dict[str, Any] = {
    "task": "generate", "hidden": 24, "embedding": 12, "batch_size": 8, "chunk": 16, "epochs": 6,
    "learning_rate": 0.02, "dropout": 0.2, "embedding_dropout": 0.0, "average": 0.5,
}  # fmt: skip


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, standing: Progress, loss: float) -> None:
        if standing.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module", autouse=True)
def short_samples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "SHOWN", 4)
        patch.setattr(sampler, "LONG", 120)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "animals.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def finished(corpus: Path) -> run.Finished:
    return run.start(Request(corpus, TINY), corpus.parent / "run")


@pytest.fixture
def command(capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = command_line([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return call


def written(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def draw(model: GeneratorPredictor, prompt: str, how: Sampling, length: int, samples: int = 1) -> list[str]:
    ids, _ = model.prompt_ids(prompt)
    texts = [""] * samples
    for step in model.generate(ids, how, length, samples):
        texts = [text + (token.text if token else "") for text, token in zip(texts, step, strict=True)]
    return texts


def test_it_learns_and_beats_nothing_it_should_not(finished: run.Finished) -> None:
    outcome = finished.outcome
    assert outcome.validation["nats_per_token"] < 1.0  # the text is a rhyme over and over
    assert outcome.validation["perplexity"] == pytest.approx(math.exp(outcome.validation["nats_per_token"]))
    assert outcome.validation["bits_per_byte"] == pytest.approx(outcome.validation["nats_per_token"] / math.log(2))
    assert outcome.validation["tokens"] == math.ceil(len(TEXT) / 10)
    assert outcome.beats_baseline == (outcome.validation["nats_per_token"] < outcome.baseline["nats_per_token"])
    assert 0 <= outcome.novelty["seen_8grams"] <= 1 and outcome.novelty["longest_text"] in TEXT


def test_every_validation_is_followed_by_a_sample_at_each_temperature(
    finished: run.Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sampler.LADDER == (0.5, 0.8, 1.1)
    monkeypatch.setattr(sampler, "SHOWN", 60)
    model, told = finished.outcome.predictor, list[str]()
    drawn = set()
    for epoch in (1, 2):
        sampler.Sampler(lambda: model, told.append).on_validation(Progress(epoch=epoch), {}, best=False)
        for temperature, line in zip((0.5, 0.8, 1.1), told, strict=True):
            text = draw(model, "", Sampling(temperature, seed=epoch), 60)[0]
            assert line == f"  {temperature}  {' '.join(text.split())}"
            drawn.add(text)
        told.clear()
    assert len(drawn) == 6  # each epoch and each temperature has its own


def test_running_text_is_written_after_a_line_break(finished: run.Finished) -> None:
    """The usual start stands once in running text: what follows it is hardly learned."""
    model = finished.outcome.predictor
    assert model.running
    assert model.prompt_ids("")[0].tolist() == model.encoder.encode("\n").tolist()
    assert model.prompt_ids("the")[0].tolist() == model.encoder.encode("\nthe").tolist()
    of_rows = replace(model, running=False)
    assert of_rows.prompt_ids("")[0].tolist() == [START]
    assert of_rows.prompt_ids("the")[0].tolist() == [START, *model.encoder.encode("the").tolist()]
    unknown = replace(model, tokenizer=train_tokenizer("char", ["no line break"]))
    assert unknown.prompt_ids("")[0].tolist() == [START]


def test_a_run_tells_the_ladder_of_the_model_as_it_stands() -> None:
    told: list[str] = []
    prepared = fitting.prepare(Documents.of([TEXT], running=True), TINY | {"epochs": 3})
    model = fitting.fit(prepared, notice=told.append).predictor
    assert told.count("samples    at temperatures 0.5, 0.8, 1.1, after every validation") == 1
    samples = [line for line in told if line.startswith("  ")]
    assert [line.split()[0] for line in samples] == ["0.5", "0.8", "1.1"] * 3
    last = draw(model, "", Sampling(0.5, seed=3), sampler.SHOWN)[0]
    assert samples[-3] == f"  0.5  {' '.join(last.split())}"  # the last validation was of the weights that are kept


def test_every_validation_shows_nats_perplexity_and_bits_per_byte(tmp_path: Path, command: Any) -> None:
    path = tmp_path / "é.txt"
    path.write_text("thé cat sat on thé mat.\n" * 100, encoding="utf-8")
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in (TINY | {"epochs": 3}).items()]
    code, _, err = command("train", path, "--out", tmp_path / "run", *flags, "--json")
    assert code == 0
    shown = re.findall(r"^epoch .*  loss (\S+)  perplexity (\S+)  bits_per_byte (\S+) ", err, re.MULTILINE)
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(shown) == len(log) == 3
    share = 240 / (240 + 20)  # tokens to bytes of the last tenth, in which é stands twice a line
    for figures, row in zip(shown, log, strict=True):
        assert row["bits_per_byte"] == pytest.approx(row["loss"] * share / math.log(2))
        assert [float(value) for value in figures] == pytest.approx(
            [row["loss"], math.exp(row["loss"]), row["bits_per_byte"]], abs=1e-3
        )


def test_a_copied_run_longer_than_a_piece_is_found_whole(
    finished: run.Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = finished.outcome.predictor
    encoder = predictor.encoder
    monkeypatch.setattr(ngrams, "PIECE", 64)
    letters = np.random.default_rng(0).choice(list("abdegklnorst "), 4000)
    corpus = "".join(letters)
    train = Tokens.collect([encoder.encode(corpus)], encoder.kind)
    found = sampler.novelty(predictor, corpus[100:3600], train)
    assert found["longest_run"] == 3500 and found["seen_8grams"] == 1


@pytest.mark.parametrize("step", [1, 40])
def test_a_stopped_run_resumes_to_the_same_bits(
    corpus: Path, finished: run.Finished, tmp_path: Path, step: int
) -> None:
    with pytest.raises(Interrupted, match="go on with: unspool resume"):
        run.start(Request(corpus, TINY), tmp_path / "run", callbacks=(StopAt(step),))
    again = run.resume(tmp_path / "run")
    assert written(again.folder) == written(finished.folder)


def test_a_large_corpus_is_kept_in_a_file_and_gives_the_same_bits(
    corpus: Path, finished: run.Finished, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(fitting, "IN_MEMORY", 10)
    with pytest.raises(Interrupted):
        run.start(Request(corpus, TINY), tmp_path / "run", callbacks=(StopAt(9),))
    stored = tmp_path / "run" / "tokens" / "train.bin"
    before = stored.stat().st_mtime_ns
    assert stored.stat().st_size == 1 + math.floor(len(TEXT) * 0.9)
    assert written(run.resume(tmp_path / "run").folder) == written(finished.folder)
    assert stored.stat().st_mtime_ns == before


def test_a_loaded_model_is_the_saved_one(finished: run.Finished) -> None:
    model, loaded = finished.outcome.predictor, predictors.load(finished.folder)
    assert isinstance(loaded, GeneratorPredictor) and loaded.settings == model.settings
    how = Sampling(0.9, seed=4)
    assert draw(loaded, "the ", how, 50, 3) == draw(model, "the ", how, 50, 3)
    assert loaded.card["validation"] == json.loads(json.dumps(finished.outcome.validation))


def test_text_is_the_same_alone_and_beside_others_and_follows_the_prompt(finished: run.Finished) -> None:
    model = finished.outcome.predictor
    together = draw(model, "the ", Sampling(1.0, seed=9), 40, 5)
    assert together[0] == draw(model, "the ", Sampling(1.0, seed=9), 40)[0]
    assert len(set(together)) > 1
    greedy = draw(model, "the cat sat on", Sampling(0), 17)[0]
    assert greedy == " the mat and ran."


def test_log_probabilities_are_those_of_reading_the_text(finished: run.Finished) -> None:
    model = replace(finished.outcome.predictor, running=False)  # read from its start, as `surprises` reads
    ids, _ = model.prompt_ids("the ")
    made = [token for (token,) in model.generate(ids, Sampling(seed=2), 30)]
    (surprise,) = model.surprises(["the " + "".join(token.text for token in made)])
    assert surprise.nats[4:] == pytest.approx([-token.log_probability for token in made], abs=1e-4)
    assert surprise.tokens[:4] == list("the ")


def test_log_probabilities_in_running_text_are_those_after_a_line_break(finished: run.Finished) -> None:
    model = finished.outcome.predictor
    ids, _ = model.prompt_ids("the ")
    made = [token for (token,) in model.generate(ids, Sampling(seed=2), 30)]
    text = model.encoder.encode("\nthe " + "".join(token.text for token in made)).astype(np.int64)
    with torch.no_grad():
        hidden, _ = model.network(torch.from_numpy(text[None, :-1]), model.network.no_state(1))
        found = model.network.log_probs(hidden[0]).gather(1, torch.from_numpy(text[1:, None]))[4:, 0]
    assert [token.log_probability for token in made] == pytest.approx(found.tolist(), abs=1e-4)


def test_score_of_a_file_is_the_mean_surprise(finished: run.Finished, tmp_path: Path) -> None:
    model = finished.outcome.predictor
    path = tmp_path / "other.txt"
    path.write_text("the cat ate a bone.\nthe zebra slept.\n")
    figures = generate.evaluate(model, [path], ReadOptions(), lambda _: None)
    (surprise,) = model.surprises([path.read_text()])
    assert figures["nats_per_token"] == pytest.approx(np.mean(surprise.nats), rel=1e-5)
    assert figures["tokens"] == 37 and figures["unknown_rate"] == pytest.approx(1 / 37)


def test_labels_lead_what_is_written(tmp_path: Path) -> None:
    texts, labels = ["aaaaaa", "bbbbbb"] * 150, ["a", "b"] * 150
    settings = {**TINY, "validation": 0.4, "epochs": 12, "seed": 1}
    texts = [text[: 3 + k % 4] + str(k % 10) for k, text in enumerate(texts)]
    prepared = fitting.prepare(Documents.of(texts, labels), settings)
    model = fitting.fit(prepared).predictor
    assert model.labels == ["a", "b"] and model.ends
    for label in ("a", "b"):
        ids, _ = model.prompt_ids("", label)
        steps = list(model.generate(ids, Sampling(0.7), 60, 20))
        assert len(steps) < 60  # every document comes to its end
        first = [token.text for token in steps[0] if token]
        assert first.count(label) >= 18
    with pytest.raises(DataError, match="knows no label 'c'; it knows: a, b"):
        model.prompt_ids("", "c")


def test_words_are_spelled_with_the_blanks_a_writer_puts() -> None:
    text = "Well, the cat (a big one) sat.\nAnd then it ran!\n"
    for level, expected in (("word", text), ("token", text), ("char", text)):
        found = Encoder.of(train_tokenizer(level, [text], min_count=1, lowercase=False), [])
        speller = Speller(found.tokenizer)
        assert "".join(speller.add(int(token)) for token in found.encode(text)) == expected


@pytest.mark.parametrize("level", ["byte", "bpe"])
def test_characters_of_several_bytes_come_whole(level: str) -> None:
    text = "Ζεύς και Ήρα 🌩 end"
    tokenizer = train_tokenizer(level, [text], lowercase=False)
    speller = Speller(tokenizer)
    parts = [speller.add(int(token)) for token in tokenizer.encode(text)]
    assert "".join(parts) == text and not any("\ufffd" in part for part in parts) and len(parts) > len(text)
    assert [speller.add(int(token)) for token in tokenizer.encode("Ζ")[:1]] == [""]
    assert speller.finish() == "\ufffd"  # cut in the middle of a character


def test_text_cut_into_tokens_before_is_not_cut_further() -> None:
    text = " the <unk> 's cat , mr. n.v. said . \n it does n't matter . \n" * 50
    notes: list[str] = []
    prepared = fitting.prepare(Documents.of([text], running=True), {**TINY, "level": "word"}, notice=notes.append)
    assert prepared.settings.level == "token" and any("cut into tokens already" in note for note in notes)
    assert prepared.encoder.tokenizer.encode("<unk> n.v.").size == 2
    prose = 'He said, "Well, it is so." And then, at last, he went; she, too.\n' * 50
    assert fitting.prepare(Documents.of([prose], running=True), {**TINY, "level": "word"}).settings.level == "word"


def test_a_token_of_only_the_validation_part_is_not_in_the_vocabulary() -> None:
    text = "abcd" * 500 + "xyz" * 70
    prepared = fitting.prepare(Documents.of([text], running=True), TINY)
    assert set(prepared.encoder.tokenizer.vocabulary.tokens) == set("abcd")


@pytest.mark.parametrize(
    ("texts", "given", "words"),
    [
        ([], {}, "there is no text to learn from: the corpus is empty"),
        ([""], {}, "the corpus is empty"),
        (["\n \n", "\t\n" * 99], {}, "no text to learn from: the corpus holds nothing but blank lines"),
        (["a"], {}, "the text says nothing"),
        (["abc" * 5], {}, "fewer than one chunk of 16: give more text or a smaller --chunk"),
        (["a" * 5000], {}, "one distinct token only"),
        (["ab" * 500], {"level": "byte", "min_count": 2}, "--min-count has no effect at level byte"),
        (["ab" * 500], {"model": "cnn"}, "does not learn the task 'generate'"),
    ],
)
def test_corpora_that_cannot_be_learned(texts: list[str], given: dict[str, Any], words: str) -> None:
    with pytest.raises((DataError, SettingError), match=words):
        fitting.prepare(Documents.of(texts, running=True), {**TINY, **given})


@pytest.mark.parametrize("level", ["char", "byte", "bpe", "word"])
def test_a_large_corpus_of_one_token_is_refused(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "IN_MEMORY", 10)
    monkeypatch.setattr(streams, "GROUPED", 7)  # so that the ids come in many parts
    line = "no no no\n" if level == "word" else "a" * 9
    given = {**TINY, "level": level, **({"min_count": 10**6} if level == "bpe" else {})}  # no pair becomes a token
    with pytest.raises(DataError, match="one distinct token only"):
        fitting.prepare(Documents.of([line] * 500, running=True), given)
    late = [*[line] * 400, "bb " * 3, *[line] * 99]
    assert fitting.prepare(Documents.of(late, running=True), given).held is None


def test_no_more_of_a_large_corpus_is_read_than_shows_that_tokens_differ() -> None:
    def parts() -> Iterator[np.ndarray]:
        yield np.array([0, 5, 5])
        yield np.array([5, 0, 6])
        raise AssertionError("read on")

    fitting._refuse_monotony(parts())


def test_a_short_corpus_has_fewer_streams() -> None:
    notes: list[str] = []
    prepared = fitting.prepare(Documents.of(["abc" * 50], running=True), TINY, notice=notes.append)
    assert prepared.settings.batch_size == 8 and not any("the text is short" in note for note in notes)
    prepared = fitting.prepare(Documents.of(["abc" * 20], running=True), TINY, notice=notes.append)
    assert prepared.settings.batch_size == 3 and any("3 instead of 8: the text is short" in note for note in notes)


def test_several_files_are_one_row_of_documents(tmp_path: Path, command: Any) -> None:
    half = len(TEXT) // 2
    for name, text in (("b.txt", TEXT[:half]), ("a.txt", TEXT[half:])):
        (tmp_path / name).write_text(text)
    paths = [tmp_path / "b.txt", tmp_path / "a.txt"]
    found = generate.read(Request(paths[0], {}, more=(paths[1],))).data
    assert [(piece.text, piece.first) for piece in found.pieces()] == [(TEXT[:half], True), (TEXT[half:], True)]
    assert (found.running, found.characters, found.labels) == (True, len(TEXT), ())
    assert found.fingerprint == "-".join(generate._together([path], ReadOptions()).fingerprint for path in paths)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in (TINY | {"epochs": 1}).items()]
    code, out, _ = command("train", *paths, "--out", tmp_path / "run", *flags, "--json")
    assert code == 0 and json.loads(out)["validation"]["tokens"] == math.ceil(len(TEXT) / 10)
    code, out, _ = command("evaluate", tmp_path / "run", *paths, "--json")
    assert code == 0 and json.loads(out)["tokens"] == len(TEXT) + 1  # the end of the first document, too


def test_tables_join_and_their_labels_with_them(tmp_path: Path) -> None:
    for name, rows in (("a.csv", "one,up\ntwo,down\n"), ("b.csv", "three,left\nfour,up\n")):
        (tmp_path / name).write_text("text,label\n" + rows)
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    found = generate._together(paths, ReadOptions(label_column="label"))
    pieces = [(piece.text, piece.label) for piece in found.pieces()]
    assert pieces == [("one", "up"), ("two", "down"), ("three", "left"), ("four", "up")]
    assert (found.running, found.labels, found.characters) == (False, ("down", "left", "up"), 15)


def test_running_text_and_tables_are_not_read_together(corpus: Path, tmp_path: Path, command: Any) -> None:
    (tmp_path / "t.csv").write_text("text\nthe cat\nthe dog\n")
    for files in ((corpus, tmp_path / "t.csv"), (tmp_path / "t.csv", corpus)):
        code, out, err = command("train", *files, "--task", "generate", "--out", tmp_path / "run")
        assert (code, out) == (2, "") and not (tmp_path / "run").exists()
        assert "running text and tables cannot be read together: give files of one kind" in err


def test_a_named_corpus_needs_no_file(tmp_path: Path, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSPOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(standard_library, "LEAST_CHARACTERS", 1)
    monkeypatch.setattr(standard_library, "library_files", lambda: iter([Path(standard_library.__file__)]))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in (TINY | {"epochs": 1}).items()]
    code, out, _ = command("train", "python-source", *flags, "--out", tmp_path / "run", "--json")
    text = corpora.fetch("python-source").read_text(encoding="utf-8")
    assert code == 0 and json.loads(out)["validation"]["tokens"] == math.ceil(len(text) / 10) > 100
    code, out, _ = command("generate", tmp_path / "run", "--novelty", "python-source", "--length", 9, "--seed", 1)
    assert code == 0 and set(out) <= set(text)


def test_running_text_is_recognised_and_tables_are_not(tmp_path: Path) -> None:
    poem = tmp_path / "poem.txt"
    poem.write_text("".join(f"{chr(97 + k % 26)}{k} goes here.\n" for k in range(400)))
    assert find_task([poem], ReadOptions()) == ("generate", "running text, no labels in it")
    table = tmp_path / "t.csv"
    table.write_text("text,label\nfine,pos\ndull,neg\n" * 5)
    assert find_task([table], ReadOptions())[0] == "classify"
    assert find_task([table], ReadOptions(format="text"))[0] == "generate"


def test_the_command_writes_and_repeats_itself(finished: run.Finished, command: Any) -> None:
    code, out, err = command("generate", finished.folder, "--prompt", "the cat", "--length", 30, "--seed", 5)
    assert code == 0 and out.startswith("the cat") and len(out) == 7 + 30 + 1 and "seed" not in err
    assert command("generate", finished.folder, "--prompt", "the cat", "--length", 30, "--seed", 5)[1] == out
    code, out, err = command("generate", finished.folder, "--prompt", "thé cat 🌩", "--length", 3)
    assert code == 0 and "unknown    'é', '🌩': the model never saw them" in err and "seed       " in err
    code, out, _ = command("generate", finished.folder, "--random-word", "--length", 5, "--seed", 1)
    word = finished.outcome.predictor.random_word(1)
    assert code == 0 and out.startswith(word) and len(out) == len(word) + 6
    code, out, _ = command("generate", finished.folder, "--prompt", "the cat", "--stop", "mat", "--temperature", 0)
    assert (code, out) == (0, "the cat sat on the \n")
    for flags, told in (((), False), (("--random-word",), True)):
        code, _, err = command("generate", finished.folder, "--length", 2, "--temperature", 0, *flags)
        assert code == 0 and ("seed       " in err) is told  # of the likeliest tokens nothing is drawn


def test_a_random_word_is_whole(finished: run.Finished) -> None:
    words = [finished.outcome.predictor.random_word(seed) for seed in range(40)]
    assert words == [finished.outcome.predictor.random_word(seed) for seed in range(40)]
    assert all(len(word) > 1 and word.isalpha() for word in words) and len(set(words)) > 4
    known = set(TEXT.replace(".", "").split())
    assert sum(word in known for word in words) > 30  # the others the model made up of its letters


@pytest.mark.parametrize(("level", "epochs", "least"), [("word", 1, 20), ("bpe", 12, 2), ("byte", 12, 10)])
def test_a_random_word_of_every_level(level: str, epochs: int, least: int) -> None:
    """`least` of 20 stand in the text: the more, the better the model has learned to spell."""
    given = {**TINY, "level": level, "epochs": epochs}
    model = fitting.fit(fitting.prepare(Documents.of([TEXT], running=True), given)).predictor
    words = [model.random_word(seed) for seed in range(20)]
    assert all(len(word) > 1 and word.isalpha() for word in words) and len(set(words)) > 4
    known = set(TEXT.replace(".", "").split())
    assert sum(word in known for word in words) >= least


def test_a_random_word_begins_as_the_documents_of_the_label_do() -> None:
    texts, labels = ["alpha", "omega"] * 150, ["a", "b"] * 150
    texts = [text + " 1234"[: k % 5] for k, text in enumerate(texts)]
    settings = {**TINY, "validation": 0.4, "epochs": 12, "seed": 1}
    model = fitting.fit(fitting.prepare(Documents.of(texts, labels), settings)).predictor
    for label, word in (("a", "alpha"), ("b", "omega")):
        assert [model.random_word(seed, label) for seed in range(10)].count(word) > 7


def test_words_of_a_prompt_that_a_model_of_words_does_not_know_are_named(tmp_path: Path, command: Any) -> None:
    (tmp_path / "animals.txt").write_text(TEXT)
    given = TINY | {"level": "word", "epochs": 1}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    assert command("train", tmp_path / "animals.txt", "--out", tmp_path / "run", *flags)[0] == 0
    asked = ("generate", tmp_path / "run", "--length", 2, "--seed", 1, "--prompt")
    code, out, err = command(*asked, "the zebra and the gnu and the zebra ate")
    assert code == 0 and out.startswith("the zebra and the gnu and the zebra ate")
    assert err == "unknown    'zebra', 'gnu': the model never saw them\n"
    assert command(*asked, "the zebra")[2] == "unknown    'zebra': the model never saw it\n"
    assert command(*asked, "the cat")[2] == ""
    code, out, err = command(*asked, "zebra gnu")
    assert (code, out) == (2, "") and "knows nothing of the prompt 'zebra gnu': give other words" in err


@pytest.mark.parametrize(
    ("text", "borders", "word"),
    [
        ("rst citizen: we", (False, False), "citizen"),  # running text may begin in the middle of a word
        ("anna", (True, True), "anna"),
        ("a I it, so", (True, False), "it"),
        ("42 नमस्ते 7", (False, False), "नमस्ते"),
        ("acgt" * 25, (False, False), "acgt" * 5),  # no word ends
        ("123 45", (False, False), ""),
        ("", (True, True), ""),
    ],
)
def test_the_first_word_is_a_run_of_letters_that_is_whole(text: str, borders: tuple[bool, bool], word: str) -> None:
    assert generator._first_word(text, begins=borders[0], ends=borders[1]) == word


def test_a_model_without_letters_begins_with_one_of_its_tokens() -> None:
    digits = "".join(str(k * k) for k in range(300)) + "\n"
    model = fitting.fit(fitting.prepare(Documents.of([digits], running=True), TINY | {"epochs": 1})).predictor
    assert model.random_word(1) in set(digits)


def test_json_has_every_token_with_its_log_probability(finished: run.Finished, command: Any) -> None:
    flags = ("--prompt", "the ", "--length", 12, "--samples", 3, "--seed", 2, "--json")
    code, out, _ = command("generate", finished.folder, *flags)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["sample"] for row in rows] == [0, 1, 2]
    for row in rows:
        assert "".join(token["text"] for token in row["tokens"]) == row["text"] and len(row["tokens"]) == 12
        assert all(token["log_probability"] <= 0 for token in row["tokens"]) and row["finish"] == "length"


def test_tokens_of_a_stopped_sample_spell_its_text(finished: run.Finished, command: Any) -> None:
    flags = ("--prompt", "the cat", "--temperature", 0, "--seed", 1, "--json")
    rows = []
    for stop in (("--stop", "mat"), ("--length", 12)):
        code, out, _ = command("generate", finished.folder, *flags, *stop)
        rows.append(json.loads(out))
        assert code == 0
    stopped, whole = rows
    assert (stopped["text"], stopped["finish"]) == (" sat on the ", "stop")
    assert "".join(token["text"] for token in stopped["tokens"]) == " sat on the "
    assert stopped["tokens"] == whole["tokens"] and whole["finish"] == "length"  # with the same log-probabilities


def test_text_appears_as_it_is_made_and_the_past_is_never_read_again(
    finished: run.Finished, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt is read once; then a token is written, the model takes one step from it, the next is written."""
    happened: list[Any] = []
    read, quick_step, write = GeneratorPredictor.read, GeneratorPredictor.quick_step, command_of_generate._write

    def read_told(self: GeneratorPredictor, ids: Any, state: Any) -> Any:
        happened.append(f"read {ids.shape[1]}")
        return read(self, ids, state)

    def steps_told(self: GeneratorPredictor) -> Any:
        step = quick_step(self)

        def told(tokens: Any, state: Any) -> Any:
            happened.append(f"step {tokens.shape[0]}")
            return step(tokens, state)

        return told

    def write_told(text: str) -> None:
        happened.append(len(text))
        write(text)

    monkeypatch.setattr(GeneratorPredictor, "read", read_told)
    monkeypatch.setattr(GeneratorPredictor, "quick_step", steps_told)
    monkeypatch.setattr(command_of_generate, "_write", write_told)
    code, out, _ = command("generate", finished.folder, "--prompt", "the cat", "--length", 20, "--seed", 1)
    assert code == 0 and len(out) == 7 + 20 + 1
    assert happened == [7, "read 8", 1, *["step 1", 1] * 19, 1]  # 8: the start and the prompt; at last the line's end
    happened.clear()
    code, _, _ = command("generate", finished.folder, "--prompt", "the cat", "--length", 20, "--samples", 3)
    assert code == 0 and happened[: 1 + 19] == ["read 8", *["step 3"] * 19]


@pytest.mark.parametrize("flags", [("--samples", 3), ("--json",), ()])
def test_nothing_is_made_once_every_sample_has_stopped(
    finished: run.Finished, command: Any, monkeypatch: pytest.MonkeyPatch, flags: tuple[Any, ...]
) -> None:
    steps, generate_all = [], GeneratorPredictor.generate

    def counted(self: GeneratorPredictor, *arguments: Any, **named: Any) -> Iterator[Any]:
        for step in generate_all(self, *arguments, **named):
            steps.append(step)
            yield step

    monkeypatch.setattr(GeneratorPredictor, "generate", counted)
    flags = ("--prompt", "the cat", "--stop", "mat", "--temperature", 0, "--seed", 1, "--length", 400, *flags)
    code, out, _ = command("generate", finished.folder, *flags)
    assert code == 0 and out.count(" sat on the ") >= 1
    assert len(steps) == len(" sat on the mat")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--length", 0), "--length is 0: expected 1 or more"),
        (("--samples", 0), "--samples is 0"),
        (("--temperature", -1), "--temperature is -1.0: expected 0"),
        (("--top-p", 0), "--top-p is 0.0"),
        (("--top-k", 0), "--top-k is 0"),
        (("--prompt", "🌩🌩"), "knows nothing of the prompt"),
        (("--prompt", "a", "--random-word"), "give --prompt or --random-word, not both"),
        (
            ("--label", "x"),
            "the model was trained without labels and cannot write by 'x': train it with --label-column",
        ),
        (("--interactive",), "--interactive needs a terminal to ask on: standard input is not a terminal"),
        (("--stop", ""), "--stop is empty"),
    ],
)
def test_wrong_use_is_one_sentence(finished: run.Finished, command: Any, flags: tuple[Any, ...], words: str) -> None:
    code, out, err = command("generate", finished.folder, *flags)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1


def test_json_has_the_novelty_that_is_asked_for(finished: run.Finished, corpus: Path, command: Any) -> None:
    flags = ("--samples", 2, "--length", 40, "--temperature", 2, "--seed", 3, "--json")
    code, out, err = command("generate", finished.folder, *flags, "--novelty", corpus)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(rows) == 2 and "novelty" not in err
    for row in rows:
        text, found = row["text"], row["novelty"]
        seen = [text[k : k + 8] in TEXT for k in range(33)]
        assert found["tokens"] == 40 and found["seen_8grams"] == pytest.approx(sum(seen) / 33)
        assert found["longest_text"] in TEXT and found["longest_text"] in text
        assert len(found["longest_text"]) == found["longest_run"]
        assert not any(text[k : k + found["longest_run"] + 1] in TEXT for k in range(40 - found["longest_run"]))
    plain = [json.loads(line) for line in command("generate", finished.folder, *flags)[1].splitlines()]
    assert [row | {"novelty": None} for row in plain] == [row | {"novelty": None} for row in rows]
    assert "novelty" not in plain[0]


def test_novelty_needs_a_corpus_before_anything_is_written(
    finished: run.Finished, corpus: Path, tmp_path: Path, command: Any
) -> None:
    code, out, err = command("generate", finished.folder, "--length", 20, "--seed", 1, "--novelty", corpus)
    assert code == 0 and len(out) == 21 and "of the 8-grams of 20 tokens stand in the corpus" in err
    (tmp_path / "empty.txt").touch()
    for name, words in (("empty.txt", "holds no text to compare with"), ("none.txt", "does not exist as a file")):
        code, out, err = command("generate", finished.folder, "--seed", 1, "--novelty", tmp_path / name)
        assert (code, out) == (2, "") and words in err and err.count("\n") == 1


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Types into a pseudo-terminal that the command reads."""
    master, slave = os.openpty()
    with os.fdopen(slave, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)

        def type_in(text: str) -> None:
            os.write(master, text.encode())

        yield type_in
    os.close(master)


def test_a_person_chooses_the_tokens(finished: run.Finished, command: Any, terminal: Callable[[str], None]) -> None:
    terminal("\n\nbread\n12\n\n")  # the likeliest, three times; what is no number on the list is asked again
    code, out, err = command("generate", finished.folder, "--interactive", "--prompt", "the cat", "--length", 3)
    likeliest = command("generate", finished.folder, "--prompt", "the cat", "--length", 3, "--temperature", 0)[1]
    assert (code, out) == (0, likeliest)
    assert "'bread' is none of the numbers offered" in err and "'12' is none of the numbers offered" in err
    assert err.count("1 to 9, enter for the first, q to end: ") == 5 and "seed" not in err
    terminal("2\nq\n")
    code, out, err = command("generate", finished.folder, "--interactive", "--prompt", "the cat")
    offered = [line.split()[2] for line in err.splitlines() if line.startswith("  2 ") and len(line.split()) == 3]
    assert code == 0 and out[:7] == "the cat" and len(out) == 9 and out[:-1] != likeliest[:8]
    assert not offered or out[7] == offered[0]


def test_what_a_person_chooses_is_not_sampled(
    finished: run.Finished, command: Any, terminal: Callable[[str], None]
) -> None:
    for flags in (("--top-k", 3), ("--temperature", 0.5), ("--samples", 2), ("--json",), ("--stop", "x")):
        code, out, err = command("generate", finished.folder, "--interactive", *flags)
        assert (code, out) == (2, "") and "--interactive asks for each token: it goes without" in err


def test_predict_and_evaluate_of_a_generator(finished: run.Finished, corpus: Path, command: Any) -> None:
    code, out, _ = command("predict", finished.folder, "the cat", "")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 2 and lines[1].startswith("-")
    mean, pairs = lines[0].split("\t")
    nats = [float(pair.rpartition(":")[2]) for pair in pairs.replace(" :", "_:").split(" ")]
    assert float(mean) == pytest.approx(np.mean(nats), abs=0.01) and len(nats) == 7
    code, out, _ = command("evaluate", finished.folder, corpus, "--json")
    figures = json.loads(out)
    assert code == 0 and set(figures) == {"nats_per_token", "bits_per_byte", "perplexity", "tokens", "unknown_rate"}
    assert figures["tokens"] == len(TEXT)
    assert command("evaluate", finished.folder, corpus)[1].startswith("nats per token")


def test_another_kind_of_model_cannot_generate(tmp_path: Path, command: Any) -> None:
    folder = Path(__file__).parents[2] / "models" / "format1" / "gru"
    code, _, err = command("generate", folder)
    assert code == 2 and "is a model of the task 'classify': it cannot generate" in err


def test_a_weight_that_spoils_every_answer_is_told(finished: run.Finished) -> None:
    model = predictors.load(finished.folder)
    assert isinstance(model, GeneratorPredictor)
    with torch.no_grad():
        model.network.output.weight.fill_(3e38)
    with pytest.raises(UsageError, match="are not numbers"):
        list(model.generate(model.prompt_ids("the ")[0], Sampling(), 5))


def test_tokens_hold_what_was_encoded(corpus: Path) -> None:
    prepared = fitting.prepare(Documents.of([TEXT], running=True), TINY)
    assert isinstance(prepared.held, Tokens)
    ids = prepared.held.block(np.zeros(1, np.int64), len(prepared.held))[0]
    assert prepared.encoder.tokenizer.decode(ids[1:]) == TEXT[: len(ids) - 1]


def test_the_recipe_follows_the_level_and_the_minutes_but_not_against_what_was_given() -> None:
    def recipe(level: str, **given: Any) -> Settings:
        given = {"task": "generate", "level": level, **given}
        return for_level(settle(given), given)

    assert (recipe("char").hidden, recipe("char", minutes=3).hidden) == (512, 320)
    assert recipe("char", minutes=3, hidden=300).hidden == 300
    assert (recipe("word").tied, recipe("bpe").chunk) == (True, 35)
    assert not recipe("word", adaptive=True).tied
    assert recipe("word", minutes=3, dropout=0.2).dropout == 0.2


def test_what_the_recipe_changes_is_said() -> None:
    notices: list[str] = []
    corpus = Documents.of(["to be or not to be, that is the question\n" * 400], running=True)
    fitting.prepare(corpus, {"level": "word"}, notice=notices.append)
    assert any(line.startswith("recipe     for words: --embedding 256") and "--tied" in line for line in notices)


def test_a_column_of_labels_that_is_not_read_is_told_with_its_flag(tmp_path: Path) -> None:
    table, lines = tmp_path / "ab.csv", tmp_path / "ab.jsonl"
    rows = [(f"the {word} sat {k}", word) for k in range(40) for word in ("cat", "dog")]
    table.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    lines.write_text("".join(json.dumps({"text": text, "my kind": label}) + "\n" for text, label in rows))
    first = generate.read(Request(table, TINY)).notes[0]
    assert first.endswith("columns: text 'text'; not read: 'label' (--label-column label: write by label)")
    assert "(--label-column 'my kind': write by label)" in generate.read(Request(lines, TINY)).notes[0]
    assert "write by label" not in generate.read(Request(table, TINY, unlabelled=True)).notes[0]
    assert "write by label" not in generate.read(Request(table, TINY, ReadOptions(label_column="label"))).notes[0]
    plain = tmp_path / "plain.csv"
    plain.write_text("text,id\n" + "".join(f"{text},{number}\n" for number, (text, _) in enumerate(rows)))
    assert "write by label" not in generate.read(Request(plain, TINY)).notes[0]


def test_the_files_of_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("SOURCE.md", "README.md", "texts/input.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("the cat sat\n")
        last = generate.read(Request(tmp_path, TINY)).notes[0]
    assert last == "format: running text, 3 files: README.md, SOURCE.md, texts/input.txt"
    (tmp_path / "texts" / "b.txt").write_text("x")
    (tmp_path / "texts" / "c.txt").write_text("x")
    assert generate.read(Request(tmp_path, TINY)).notes[0].endswith("README.md, SOURCE.md, texts/b.txt and 2 more")


def test_a_folder_of_running_text_without_a_task_says_which_to_give(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "input.txt").write_text(TEXT)
    code, _, told = command("train", tmp_path / "texts", "--out", tmp_path / "run")
    assert code == 2 and "task       classify: a folder, each file or sub-folder in it a label" in told
    assert "texts has texts of only one label, 'input'" in told and "give --task generate" in told
    assert "column" not in told


def test_one_pass_and_one_baseline_are_told_once(corpus: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    flags = ("--hidden", 8, "--embedding", 8, "--chunk", 16, "--batch-size", 64, "--epochs", 1)
    code, out, err = command("train", corpus, "--task", "generate", "--out", corpus.parent / "one", *flags)
    assert code == 0 and (out + err).count("baseline   ") == 1 and "baseline   6-gram" in out
    assert "at most 1 pass\n" in err and "trained    1 epoch, " in out
