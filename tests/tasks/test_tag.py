"""The whole life of a tagger: from a file to a model folder, its figures and its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unspool import SequenceTagger, predictors
from unspool.errors import DataError, ModelFileError, SettingError, UsageError
from unspool.predictors import TaggerPredictor
from unspool.tasks import Request, run
from unspool.tasks.tag import answer, answer_line, evaluate
from unspool.tasks.tag.fitting import Sentences, prepare
from unspool.text.readers import ReadOptions
from unspool.text.spans import convert

CITIES = (("Oslo",), ("Rome",), ("New", "York"), ("Los", "Angeles"))
TINY: dict[str, Any] = {
    "hidden": 16, "embedding": 12, "character_hidden": 6, "character_embedding": 6, "learning_rate": 0.02,
    "batch_size": 8, "epochs": 8, "min_count": 1, "word_dropout": 0.0,
}  # fmt: skip


def sentences(count: int = 60, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Flights from a city to another, their names as spans."""
    generator = np.random.default_rng(seed)
    tokens, tags = [], []
    for row in range(count):
        words, marks = ["fly", str(row)], ["O", "O"]
        for side in ("from", "to"):
            city = CITIES[generator.integers(len(CITIES))]
            words += [side, *city]
            marks += ["O", f"B-{side}", *[f"I-{side}"] * (len(city) - 1)]
        tokens.append(words)
        tags.append(marks)
    return tokens, tags


def write(path: Path, tokens: list[list[str]], tags: list[list[str]]) -> Path:
    rows = ("".join(f"{a} {b}\n" for a, b in zip(*pair, strict=True)) for pair in zip(tokens, tags, strict=True))
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TaggerPredictor, Path, list[str]]:
    """A tagger loaded from its folder, the file it was trained on, and what was told."""
    folder, told = tmp_path_factory.mktemp("tag"), list[str]()
    data = write(folder / "flights.txt", *sentences())
    finished = run.start(Request(data, {**TINY, "scheme": "bioes"}), folder / "run", notice=told.append)
    loaded = predictors.load(finished.model)
    assert isinstance(loaded, TaggerPredictor)
    return loaded, data, told


def test_the_task_is_seen_learned_and_told(trained: tuple[TaggerPredictor, Path, list[str]]) -> None:
    predictor, data, told = trained
    assert any(line.startswith("task       tag: one tag for each token") for line in told)
    assert any(line == "spans      written in BIO, learned as BIOES (--scheme); output crf (--output)" for line in told)
    assert predictor.card["validation"]["span_f1"] > 0.9
    found = evaluate(predictor, [data], ReadOptions(), told.append)
    assert found["span_f1"] > 0.9
    assert set(found["per_type"]) == {"from", "to"}
    assert 0 < found["seen_in_training"] < 60
    assert found["unseen_tags"] == {} and found["broken"] == 0


def test_answers_are_in_the_datas_scheme_with_their_spans(trained: tuple[TaggerPredictor, Path, list[str]]) -> None:
    predictor, _, _ = trained
    answers = list(answer(predictor, ["fly 3 from New York to Oslo", "", "to"]))
    assert answers[0]["tags"] == ["O", "O", "O", "B-from", "I-from", "O", "B-to"]
    assert answers[0]["spans"][0] == {"type": "from", "start": 3, "end": 5, "text": "New York"}
    assert answers[1]["tokens"] == answers[1]["tags"] == answers[1]["spans"] == []
    assert all(0 <= share <= 1 for share in answers[0]["probabilities"])
    assert answer_line(answers[0]).startswith("fly/O 3/O from/O New/B-from York/I-from")


def test_a_sentence_alone_is_the_sentence_in_a_batch(trained: tuple[TaggerPredictor, Path, list[str]]) -> None:
    predictor, _, _ = trained
    tokens, _ = sentences(20, seed=5)
    together = list(predictor.tag_with_confidence(tokens))
    for sentence, (tags, shares) in zip(tokens, together, strict=True):
        alone_tags, alone_shares = next(iter(predictor.tag_with_confidence([sentence])))
        assert tags == alone_tags
        np.testing.assert_allclose(shares, alone_shares, atol=1e-6)


