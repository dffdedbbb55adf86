"""Folders of taggers, language models and translators from a stranger: refused in one sentence, or they answer.

What all kinds share (manifest, links, headers) is in test_hostile.py; here is what each kind reads for itself.
"""

from __future__ import annotations

import json
import pickle
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from unspool import LanguageModel, SequenceTagger, Translator, files, predictors
from unspool.errors import ModelFileError
from unspool.predictors import KINDS, Predictor
from unspool.predictors.folder import TENSORS
from unspool.tasks import TASKS

Folder = dict[str, bytes]
SMALL: dict[str, Any] = {"hidden": 4, "embedding": 4, "epochs": 1}


def tagger(**more: Any) -> SequenceTagger:
    rows = [["fly", f"to{n}", "New", "York"] for n in range(12)]
    return SequenceTagger(**{**SMALL, **more}).fit(rows, [["O", "O", "B-x", "I-x"]] * 12)


def translator(**more: Any) -> Translator:
    texts = [f"the dog {n}" for n in range(30)]
    return Translator(**SMALL, **more).fit(texts, [text.upper() for text in texts])


MAKE: dict[str, Callable[[], Any]] = {
    "tag": lambda: tagger(character_hidden=3),
    "tag softmax": lambda: tagger(output="softmax", characters="none", model="dilated-cnn", hidden=None, filters=4),
    "generate": lambda: LanguageModel(**SMALL, chunk=8).fit("the cat sat. " * 60),
    "translate": lambda: translator(level="word", target_level="char"),
    "translate joint": translator,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    found = {}
    for name, make in MAKE.items():
        folder = tmp_path_factory.mktemp("made") / "m"
        make().save(folder)
        found[name] = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != files.MANIFEST}
    assert {name.partition(" ")[0] for name in found} == set(KINDS) - {"classify"}
    return found


def write(folder: Path, contents: Folder) -> Path:
    """The folder with right checksums."""
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / files.MANIFEST).write_bytes(files.to_json(files.manifest_of(contents)))
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(ModelFileError) as error:
        predictors.load(folder)
    return one_sentence(error.value)


def one_sentence(error: ModelFileError) -> str:
    message = str(error)
    assert len(message.encode()) <= 1024 and message.isprintable(), message
    return message


def answers(loaded: Predictor) -> list[dict[str, Any]]:
    return list(TASKS[loaded.task].answer(loaded, ["the dog New York 3"]))


def refuses_or_answers(folder: Path) -> bool:
    """Whether it is refused; nothing but a ModelFileError may come, and soon."""
    started = time.process_time()
    try:
        assert len(answers(predictors.load(folder))) == 1
    except ModelFileError as error:
        one_sentence(error)
        return True
    finally:
        assert time.process_time() - started < 5
    return False


KIND = pytest.mark.parametrize("kind", MAKE)
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "one byte more": lambda content: content + b"x",
    "pickle": lambda _: pickle.dumps(print),
    "zeros": lambda content: bytes(len(content)),
    "deep": lambda _: b"[" * 100_000,
    "number": lambda _: b"9" * 10_000,
    "twice": lambda _: b'{"format": 1, "format": 1}',
    "list": lambda _: b"[]",
    "object": lambda _: b"{}",
    "not text": lambda _: b"\xff\xfe\x00",
}


@KIND
def test_undamaged_it_answers_and_every_damaged_file_is_refused(
    kind: str, made: dict[str, Folder], tmp_path: Path
) -> None:
    assert not refuses_or_answers(write(tmp_path / "whole", made[kind]))
    for name in sorted(set(made[kind]) - {"README.md"}):
        for damage, change in DAMAGE.items():
            if name == "card.json" and damage in ("object", "twice"):
                continue  # a card may hold anything
            refused(write(tmp_path / f"{name} {damage}", {**made[kind], name: change(made[kind][name])}))
        if name != "card.json":
            less = {other: content for other, content in made[kind].items() if other != name}
            refused(write(tmp_path / f"{name} gone", less))


BAD = ["os.system", {"_target_": "os.system"}, 10**31, -1, "\x1b[31m\u202e", [[]], ["a"] * 3000, {"a": {}}, "x" * 2**20]


@KIND
def test_every_config_value_is_checked(kind: str, made: dict[str, Folder], tmp_path: Path) -> None:
    whole = json.loads(made[kind]["config.json"])
    for number, value in enumerate(BAD):
        for key in sorted(set(whole) - {"unspool", "settings"}):
            changed = json.dumps({**whole, key: value}).encode()
            refused(write(tmp_path / f"{key} {number}", {**made[kind], "config.json": changed}))
    for key in whole:
        less = json.dumps({name: value for name, value in whole.items() if name != key}).encode()
        refused(write(tmp_path / f"no {key}", {**made[kind], "config.json": less}))


POSSIBLE = [
    None, True, False, 0, 1, 2, 3, 0.5, 10**6, "word", "token", "char", "byte", "bpe", "crf", "softmax", "bio",
    "bioes", "gru", "lstm", "qrnn", "dilated-cnn", "none", "general", "dot", "additive", "cnn", "multichannel",
]  # fmt: skip


