"""What is decided about the texts before the first step, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unspool.errors import DataError, SettingError, TrainingError
from unspool.tasks import Request, run
from unspool.tasks.classify import fitting

TEXTS = [f"{'fine' if n % 2 else 'dull'} film number {n}" for n in range(40)]
LABELS = ["pos" if n % 2 else "neg" for n in range(40)]
GIVEN: dict[str, Any] = {"model": "gru", "hidden": 4, "embedding": 4, "level": "word", "min_count": 1}


def prepared(texts: list[str], labels: list[str], **more: Any) -> tuple[fitting.Prepared, list[str]]:
    told: list[str] = []
    named = {name: more.pop(name) for name in ("names", "validation", "vectors") if name in more}
    return fitting.prepare(texts, labels, {**GIVEN, **more}, notice=told.append, **named), told


def starting(told: list[str], word: str) -> str:
    found = [line for line in told if line.split()[0] == word]
    assert len(found) == 1, told
    return found[0]


def test_labels_are_counted_most_frequent_first_and_sorted_as_columns() -> None:
    found, told = prepared([*TEXTS, "more"], [*LABELS, "neg"])
    assert starting(told, "labels") == "labels     2: neg 21, pos 20"
    assert found.labels == ["neg", "pos"]


def test_many_labels_are_cut_and_strange_ones_are_harmless() -> None:
    labels = [f"label {n % 10}\x1b[31m" for n in range(40)]
    _, told = prepared(TEXTS, labels)
    line = starting(told, "labels")
    assert line.startswith("labels     10: ")
    assert line.endswith(", …")
    assert "\x1b" not in line


def test_labels_stay_what_they_are() -> None:
    labels = (["01", "1", "nan", "NA", "None", "true"] * 7)[:40]
    assert prepared(TEXTS, labels)[0].labels == sorted(set(labels))


def test_copies_and_conflicts_are_told() -> None:
    _, told = prepared([*TEXTS, TEXTS[0], TEXTS[1]], [*LABELS, LABELS[0], LABELS[0]])
    assert starting(told, "copies") == "copies     2 texts (4.8%) stand more than once"
    assert "different labels" in starting(told, "conflicts")


def test_empty_texts_are_neither_copies_nor_conflicts() -> None:
    _, told = prepared([*TEXTS, "", " ", ""], [*LABELS, "pos", "neg", "neg"])
    assert not [line for line in told if line.split()[0] in ("copies", "conflicts")]


def test_nothing_is_said_about_what_is_not_there() -> None:
    _, told = prepared(TEXTS, LABELS)
    assert {line.split()[0] for line in told} == {"labels", "split", "tokens", "batches"}


def test_copies_stay_on_one_side_of_the_split() -> None:
    texts = [text for text in TEXTS for _ in range(3)]
    found, _ = prepared(texts, [label for label in LABELS for _ in range(3)])
    assert not set(found.train.texts) & set(found.validation.texts)
    assert sorted(found.train.texts + found.validation.texts) == sorted(texts)


@pytest.mark.parametrize(
    ("rows", "words"),
    [(1, "1 label without a validation text: rare 0"), (2, "2 labels without a validation text")],
)
def test_a_label_with_one_text_is_trained_on_and_told_to_be_unmeasured(rows: int, words: str) -> None:
    rare = [f"rare {n}" for n in range(rows)]
    found, told = prepared([*TEXTS, *rare], [*LABELS, *rare])
    assert words in starting(told, "unmeasured")
    assert set(rare) <= set(found.train.texts)


def test_a_label_that_a_validation_file_lacks_is_told() -> None:
    _, told = prepared(TEXTS, LABELS, validation=(["fine film"], ["pos"]))
    assert "1 label without a validation text: neg" in starting(told, "unmeasured")


def test_labels_that_differ_in_case_or_blanks_only_are_told() -> None:
    other = {"pos": "Pos ", "neg": "neg"}
    found, told = prepared(TEXTS * 2, [*LABELS, *(other[label] for label in LABELS)])
    assert "'Pos ', 'pos' differ in case or blanks only, and count as different labels" in starting(told, "alike")
    assert found.labels == ["Pos ", "neg", "pos"]


def test_the_vocabulary_is_the_training_parts_alone() -> None:
    found, _ = prepared(TEXTS, LABELS)
    assert found.tokenizer is not None
    known = {found.tokenizer.token(index) for index in range(2, found.tokenizer.size)}
    numbers = {text.split()[-1] for text in found.validation.texts}
    assert len(numbers) == len(found.validation.texts) > 0
    assert not numbers & known
    assert {text.split()[-1] for text in found.train.texts} <= known


def test_a_token_of_the_validation_part_is_in_no_file_of_the_model(tmp_path: Path) -> None:
    texts = [f"{text} secret{n:03d}" for n, text in enumerate(TEXTS)]
    path = tmp_path / "texts.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{t}\t{label}\n" for t, label in zip(texts, LABELS, strict=True)))
    finished = run.start(Request(path, {**GIVEN, "epochs": 1}), tmp_path / "run")
    held_out = fitting.prepare(texts, LABELS, GIVEN).validation.texts
    content = b"".join(file.read_bytes() for file in finished.model.iterdir())
    assert b"secret" in content  # those trained on are there
    for text in held_out:
        assert text.split()[-1].encode() not in content


def test_a_validation_file_with_labels_never_trained() -> None:
    other = (["a film", "new film", "odd film", TEXTS[3]], ["pos", "strange\x07", "odd", "neg"])
    found, told = prepared(TEXTS, LABELS, validation=other)
    assert starting(told, "validation") == (
        r"validation 2 texts have labels never seen in training and are left out: odd, strange\x07"
    )
    assert starting(told, "overlap") == "overlap    1 validation texts (25.0%) also stand in training"
    assert "2 validation from the second file" in starting(told, "split")
    assert found.labels == ["neg", "pos"]
    assert found.validation.texts == ["a film", TEXTS[3]]
    assert found.validation.truth.tolist() == [1, 0]


def test_a_validation_file_without_a_known_label_is_refused() -> None:
    with pytest.raises(DataError, match="no label of the validation file stands in the training file"):
        prepared(TEXTS, LABELS, validation=(["x"], ["other"]))


def test_too_few_texts_to_validate_on_are_refused() -> None:
    with pytest.raises(DataError, match="every text has a label of its own: is that the label"):
        prepared(["fine", "dull"], ["pos", "neg"])
    with pytest.raises(DataError, match="give more texts, or a file with --validation-data"):
        prepared(["fine", "fine", "dull"], ["pos", "pos", "neg"])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "vectors_mode": ({"vectors_mode": "static"}, "--vectors-mode has no effect without --vectors"),
    "byte": ({"level": "byte", "min_count": 2}, "--min-count has no effect at level byte"),
    "unknown": ({"hiden": 3}, r"there is no setting 'hiden' \(did you mean 'hidden'"),
    "no effect": ({"filters": 3}, "--filters has no effect on the model 'gru'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_setting_without_effect_is_refused(case: str) -> None:
    settings, words = REFUSED[case]
    with pytest.raises(SettingError, match=words):
        prepared(TEXTS, LABELS, **settings)


def test_bow_knows_words_and_characters_only() -> None:
    with pytest.raises(SettingError, match="--level bpe has no effect on the model 'bow'"):
        fitting.prepare(TEXTS, LABELS, {"model": "bow", "level": "bpe"})


def test_vectors_settle_the_width_and_start_the_words(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("fine 1 2 3\nunheard 4 5 6\n")
    found, told = prepared(TEXTS, LABELS, vectors=path, embedding=3)
    assert found.vectors is not None
    assert found.settings.embedding == 3
    assert found.tokenizer is not None
    own = found.tokenizer.size - 2 - 1
    assert starting(told, "vectors") == f"vectors    1 of {own} training words found, 1 more of the file added; 3 wide"
    assert found.tokenizer.encode("unheard").tolist() != found.tokenizer.encode("never").tolist()
    row = np.array([1.0, 2.0, 3.0]) * 0.25 / np.sqrt(3) / np.std([1, 2, 3, 4, 5, 6])
    assert np.isclose(found.vectors, row, atol=1e-6).all(axis=1).sum() == 1
    with pytest.raises(SettingError, match="--embedding is 2 but the vectors have 3 columns: give at least as many"):
        prepared(TEXTS, LABELS, vectors=path, embedding=2)
    wider, told = prepared(TEXTS, LABELS, vectors=path, embedding=5)
    assert starting(told, "vectors").endswith("1 more of the file added; 5 wide")
    assert wider.vectors is not None
    assert np.isclose(wider.vectors[:, :3], row, atol=1e-6).all(axis=1).sum() == 1
    assert (wider.vectors[2:-1, 3:] != 0).all()  # the last word is of the file alone
    with pytest.raises(SettingError, match="--vectors needs --level word"):
        prepared(TEXTS, LABELS, vectors=path, embedding=3, level="char")


def test_the_plan_is_told_in_figures() -> None:
    found, told = prepared([f"{text} {'x ' * 30}" for text in TEXTS], LABELS, max_length=10, epochs=7, batch_size=16)
    assert "34 a text; 100.0% are longer than 10 and are cut (--max-length)" in starting(told, "tokens")
    assert starting(told, "batches") == "batches    3 of 16 texts, 0.0% padding, at most 7 epochs"
    assert found.data is not None
    assert found.data.train.lengths.tolist() == [10] * 36


def test_epochs_follow_from_the_number_of_steps() -> None:
    few, _ = prepared(TEXTS, LABELS)
    many, _ = prepared(TEXTS, LABELS, batch_size=1)
    assert few.settings.epochs == fitting.MOST_EPOCHS
    assert many.settings.epochs == min(fitting.MOST_EPOCHS, int(np.ceil(fitting.TARGET_STEPS / 36)))


def test_the_region_cnn_has_a_recipe_for_short_texts() -> None:
    def settled(texts: list[str], **given: Any) -> tuple[int, float, list[str]]:
        told: list[str] = []
        settings = fitting.prepare(
            texts, LABELS, {"model": "cnn", "level": "word", **given}, notice=told.append
        ).settings
        return settings.embedding, settings.learning_rate, [line for line in told if line.startswith("recipe")]

    long = [text + " and on" * 40 for text in TEXTS]
    flags = "--embedding 300 --embedding-dropout 0.4 --word-dropout 0.05 --learning-rate 0.001"
    assert settled(TEXTS) == (300, 1e-3, [f"recipe     for short texts: {flags}"])
    assert settled(TEXTS, embedding=20, learning_rate=0.1)[:2] == (20, 0.1)
    assert settled(long) == (100, 2e-3, [])
    assert settled(TEXTS, level="char") == (100, 2e-3, [])
    assert settled(TEXTS, model="gru") == (100, 2e-3, [])


def test_a_known_baseline_is_not_fitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitting.prepare(TEXTS, LABELS, {"model": "cnn", "level": "word", "epochs": 1})
    baseline = fitting.fit(found).baseline
    monkeypatch.delattr(fitting, "_fit_bow")
    told: list[str] = []
    assert fitting.fit(found, baseline=baseline, notice=told.append).baseline == baseline
    assert told[0] == f"baseline   bow (linear, TF-IDF n-grams): accuracy {baseline['accuracy']:.4f}"


def test_recurrent_networks_have_a_recipe_for_long_texts() -> None:
    def settled(texts: list[str], **given: Any) -> tuple[int, int, float]:
        settings = fitting.prepare(texts, LABELS, {"model": "lstm", "level": "word", **given}).settings
        return settings.hidden, settings.batch_size, settings.learning_rate

    long = [text + " and on" * 40 for text in TEXTS]
    assert settled(long) == (64, 64, 4e-3)
    assert settled(long, hidden=7, batch_size=8) == (7, 8, 4e-3)
    assert settled(TEXTS) == settled(long, level="char") == (128, 32, 2e-3)


def test_networks_have_a_recipe_for_long_texts_of_many_labels() -> None:
    def settled(texts: list[str], labels: int, **given: Any) -> tuple[int, int, float, float]:
        names = [f"label {k % labels}" for k in range(len(texts))]
        settings = fitting.prepare(texts, names, {"model": "gru", "level": "word", **given}).settings
        return settings.hidden, settings.batch_size, settings.learning_rate, settings.dropout

    long = [text + " and on" * 40 for text in TEXTS]
    assert settled(long, 10) == (64, 32, 1e-2, 0.2)
    assert settled(long, 10, dropout=0.4, batch_size=8) == (64, 8, 1e-2, 0.4)
    assert settled(long, 9) == (64, 64, 4e-3, 0.5)
    assert settled(TEXTS, 10) == (128, 32, 2e-3, 0.5)
    assert settled(long, 10, model="cnn")[2:] == (5e-3, 0.2)
    assert settled(long, 9, model="cnn")[2:] == (2e-3, 0.5)
    assert settled(long, 10, model="stacked-cnn")[2:] == (5e-3, 0.0)
    assert settled(long, 9, model="stacked-cnn")[2:] == settled(TEXTS, 10, model="stacked-cnn")[2:] == (2e-3, 0.5)


def test_every_training_tells_the_baseline_and_the_size() -> None:
    found, told = prepared(TEXTS, LABELS, epochs=1)
    outcome = fitting.fit(found, notice=told.append)
    assert starting(told, "baseline").startswith("baseline   bow (linear, TF-IDF n-grams): accuracy ")
    assert starting(told, "model") == f"model      gru, {outcome.predictor.parameters():,} parameters"
    weights = sum(value.numel() for value in outcome.predictor.network.state_dict().values())  # type: ignore[union-attr]
    assert fitting.network_bytes(found) == 4 * weights


def test_texts_without_a_word_train_all_the_same() -> None:
    texts = ["!?"[n % 2] * (1 + n // 2) for n in range(40)]
    found, _ = prepared(texts, LABELS, epochs=1)
    assert 0 <= fitting.fit(found).baseline["accuracy"] <= 1


def test_memory_that_cannot_be_had_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    found, _ = prepared(TEXTS, LABELS, epochs=1)
    monkeypatch.setattr(fitting, "_network", refuse)
    with pytest.raises(TrainingError, match="memory ran out at batch size 32: lower --batch-size or --max-length"):
        fitting.fit(found)


def test_a_signal_outside_the_loop_names_the_command_too(whole: SimpleNamespace, tmp_path: Path) -> None:
    def stop(_: str) -> None:
        raise run.Interrupted("stopped", 15)

    def at(word: str) -> Callable[[str], None]:
        return lambda line: stop(line) if line.startswith(word) else None

    with pytest.raises(run.Interrupted, match=r"^stopped$"):
        run.start(Request(whole.data, whole.settings), tmp_path / "run", notice=at("batches"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(run.Interrupted, match=r"^stopped; go on with: unspool resume .*run$"):
        run.start(Request(whole.data, whole.settings), tmp_path / "run", notice=at("baseline"))
    run.resume(tmp_path / "run")
