"""A language model's whole life: train, stop, resume, save, load, write, score; and what is refused."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unspool import predictors
from unspool.cli import run as command_line
from unspool.config import Settings
from unspool.decoding.sampling import Sampling
from unspool.errors import DataError, Interrupted, SettingError, UsageError
from unspool.models.recipes import for_level, settle
from unspool.predictors import GeneratorPredictor
from unspool.tasks import Request, find_task, generate, run
from unspool.tasks.generate import fitting, sampler
from unspool.text import ngrams
from unspool.text.readers import Documents, ReadOptions
from unspool.text.spelling import Speller
from unspool.text.streams import Encoder, Tokens
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
    model = finished.outcome.predictor
    ids, _ = model.prompt_ids("the ")
    made = [token for (token,) in model.generate(ids, Sampling(seed=2), 30)]
    (surprise,) = model.surprises(["the " + "".join(token.text for token in made)])
    assert surprise.nats[4:] == pytest.approx([-token.log_probability for token in made], abs=1e-4)
    assert surprise.tokens[:4] == list("the ")


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


def test_a_short_corpus_has_fewer_streams() -> None:
    notes: list[str] = []
    prepared = fitting.prepare(Documents.of(["abc" * 50], running=True), TINY, notice=notes.append)
    assert prepared.settings.batch_size == 8 and not any("the text is short" in note for note in notes)
    prepared = fitting.prepare(Documents.of(["abc" * 20], running=True), TINY, notice=notes.append)
    assert prepared.settings.batch_size == 3 and any("3 instead of 8: the text is short" in note for note in notes)


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
    assert code == 0 and len(out) == 7
    code, out, _ = command("generate", finished.folder, "--prompt", "the cat", "--stop", "mat", "--temperature", 0)
    assert (code, out) == (0, "the cat sat on the \n")
    for flags, told in (((), False), (("--random-word",), True)):
        code, _, err = command("generate", finished.folder, "--length", 2, "--temperature", 0, *flags)
        assert code == 0 and ("seed       " in err) is told  # of the likeliest tokens nothing is drawn


def test_json_has_every_token_with_its_log_probability(finished: run.Finished, command: Any) -> None:
    flags = ("--prompt", "the ", "--length", 12, "--samples", 3, "--seed", 2, "--json")
    code, out, _ = command("generate", finished.folder, *flags)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["sample"] for row in rows] == [0, 1, 2]
    for row in rows:
        assert "".join(token["text"] for token in row["tokens"]) == row["text"] and len(row["tokens"]) == 12
        assert all(token["log_probability"] <= 0 for token in row["tokens"]) and row["finish"] == "length"


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

    assert (recipe("char").hidden, recipe("char", minutes=3).hidden) == (512, 256)
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
