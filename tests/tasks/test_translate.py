"""From pairs to a translator on disk and back: training, figures, commands, the estimator."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unspool import files, predictors
from unspool.cli import run as command
from unspool.decoding.beam import BeamOptions
from unspool.errors import DataError, ModelFileError, SettingError, UsageError
from unspool.predictors.translator import TranslatorPredictor, encode
from unspool.tasks import Request, find_task, run, translate
from unspool.tasks.translate.evaluation import measure
from unspool.text.readers import ReadOptions
from unspool.text.tokenizers import train_tokenizer

ENGLISH, GERMAN = "a the red big dog cat sees likes", "ein der rot gross hund katze sieht mag"
WORDS = dict(zip(ENGLISH.split(), GERMAN.split(), strict=True))
TINY: dict[str, Any] = {
    "task": "translate",
    "level": "word",
    "hidden": 24,
    "embedding": 24,
    "batch_size": 16,
    "epochs": 14,
    "learning_rate": 0.02,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "label_smoothing": 0.0,
    "patience": 14,
}


def sentences(count: int = 200, seed: int = 0) -> list[tuple[str, str]]:
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = generator.choice(list(WORDS), size=generator.integers(1, 5)).tolist()
        rows.append((" ".join(words), " ".join(WORDS[word] for word in words)))
    return rows


def write(folder: Path, name: str, rows: list[tuple[str, str]]) -> list[Path]:
    paths = [folder / f"{name}.en", folder / f"{name}.de"]
    for side, path in enumerate(paths):
        path.write_text("".join(row[side] + "\n" for row in rows), encoding="utf-8")
    return paths


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path], list[str]]:
    """A run on made-up sentences, its files, and what it said."""
    folder, told = tmp_path_factory.mktemp("mt"), list[str]()
    paths = write(folder, "train", [*sentences(260), ("", "nichts"), ("dog", "dog")])
    run.start(Request(paths[0], TINY, more=(paths[1],)), folder / "run", notice=told.append)
    return folder / "run", paths, told


def load(folder: Path) -> TranslatorPredictor:
    loaded = predictors.load(folder)
    assert isinstance(loaded, TranslatorPredictor)
    return loaded


def test_it_learns_word_for_word_and_says_what_it_found(trained: tuple[Path, list[Path], list[str]]) -> None:
    folder, paths, told = trained
    figures = load(folder).card["validation"]
    assert figures["token_accuracy"] > 0.7  # by guessing .3
    assert "tok:13a" in figures["signature"] and figures["beams"] == 5
    said = "\n".join(told)
    for words in ("left out: 1 pair with an empty side", "copies", "same       1 pairs", "split", "attention general"):
        assert words in said
    assert find_task(paths, ReadOptions()) == ("translate", "two files with one sentence a line")


def test_the_model_on_disk_gives_the_same_answers(trained: tuple[Path, list[Path], list[str]], tmp_path: Path) -> None:
    loaded = load(trained[0])
    predictors.save(loaded, tmp_path / "copy", "x")
    texts = ["the red dog sees a cat", "", "  ", "likes"]
    answers, again = loaded.translate(texts), load(tmp_path / "copy").translate(texts)
    assert [found[0].text for found in answers] == [found[0].text for found in again]
    assert answers[1][0].text == answers[2][0].text == ""
    assert [found[0].score for found in answers] == [found[0].score for found in again]


def test_a_text_alone_gets_what_it_gets_among_others(trained: tuple[Path, list[Path], list[str]]) -> None:
    loaded, texts = load(trained[0]), [source for source, _ in sentences(40, seed=5)]
    for options in (BeamOptions(1), BeamOptions(4, 2, 0.8, 0.1, 3)):
        together = loaded.translate(texts, options)
        for text, found in list(zip(texts, together, strict=True))[:6]:
            (alone,) = loaded.translate([text], options)
            assert [one.text for one in alone] == [one.text for one in found]
            np.testing.assert_allclose([one.score for one in alone], [one.score for one in found], atol=1e-5)


def test_attention_and_unknown_words(trained: tuple[Path, list[Path], list[str]]) -> None:
    loaded = load(trained[0])
    ((found,),) = loaded.translate(["the Zorro sees a dog"])
    assert found.attention is not None
    assert found.attention.shape == (len(found.tokens), 5)
    assert all(0 <= source < 5 for source, _ in found.alignment())
    assert found.source == ("the", "Zorro", "sees", "a", "dog")
    (long,) = loaded.translate(["dog " * 100_000], BeamOptions(1))
    assert len(long[0].source) == loaded.settings.max_length


def test_unknown_target_words_become_source_words_or_the_dictionarys(
    trained: tuple[Path, list[Path], list[str]],
) -> None:
    loaded = load(trained[0])
    with torch.no_grad():
        loaded.network.output_bias[1] += 1e4  # it now says the unknown word, always
    ((found,),) = loaded.translate(["Dog"], BeamOptions(1))
    assert set(found.text.split()) == {"Dog"}
    ((found,),) = loaded.translate(["Dog"], BeamOptions(1), {"dog": "Hund"})
    assert set(found.text.split()) == {"Hund"}


def test_figures_are_those_of_sacrebleu_and_of_counting(trained: tuple[Path, list[Path], list[str]]) -> None:
    import sacrebleu

    loaded, rows = load(trained[0]), sentences(30, seed=9)
    sources, targets = [source for source, _ in rows], [target for _, target in rows]
    figures = measure(loaded, sources, targets, BeamOptions(1))
    answers = [found[0].text for found in loaded.translate(sources, BeamOptions(1))]
    assert figures["bleu"] == sacrebleu.corpus_bleu(answers, [targets], lowercase=True).score
    assert figures["chrf"] == sacrebleu.metrics.CHRF(lowercase=True).corpus_score(answers, [targets]).score
    assert figures["examples"] == 30
    right = total = 0
    with torch.inference_mode():
        for source, target in rows:
            ids = encode(loaded.source_tokenizer, [source])[0]
            step, state = loaded.network.start(torch.from_numpy(ids[None].astype(np.int64)), torch.tensor([len(ids)]))
            token = loaded.network.boundary
            for true in encode(loaded.target_tokenizer, [target])[0].tolist():
                log_probabilities, state = step(torch.tensor([token]), state)
                right, total, token = right + (int(log_probabilities.argmax()) == true), total + 1, true
    assert figures["token_accuracy"] == right / total


def test_separate_vocabularies_go_to_files_of_their_own(tmp_path: Path) -> None:
    paths = write(tmp_path, "t", sentences(60))
    given = {**TINY, "joint": False, "epochs": 1}
    done = run.start(Request(paths[0], given, more=(paths[1],)), tmp_path / "run")
    loaded = load(done.folder)
    assert (done.model / "source-vocabulary.json").exists()
    assert loaded.source_tokenizer.token(2) in WORDS and loaded.target_tokenizer.token(2) in WORDS.values()
    (done.model / "source-vocabulary.json").write_bytes(b"{}")
    with pytest.raises(ModelFileError, match=r"source-vocabulary\.json"):
        load(done.folder)


def test_validation_files_are_found_beside_each_other(tmp_path: Path) -> None:
    train, val = write(tmp_path, "train", sentences(60)), write(tmp_path, "val", sentences(20, seed=3))
    request = Request(train[0], {**TINY, "epochs": 1}, validation=val[0], more=(train[1],))
    data = translate.read(request)
    assert data.validation is not None and len(data.validation) == 20
    told: list[str] = []
    prepared = translate.prepare(data, request, told.append)
    assert len(prepared.train) == 60
    packed = val[1].with_name(val[1].name + ".gz")
    packed.write_bytes(gzip.compress(val[1].read_bytes()))
    val[1].unlink()
    data = translate.read(request)
    assert data.validation is not None and len(data.validation) == 20
    packed.unlink()
    with pytest.raises(UsageError, match="no target file was found beside"):
        translate.read(request)
    with pytest.raises(UsageError, match="--vectors has no effect"):
        translate.read(Request(train[0], {}, vectors=train[0], more=(train[1],)))
    table = tmp_path / "val.tsv.gz"
    table.write_bytes(gzip.compress(b"the dog\tder hund\n"))
    data = translate.read(Request(train[0], {}, validation=table, more=(train[1],)))
    assert data.validation is not None and data.validation.sources == ["the dog"]


def test_long_pairs_are_left_out_and_told(tmp_path: Path) -> None:
    paths = write(tmp_path, "t", [*sentences(60), ("dog " * 2000, "hund")])
    request = Request(paths[0], {**TINY, "max_length": 20}, more=(paths[1],))
    told: list[str] = []
    prepared = translate.prepare(translate.read(request), request, told.append)
    assert any("1 training pairs have more than 20 tokens (--max-length): left out" in line for line in told)
    assert int(prepared.data.train.source.lengths.max()) <= 21
    too_short = Request(paths[0], {**TINY, "level": "char", "max_length": 1}, more=(paths[1],))
    with pytest.raises(DataError, match="raise --max-length"):
        translate.prepare(translate.read(too_short), too_short, told.append)


@pytest.mark.parametrize("level", ["bpe", "char", "byte", "word"])
def test_ids_end_with_the_boundary_and_decode_to_the_text(level: str) -> None:
    texts = ["ein Hund, zwei Katzen.", "zwei Hunde", ""]
    tokenizer = train_tokenizer(level, [" " + text for text in texts], min_count=None if level == "byte" else 1)
    found = encode(tokenizer, texts)
    for row, text in zip(found, texts, strict=True):
        assert row[-1] == tokenizer.size and (row[:-1] < tokenizer.size).all()
        if level != "word":
            assert tokenizer.decode(row[:-1]).strip() == text


def test_the_commands(trained: tuple[Path, list[Path], list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    folder, paths, _ = trained

    def call(*arguments: object) -> tuple[int, list[str], str]:
        code = command([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out.split("\n")[:-1], err

    loaded = load(folder)
    best = loaded.translate(["the dog", "a cat"], BeamOptions(2, 2))
    code, lines, _ = call("translate", folder, "the dog", "", "a cat")
    assert (code, len(lines), lines[1]) == (0, 3, "")
    code, lines, _ = call("translate", folder, "the dog", "a cat", "--beam", 2, "--n-best", 2, "--alignments")
    assert [line.split("\t")[:3] for line in lines] == [
        [str(n), f"{one.score:.4f}", one.text] for n, found in enumerate(best, start=1) for one in found
    ]
    assert lines[0].split("\t")[3].startswith("0-0") or "-0" in lines[0].split("\t")[3]
    answer = json.loads(call("translate", folder, "the dog", "--json")[1][0])
    assert set(answer) == {"number", "text", "score", "log_probability", "source_tokens", "tokens", "attention"}
    code, lines, err = call("translate", folder, "dog " * 100_000, "a cat", "--beam", 1)
    assert (code, len(lines)) == (0, 2) and "cut        1 of 2 texts are longer than 100 tokens" in err
    assert call("predict", folder, "the dog")[1] == [best[0][0].text]
    figures = json.loads(call("evaluate", folder, *paths, "--json")[1][0])
    assert {"bleu", "chrf", "signature", "token_accuracy", "examples"} <= set(figures)
    long = paths[0].parent / "long.tsv"
    long.write_text("source\ttarget\n" + "dog " * 200 + "\thund\ncat\tkatze\n")
    assert "cut        1 of 2 sources are longer than 100 tokens" in call("evaluate", folder, long)[2]
    code, lines, err = call("translate", folder, "--input", long, "--beam", 1)
    assert (code, len(lines), "columns: text 'source'" in err) == (0, 2, True)
    code, _, err = call("translate", folder, "x", "--beam", 2, "--n-best", 3)
    assert (code, "n-best is 3" in err) == (2, True)
    assert "no effect" not in err and call("translate", folder, "x", "--beam", 0)[0] == 2


def test_flags_that_need_attention_are_refused_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write(tmp_path, "n", sentences(60))
    given = {**TINY, "attention": "none", "epochs": 1}
    model = run.start(Request(paths[0], given, more=(paths[1],)), tmp_path / "run").model
    assert command(["translate", str(model), "the dog", "--alignments"]) == 2
    assert "the model has no attention: --alignments has no effect, leave it out" in capsys.readouterr().err


def test_a_classifier_does_not_translate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from unspool import SequenceClassifier

    settings: dict[str, Any] = {"model": "gru", "hidden": 4, "embedding": 4, "level": "word", "epochs": 1}
    SequenceClassifier(**settings).fit(
        [f"{word} film {n}" for n in range(20) for word in ("good", "bad")], ["g", "b"] * 20
    ).save(tmp_path / "m")
    assert command(["translate", str(tmp_path / "m"), "x"]) == 2
    assert "use unspool predict" in capsys.readouterr().err


def test_each_side_has_its_level(tmp_path: Path) -> None:
    paths = write(tmp_path, "t", sentences(80))
    given = {**TINY, "level": "char", "target_level": "token", "epochs": 1}
    done = run.start(Request(paths[0], given, more=(paths[1],)), tmp_path / "run")
    loaded = load(done.folder)
    assert (loaded.source_tokenizer.level, loaded.target_tokenizer.level) == ("char", "token")
    assert loaded.settings.joint is False and not loaded.replaces_unknown
    ((found,),) = loaded.translate(["the dog"], BeamOptions(1))
    assert found.source == tuple("the dog") and found.text == " ".join(found.tokens)
    with pytest.raises(SettingError, match="--joint means one vocabulary for both sides"):
        run.start(Request(paths[0], {**given, "joint": True}, more=(paths[1],)), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    config = json.loads((done.model / "config.json").read_text())
    config["settings"]["target_level"] = "word"
    files.publish(done.model / "config.json", files.to_json(config))
    with pytest.raises(ModelFileError, match=r"config\.json"):
        load(done.folder)


def test_unknown_words_of_a_token_model_are_replaced(tmp_path: Path) -> None:
    paths = write(tmp_path, "t", sentences(60))
    done = run.start(Request(paths[0], {**TINY, "level": "token", "epochs": 1}, more=(paths[1],)), tmp_path / "run")
    loaded = load(done.folder)
    with torch.no_grad():
        loaded.network.output_bias[1] += 1e4
    ((found,),) = loaded.translate(["Zorro,"], BeamOptions(1))
    assert set(found.text.split(" ")) == {"Zorro,"}


def test_a_table_of_pairs_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("source\ttarget\n" + "".join(f"{left}\t{right}\n" for left, right in sentences(20)))
    assert find_task([path], ReadOptions()) == ("translate", "pairs of texts")