def test_a_long_sentence_is_answered_whole(trained: tuple[TaggerPredictor, Path, list[str]]) -> None:
    predictor, _, _ = trained
    tokens = ["from", "Oslo"] * 1500
    assert len(predictor.tag([tokens])[0]) == 3000


def test_unknown_tags_are_counted_as_wrong(trained: tuple[TaggerPredictor, Path, list[str]], tmp_path: Path) -> None:
    predictor, _, _ = trained
    path = write(tmp_path / "other.conll", [["Oslo", "Rome"]], [["B-hotel", "I-from"]])
    found = evaluate(predictor, [path], ReadOptions(), lambda _: None)
    assert found["unseen_tags"] == {"B-hotel": 1}
    assert found["broken"] == 1
    assert found["per_type"]["hotel"]["recall"] == 0.0


def test_spans_in_the_other_scheme_are_measured_in_the_models(
    trained: tuple[TaggerPredictor, Path, list[str]], tmp_path: Path
) -> None:
    predictor, data, told = trained
    tokens, tags = sentences()
    path = write(tmp_path / "bioes.conll", tokens, [convert(row, "bioes") for row in tags])
    assert evaluate(predictor, [path], ReadOptions(), told.append) == evaluate(
        predictor, [data], ReadOptions(), told.append
    )
    assert "spans      written in BIOES, measured in the model's BIO" in told
    other = Sentences(tokens[:5], [convert(row, "bioes") for row in tags[:5]])
    prepared = prepare(Sentences(tokens, tags), {"task": "tag", **TINY}, validation=other, notice=told.append)
    assert list(prepared.validation.tags) == tags[:5]


def test_a_file_of_which_no_tag_is_known_is_refused(
    trained: tuple[TaggerPredictor, Path, list[str]], tmp_path: Path
) -> None:
    path = write(tmp_path / "pos.conll", [["Oslo", "Rome"]], [["NNP", "NNP"]])
    with pytest.raises(DataError, match=r"knows none of its tags, NNP; it answers .*--label-column"):
        evaluate(trained[0], [path], ReadOptions(), lambda _: None)


def test_broken_sequences_cut_sentences_and_new_tags_are_told() -> None:
    tokens, tags = sentences(40)
    tags[3] = ["I-from", *tags[3][1:]]
    told: list[str] = []
    other = Sentences([["Oslo"]], [["B-hotel"]])
    given = {"task": "tag", **TINY, "max_length": 3}
    prepared = prepare(Sentences(tokens, tags), given, validation=other, notice=told.append)
    assert any(
        "1 sentences break the rules of BIO and are mended, the first is sentence 4 at its token 1" in a for a in told
    )
    assert any("1 tokens have tags never seen in training and count as wrong: B-hotel" in line for line in told)
    assert "long       40 sentences to learn have more than 3 tokens (--max-length): cut" in told
    assert prepared.data.train.rows.lengths.max() == 3
    assert prepared.data.train.rows.ids.size == sum(map(len, tokens))


def test_bilou_is_told_to_be_no_spans() -> None:
    tokens, tags = sentences(40)
    told: list[str] = []
    bilou = [[mark.replace("S-", "U-").replace("E-", "L-") for mark in convert(row, "bioes")] for row in tags]
    assert prepare(Sentences(tokens, bilou), {"task": "tag", **TINY}, notice=told.append).scheme is None
    assert any("written as S- and E- (BIOES) they would make spans" in line for line in told)


def test_what_only_the_validation_part_holds_is_in_no_vocabulary() -> None:
    tokens, tags = sentences(40)
    other = Sentences([["secret", "§"]], [["O", "O"]])
    prepared = prepare(Sentences(tokens, tags), {"task": "tag", **TINY}, validation=other)
    assert "secret" not in prepared.encoder.words.ids
    assert prepared.encoder.characters is not None
    assert "§" not in prepared.encoder.characters.vocabulary.tokens