@KIND
def test_settings_of_another_network_are_refused_or_change_nothing_it_needs(
    kind: str, made: dict[str, Folder], tmp_path: Path
) -> None:
    whole = json.loads(made[kind]["config.json"])
    generator, refusals = random.Random(3), 0
    for number in range(150):
        changes = {generator.choice(sorted(whole["settings"])): generator.choice(POSSIBLE) for _ in range(2)}
        changed = {**whole, "settings": {**whole["settings"], **changes}}
        folder = write(tmp_path / str(number), {**made[kind], "config.json": json.dumps(changed).encode()})
        refusals += refuses_or_answers(folder)
    assert refusals > 75


@KIND
@pytest.mark.parametrize(
    "huge", [{"hidden": 16384}, {"embedding": 8192, "layers": 32}, {"decoder_layers": 32}], ids=str
)
def test_a_huge_network_is_refused_before_it_is_made(
    kind: str, huge: dict[str, Any], made: dict[str, Folder], tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    whole = json.loads(made[kind]["config.json"])
    whole["settings"] |= huge
    if not kind.startswith("translate"):
        whole["settings"].pop("decoder_layers")
    if kind == "tag softmax":
        whole["settings"]["layers"] = 31
    folder = write(tmp_path / "m", {**made[kind], "config.json": json.dumps(whole).encode()})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if "decoder_layers" in whole["settings"] or "decoder_layers" not in huge:
        refused(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@KIND
def test_weights_that_are_not_numbers_are_refused_and_those_too_large_told(
    kind: str, made: dict[str, Folder], tmp_path: Path
) -> None:
    tensors = safetensors.numpy.load(made[kind][TENSORS])
    for name, value in tensors.items():
        spoiled = {**tensors, name: np.full_like(value, np.nan)}
        folder = write(tmp_path / name, {**made[kind], TENSORS: safetensors.numpy.save(spoiled)})
        assert "not finite" in refused(folder)
    for size in (1e30, 3e38):
        large = {name: np.full_like(value, size) for name, value in tensors.items()}
        refuses_or_answers(write(tmp_path / str(size), {**made[kind], TENSORS: safetensors.numpy.save(large)}))


def test_files_of_another_kind_have_no_place(made: dict[str, Folder], tmp_path: Path) -> None:
    for kind, contents in made.items():
        known = KINDS[kind.partition(" ")[0]].files | set(contents)
        for other, more in made.items():
            if extra := set(more) - known:
                both = {**contents, **{name: more[name] for name in extra}}
                refused(write(tmp_path / f"{kind} {other}", both))
        config = json.loads(contents["config.json"])
        for task in KINDS:
            if task != config["task"]:
                changed = json.dumps({**config, "task": task}).encode()
                refused(write(tmp_path / f"{kind} as {task}", {**contents, "config.json": changed}))


def test_what_a_tagger_says_about_itself_must_agree(made: dict[str, Folder], tmp_path: Path) -> None:
    whole = json.loads(made["tag"]["config.json"])
    for number, (change, words) in enumerate((
        ({"labels": ["O", "O", "B-x"]}, "labels must be different texts"),
        ({"labels": ["O", 3, "B-x"]}, "labels must be a list of texts"),
        ({"labels": ["a", "b", "c"]}, "the labels are no tags of spans"),
        ({"scheme": None}, "the scheme must be null, bio or bioes"),
        ({"vectors": "glove"}, "unknown vectors mode"),
        ({"characters": None}, "characters, output and settings disagree"),
        ({"words": True}, "words must be a whole number"),
    )):  # fmt: skip
        folder = write(tmp_path / str(number), {**made["tag"], "config.json": json.dumps({**whole, **change}).encode()})
        assert words in refused(folder)


def test_what_a_translator_says_about_itself_must_agree(made: dict[str, Folder], tmp_path: Path) -> None:
    for kind, change, words in (
        ("translate", {"joint": True}, "--joint means one vocabulary"),
        ("translate", {"target_level": "word"}, "settings and tokenizer disagree"),
        ("translate", {"lowercase": False}, "settings and tokenizer disagree"),
        ("translate joint", {"level": "char", "target_level": "char"}, "settings and tokenizer disagree"),
        ("translate joint", {"joint": False}, "the model has no tokenizer.json"),
    ):
        whole = json.loads(made[kind]["config.json"])
        whole["settings"] |= change
        folder = write(tmp_path / f"{kind} {change}", {**made[kind], "config.json": json.dumps(whole).encode()})
        assert words in refused(folder)
    whole = json.loads(made["translate joint"]["config.json"])
    whole["source_tokenizer"]["size"] += 1
    folder = write(tmp_path / "two", {**made["translate joint"], "config.json": json.dumps(whole).encode()})
    assert "a joint vocabulary has one tokenizer" in refused(folder)


def test_every_file_and_config_key_is_documented(made: dict[str, Folder]) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    for contents in made.values():
        for name in (*contents, *json.loads(contents["config.json"])):
            assert f"`{name}`" in documented, name
    for name in safetensors.numpy.load(made["translate"][TENSORS]):
        assert name.split(".")[0] in documented, name