def test_settings_that_do_not_fit_are_refused() -> None:
    plain = Sentences([["a", "b"]] * 4, [["N", "V"]] * 4)
    with pytest.raises(SettingError, match="--scheme has no effect: the tags are not of spans"):
        prepare(plain, {"task": "tag", "scheme": "bio"})
    with pytest.raises(SettingError, match="--pooling has no effect on the task 'tag'"):
        prepare(plain, {"task": "tag", "pooling": "max"})
    with pytest.raises(SettingError, match="the model 'cnn' does not learn the task 'tag'"):
        prepare(plain, {"task": "tag", "model": "cnn"})
    with pytest.raises(DataError, match="1 different tags, expected 2 to 2,000"):
        prepare(Sentences([["a"], ["b"], ["c"]], [["N"]] * 3), {"task": "tag"})


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "dilated-cnn", "filters": 16, "layers": 2, "output": "softmax"},
        {"model": "gru", "characters": "lstm"},
        {"characters": "none", "average": 0.9},
    ],
)
def test_the_estimator_learns_saves_and_loads(changed: dict[str, Any], tmp_path: Path) -> None:
    tokens, tags = sentences(60)
    given = {**TINY, **changed}
    for name in ("character_hidden", "character_embedding") if changed.get("characters") == "none" else ():
        del given[name]
    if changed.get("model") == "dilated-cnn":
        del given["hidden"]
    tagger = SequenceTagger(**given).fit(tokens, tags)
    assert tagger.score(tokens, tags) > 0.5
    tagger.save(tmp_path / "model")
    again = SequenceTagger.load(tmp_path / "model")
    assert again.predict(tokens) == tagger.predict(tokens)
    assert again.get_params()["model"] == changed.get("model", "lstm")
    with pytest.raises(UsageError, match=r"exists and .* save to another path, or remove it first with shutil\.rmtree"):
        tagger.save(tmp_path / "model")
    for X, y, words in (([], [], "nothing to score"), (tokens, tags[1:], "as many lists"), ([["a"]], [[]], "as many")):
        with pytest.raises(DataError, match=words):
            tagger.score(X, y)


def test_the_estimator_tells_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="y must hold as many lists as X"):
        SequenceTagger().fit([["a", "b"]], [["N"]])
    with pytest.raises(DataError, match="X must hold lists of strings, none of them empty; item 0"):
        SequenceTagger().fit(["a b"], [["N"]])  # type: ignore[list-item]
    with pytest.raises(DataError, match="X must hold lists of strings, none of them empty; item 0"):
        SequenceTagger().fit([None], [["N"]])  # type: ignore[list-item]
    with pytest.raises(DataError, match="X must be a list of sentences"):
        SequenceTagger().fit(None, [["N"]])  # type: ignore[arg-type]
    with pytest.raises(ModelFileError, match="there is no model at"):
        SequenceTagger.load(tmp_path / "nothing")


def test_given_vectors_are_scaled_to_the_spread_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("oslo 3.0 -1.0\nfly 0.5 2.5\nunseen 4.0 4.0\n")
    tokens, tags = sentences(40)
    given = {"task": "tag", **TINY, "embedding": 5}
    prepared = prepare(Sentences(tokens, tags), given, vectors=path)
    ids, rows = prepared.encoder.words.ids, prepared.vectors
    assert rows is not None and rows.shape == (prepared.encoder.words.size, 5) and "unseen" in ids
    given_rows = np.array([[3.0, -1.0], [0.5, 2.5], [4.0, 4.0]])
    scaled = given_rows * (0.25 / 3**0.5 / given_rows.std())
    np.testing.assert_allclose(rows[[ids["oslo"], ids["fly"], ids["unseen"]], :2], scaled, rtol=1e-6)
    assert not rows[ids["unseen"], 2:].any() and rows[ids["fly"], 2:].all()  # training moves the latter alone
    assert (
        prepare(Sentences(tokens, tags), {"task": "tag", **TINY} | {"embedding": 2}, vectors=path).vectors is not None
    )
    with pytest.raises(SettingError, match="--embedding is 1 but the vectors have 2 columns"):
        prepare(Sentences(tokens, tags), {**given, "embedding": 1}, vectors=path)
