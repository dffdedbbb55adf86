"""A model folder from a stranger: refused in one sentence, at once, with nothing executed and little memory."""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from unspool import config, files, predictors
from unspool.errors import ModelFileError, SettingError
from unspool.models import bow
from unspool.models.classifier import Classifier
from unspool.predictors import ClassifierPredictor, classifier
from unspool.predictors.classifier import SEEN
from unspool.predictors.folder import TENSORS
from unspool.tasks.classify import fitting

TEXTS = [f"{word} film {n % 3}" for n in range(12) for word in ("fine", "dull")]
LABELS = ["pos", "neg"] * 12
Folder = dict[str, bytes]


def make(model: str = "gru", level: str = "word", **more: Any) -> ClassifierPredictor:
    """A predictor with the weights it starts from."""
    sizes = {"embedding": 4, "hidden": 4, "filters": 3, "epochs": 1, **more}
    given = {name: value for name, value in sizes.items() if config.uses(model, name)}
    prepared = fitting.prepare(TEXTS, LABELS, {"model": model, "level": level, **given})
    if prepared.tokenizer is None:
        linear = bow.fit(prepared.train.texts, prepared.train.truth, 2, level=level, lowercase=True)
        return ClassifierPredictor(prepared.labels, prepared.settings, linear)
    network = Classifier(prepared.settings, prepared.tokenizer.size, 2).eval()
    seen = np.arange(5, dtype=np.uint32)
    return ClassifierPredictor(prepared.labels, prepared.settings, network, prepared.tokenizer, seen=seen)


def stored(made: ClassifierPredictor, folder: Path) -> Folder:
    predictors.save(made, folder, "# a model\n")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return stored(make(), tmp_path_factory.mktemp("network") / "m")


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return stored(make("bow"), tmp_path_factory.mktemp("linear") / "m")


def write(folder: Path, contents: Folder, *, checksums: bool = True) -> Path:
    folder.mkdir(parents=True)
    listed = {name: content for name, content in contents.items() if name != files.MANIFEST}
    for name, content in listed.items():
        (folder / name).write_bytes(content)
    manifest = files.to_json(files.manifest_of(listed)) if checksums else contents[files.MANIFEST]
    (folder / files.MANIFEST).write_bytes(manifest)
    return folder


def refused(folder: Path) -> str:
    started = time.process_time()
    with pytest.raises(ModelFileError) as error:
        predictors.load(folder)
    message = str(error.value)
    assert len(message.encode()) <= 1024
    assert message.isprintable(), message
    assert time.process_time() - started < 5
    return message


def test_each_model_comes_back_with_the_same_answers(tmp_path: Path) -> None:
    for model in ("gru", "prototype", "cnn", "stacked-cnn", "dilated-cnn", "cnn-qrnn", "bow"):
        made = make(model)
        predictors.save(made, tmp_path / model, "")
        loaded = predictors.load(tmp_path / model)
        assert np.array_equal(loaded.log_probabilities(TEXTS), made.log_probabilities(TEXTS)), model
        assert (loaded.labels, loaded.settings) == (made.labels, made.settings)
        assert np.array_equal(loaded.seen, made.seen)


# Every file, in every way ------------------------------------------------------------------------------------------


class Canary:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch canary",)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "first byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "last byte gone": lambda content: content[:-1],
    "one byte more": lambda content: content + b"x",
    "first byte flipped": lambda content: bytes([content[0] ^ 255]) + content[1:],
    "pickle": lambda _: pickle.dumps(Canary()),
    "zip": lambda _: b"PK\x03\x04" + bytes(300),
    "tar": lambda _: bytes(257) + b"ustar" + bytes(762),
    "zeros": lambda content: bytes(len(content)),
    "deep": lambda _: b"[" * 100_000,
    "number": lambda _: b"9" * 10_000,
    "nan": lambda _: b"NaN",
    "twice": lambda _: b'{"format": 1, "format": 1}',
    "list": lambda _: b"[]",
    "not text": lambda _: b"\xff\xfe\x00",
}
# What changes no meaning, or stands only for people to read: right once its checksum is.
HARMLESS = {"README.md": set(DAMAGE), "config.json": {"last byte gone"}, "vocabulary.json": {"last byte gone"}}
HARMLESS |= {"card.json": {"last byte gone"}, "ngrams.json": {"last byte gone"}}


@pytest.mark.parametrize("kind", ["network", "linear"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damaged_file_is_refused(
    kind: str, damage: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    contents: Folder = request.getfixturevalue(kind)
    for name in sorted(set(contents) - {files.MANIFEST}):
        changed = {**contents, name: DAMAGE[damage](contents[name])}
        assert name in refused(write(tmp_path / f"{name}-stale", changed, checksums=False))
        fresh = write(tmp_path / f"{name}-fresh", changed)
        if damage in HARMLESS.get(name, ()):
            predictors.load(fresh)
        elif (name, damage) != ("card.json", "twice"):
            refused(fresh)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("damage", sorted(set(DAMAGE) - {"last byte gone"}))
def test_a_damaged_manifest_is_refused(damage: str, network: Folder, tmp_path: Path) -> None:
    changed = {**network, files.MANIFEST: DAMAGE[damage](network[files.MANIFEST])}
    assert files.MANIFEST in refused(write(tmp_path / "m", changed, checksums=False))


@pytest.mark.parametrize(
    "listed",
    [
        {"../config.json": {"size": 1, "sha256": "0"}},
        {"/etc/hostname": {"size": 1, "sha256": "0"}},
        {"extra.py": {"size": 1, "sha256": "0"}},
        {"x" * 2**19: {"size": 1, "sha256": "0"}},
        {"\x1b[31m": {"size": 1, "sha256": "0"}},
        {"config.json": {"size": -1, "sha256": "0"}},
        {"config.json": {"size": 10**400, "sha256": "0"}},
        {"config.json": {"size": True, "sha256": "0"}},
        {"config.json": {"size": "1", "sha256": "0"}},
        {"config.json": {"sha256": "0"}},
        {"config.json": []},
        [],
        {},
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_manifest_that_lists_anything_else_is_refused(listed: Any, network: Folder, tmp_path: Path) -> None:
    manifest = json.dumps({"format": 1, "files": listed}).encode()
    refused(write(tmp_path / "m", {**network, files.MANIFEST: manifest}, checksums=False))


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", TENSORS, SEEN, "card.json", "README.md"])
def test_links_pipes_folders_and_gaps_are_refused(name: str, network: Folder, tmp_path: Path) -> None:
    def with_other(kind: str, place: Callable[[Path], object]) -> None:
        folder = write(tmp_path / kind, network)
        (folder / name).unlink()
        place(folder / name)
        assert name in refused(folder)

    with_other("link", lambda path: path.symlink_to("/dev/zero"))
    (tmp_path / "same").write_bytes(network[name])
    with_other("link to the same", lambda path: path.symlink_to(tmp_path / "same"))
    with_other("pipe", os.mkfifo)
    with_other("folder", lambda path: path.mkdir())
    with_other("gap", lambda _: None)
    if name != "README.md":
        missing = {other: content for other, content in network.items() if other != name}
        assert name in refused(write(tmp_path / "unlisted", missing))


def test_each_of_100_flipped_bits_is_refused(network: Folder, tmp_path: Path) -> None:
    generator = random.Random(1)
    folder = write(tmp_path / "m", network)
    names = sorted(network)
    for _ in range(100):
        name = generator.choices(names, [len(network[name]) for name in names])[0]
        content = bytearray(network[name])
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        (folder / name).write_bytes(content)
        refused(folder)
        (folder / name).write_bytes(network[name])
    predictors.load(folder)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in ("file", "nothing", "n" * 5000, "a\x00b", "\x1b[31m\u202e"):
        refused(tmp_path / path)


# config.json -------------------------------------------------------------------------------------------------------

BAD_VALUES: list[Any] = [
    "os.system", {"_target_": "os.system", "args": ["touch canary"]}, "__import__('os')", 10**31, -(10**31), 1e308,
    "x" * 2**20, "\x1b[31m\u202e", [[]], ["a"] * 1000, {"a": {"b": {}}}, -1, "!!python/object/apply:os.system",
]  # fmt: skip


UNBOUNDED = [(name, value) for name in ("minutes", "max_norm") for value in (10**31, 1e308)]


@pytest.mark.parametrize("value", BAD_VALUES, ids=lambda value: str(value)[:20])
def test_every_config_value_is_checked(value: Any, network: Folder, tmp_path: Path) -> None:
    whole = json.loads(network["config.json"])
    for key in sorted(set(whole) - {"unspool", "settings"}):
        refused(write(tmp_path / key, {**network, "config.json": json.dumps({**whole, key: value}).encode()}))
    for key in whole["settings"]:
        if (key, value) in UNBOUNDED:
            continue
        changed = {**whole, "settings": {**whole["settings"], key: value}}
        refused(write(tmp_path / f"settings-{key}", {**network, "config.json": json.dumps(changed).encode()}))
    for key in whole["tokenizer"]:
        changed = {**whole, "tokenizer": {**whole["tokenizer"], key: value}}
        refused(write(tmp_path / f"tokenizer-{key}", {**network, "config.json": json.dumps(changed).encode()}))


@pytest.mark.parametrize("spelling", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_json_does_not_have_are_refused(spelling: str, network: Folder, tmp_path: Path) -> None:
    text = network["config.json"].decode().replace('"dropout": 0.5', f'"dropout": {spelling}')
    assert spelling in text
    assert "config.json" in refused(write(tmp_path / "m", {**network, "config.json": text.encode()}))


def test_keys_missing_and_added_are_refused(network: Folder, tmp_path: Path) -> None:
    whole = json.loads(network["config.json"])
    for key in whole:
        less = {name: value for name, value in whole.items() if name != key}
        refused(write(tmp_path / f"no-{key}", {**network, "config.json": json.dumps(less).encode()}))
    more = {**whole, "hook": "os.system"}
    refused(write(tmp_path / "more", {**network, "config.json": json.dumps(more).encode()}))


@pytest.mark.parametrize(
    "huge",
    [
        {"hidden": 16384}, {"layers": 32}, {"hidden": 16384, "layers": 32}, {"embedding": 8192},
        {"model": "lstm", "hidden": 16384, "layers": 32, "bidirectional": True, "layer_norm": True},
        {"model": "cnn", "filters": 8192, "region_sizes": [64] * 16}, {"model": "cnn-lstm", "filters": 8192},
        {"model": "dilated-cnn", "layers": 32, "filters": 8192, "kernel_size": 63},
        {"model": "dilated-cnn", "kernel_size": 64},
        {"model": "stacked-cnn", "layers": 32, "filters": 8192, "kernel_size": 64, "pool_size": 64},
    ],
    ids=str,
)  # fmt: skip
def test_a_huge_network_is_refused_before_it_is_made(huge: dict[str, Any], network: Folder, tmp_path: Path) -> None:
    whole = json.loads(network["config.json"])
    whole["settings"] |= huge
    folder = write(tmp_path / "m", {**network, "config.json": json.dumps(whole).encode()})
    before = _peak_memory()
    started = time.process_time()
    refused(folder)
    assert time.process_time() - started < 2
    assert _peak_memory() - before < 64 * 2**20


def test_settings_that_no_layer_takes_are_a_damaged_model(
    network: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise SettingError("the layer does not take this")

    monkeypatch.setattr(classifier, "Classifier", refuse)
    assert "describes no network: the layer does not take this" in refused(write(tmp_path / "m", network))


def _peak_memory() -> int:
    """The most memory this process ever held, in bytes."""
    resource = pytest.importorskip("resource")
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


@pytest.mark.parametrize("name", ["config.json", "card.json"])
def test_a_description_as_long_as_a_book_is_refused_unread(name: str, network: Folder, tmp_path: Path) -> None:
    assert "has more than 16,777,216 bytes" in refused(write(tmp_path / "m", {**network, name: b" " * (2**24 + 1)}))


def test_a_huge_vocabulary_is_refused(network: Folder, tmp_path: Path) -> None:
    whole = json.loads(network["config.json"])
    for size in (10**9, 2**63, whole["tokenizer"]["size"] + 1):
        whole["tokenizer"]["size"] = size
        message = refused(write(tmp_path / str(size), {**network, "config.json": json.dumps(whole).encode()}))
        assert "vocabulary.json" in message
    whole["tokenizer"]["size"] = 10**5 + 2
    tokens = json.dumps({"format": 1, "tokens": [str(n) for n in range(10**5)]}).encode()
    changed = {**network, "config.json": json.dumps(whole).encode(), "vocabulary.json": tokens}
    assert TENSORS in refused(write(tmp_path / "m", changed))


def test_settings_and_tokenizer_must_agree(network: Folder, tmp_path: Path) -> None:
    whole = json.loads(network["config.json"])
    whole["settings"]["level"] = "char"
    assert "disagree" in refused(write(tmp_path / "m", {**network, "config.json": json.dumps(whole).encode()}))


def test_newer_formats_are_named(network: Folder, tmp_path: Path) -> None:
    whole = {**json.loads(network["config.json"]), "format": 7, "unspool": "9.9", "extra": 1}
    message = refused(write(tmp_path / "config", {**network, "config.json": json.dumps(whole).encode()}))
    assert "made by a newer version" in message
    assert "9.9" in message
    manifest = json.dumps({**json.loads(network[files.MANIFEST]), "format": 2}).encode()
    changed = {**network, files.MANIFEST: manifest}
    assert "made by a newer version" in refused(write(tmp_path / "manifest", changed, checksums=False))
    words = json.dumps({"format": 2, "tokens": []}).encode()
    assert "made by a newer version" in refused(write(tmp_path / "words", {**network, "vocabulary.json": words}))


# Tensors -----------------------------------------------------------------------------------------------------------


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def joined(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ENTRIES: list[dict[str, Any]] = [
    {"shape": [2**62]}, {"shape": [2**62, 4]}, {"shape": [2**100]}, {"shape": [-1]}, {"shape": [True]},
    {"shape": [2.0]}, {"shape": "ab"}, {"shape": None}, {"shape": [[2]]}, {"shape": [1] * 10_000}, {"shape": []},
    {"shape": [2, 1]}, {"dtype": "F64"}, {"dtype": "U32"}, {"dtype": "BF16"}, {"dtype": "F8_E4M3"}, {"dtype": "O"},
    {"dtype": "x" * 2**20}, {"dtype": {"_target_": "os.system"}}, {"dtype": None}, {"data_offsets": [0, 2**62]},
    {"data_offsets": [2**63 - 8, 2**63]}, {"data_offsets": [-8, 0]}, {"data_offsets": [8, 0]}, {"data_offsets": [0]},
    {"data_offsets": [0, 8, 16]}, {"data_offsets": "08"}, {"data_offsets": [0.0, 8.0]}, {"more": 1},
    {"data_offsets": [0, 8]}, {"data_offsets": [4, 12]},
]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda value: str(value)[:40])
def test_a_lying_tensor_header_is_refused(entry: dict[str, Any], network: Folder, tmp_path: Path) -> None:
    header, data = parts(network[TENSORS])
    name = "output.bias" if header["output.bias"]["data_offsets"][0] else "output.weight"
    header[name] |= entry  # offsets [0, 8] then overlap those of the first tensor
    assert TENSORS in refused(write(tmp_path / "m", {**network, TENSORS: joined(header, data)}))


def test_other_lying_headers_are_refused(network: Folder, tmp_path: Path) -> None:
    header, data = parts(network[TENSORS])
    text = json.dumps(header)
    lies = {
        "twice": joined((text[:-1] + ', "output.bias": ' + json.dumps(header["output.bias"]) + "}").encode(), data),
        "deep": joined(b'{"a":' * 50_000, data),
        "metadata": joined({**header, "__metadata__": {"a": {"_target_": "os.system"}}}, data),
        "one more": joined({**header, "more": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, data),
        "one less": joined({key: value for key, value in header.items() if key != "output.bias"}, data),
        "no data": joined(header, b""),
        "more data": joined(header, data + bytes(8)),
        "long": struct.pack("<Q", 2**63) + text.encode() + data,
        "longer than the file": struct.pack("<Q", len(network[TENSORS])) + network[TENSORS][8:],
        "list": joined([header], data),
        "no text": joined(b"\xff" * 8, data),
        "nan": joined(b'{"output.bias": NaN}', data),
    }
    for kind, content in lies.items():
        assert TENSORS in refused(write(tmp_path / kind, {**network, TENSORS: content})), kind


def test_random_changes_of_the_header_never_end_in_anything_else(network: Folder, tmp_path: Path) -> None:
    generator = random.Random(2)
    (size,) = struct.unpack("<Q", network[TENSORS][:8])
    for turn in range(150):
        content = bytearray(network[TENSORS])
        for _ in range(generator.randint(1, 4)):
            content[generator.randrange(8 + size)] = generator.choice(b'0123456789{}[]",:-eN\x00\xff')
        if bytes(content) != network[TENSORS]:
            folder = write(tmp_path / str(turn), {**network, TENSORS: bytes(content)})
            try:
                predictors.load(folder)
            except ModelFileError as error:
                assert len(str(error)) <= 1000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["network", "linear"])
def test_a_weight_that_is_not_finite_is_not_loaded(
    kind: str, value: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    contents: Folder = request.getfixturevalue(kind)
    for name in safetensors.numpy.load(contents[TENSORS]):
        tensors = safetensors.numpy.load(contents[TENSORS])
        tensors[name] = tensors[name].copy()
        tensors[name].reshape(-1)[-1] = value
        message = refused(write(tmp_path / name, {**contents, TENSORS: safetensors.numpy.save(tensors)}))
        assert name in message
        assert "not finite" in message


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    made = make()
    assert isinstance(made.network, Classifier)
    with torch.no_grad():
        made.network.output.bias[1] = math.nan
    with pytest.raises(ModelFileError, match=r"output\.bias holds a value that is not finite"):
        predictors.save(made, tmp_path / "m", "")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "seen",
    [np.zeros(3, np.float32), np.zeros((2, 2), np.uint32), np.zeros(3, np.uint8), np.array(3, np.uint32)],
    ids=lambda seen: f"{seen.dtype}{seen.shape}",
)
def test_seen_texts_of_another_kind_are_refused(seen: Any, network: Folder, tmp_path: Path) -> None:
    content = safetensors.numpy.save({"seen": seen})
    assert SEEN in refused(write(tmp_path / "m", {**network, SEEN: content}))


# The linear baseline's files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ngrams", [[], {}, None, ["a"], ["a", "a"], [1, 2], [["a"]], "ab", ["x" * 2**20]])
def test_wrong_ngrams_are_refused(ngrams: Any, linear: Folder, tmp_path: Path) -> None:
    refused(write(tmp_path / "m", {**linear, "ngrams.json": json.dumps(ngrams).encode()}))


@pytest.mark.parametrize("change", [{"tokenizer": {"level": "word"}}, {"settings": {"level": "bpe"}}], ids=str)
def test_a_linear_model_has_no_tokenizer_and_knows_two_levels(
    change: dict[str, Any], linear: Folder, tmp_path: Path
) -> None:
    whole = json.loads(linear["config.json"])
    if "settings" in change:
        change = {"settings": {**whole["settings"], **change["settings"]}}
    content = json.dumps({**whole, **change}).encode()
    assert "bow" in refused(write(tmp_path / "m", {**linear, "config.json": content}))


@pytest.mark.parametrize(("kind", "other"), [("network", "linear"), ("linear", "network")])
def test_files_of_two_models_do_not_mix(kind: str, other: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    ours, theirs = request.getfixturevalue(kind), request.getfixturevalue(other)
    for name in ("config.json", TENSORS):
        refused(write(tmp_path / name, {**ours, name: theirs[name]}))


def test_python_memory_stays_small_on_a_refusal(network: Folder, tmp_path: Path) -> None:
    header, data = parts(network[TENSORS])
    header["output.bias"] |= {"shape": [2**40], "data_offsets": [0, 2**42]}
    folder = write(tmp_path / "m", {**network, TENSORS: joined(header, data)})
    tracemalloc.start()
    try:
        refused(folder)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("level", ["char", "byte", "bpe"])
def test_other_token_levels_refuse_damage_too(level: str, tmp_path: Path) -> None:
    contents = stored(make(level=level), tmp_path / "m")
    predictors.load(tmp_path / "m")
    for name in {"vocabulary.json", "tokenizer.json"} & set(contents):
        for kind, damage in DAMAGE.items():
            if kind != "last byte gone":
                refused(write(tmp_path / f"{kind}", {**contents, name: damage(contents[name])}))
    whole = json.loads(contents["config.json"])
    whole["tokenizer"]["size"] += 1
    refused(write(tmp_path / "size", {**contents, "config.json": json.dumps(whole).encode()}))


def test_the_manifest_can_be_recomputed_as_the_documentation_says(network: Folder, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    recipe = text.split("```python\n")[1].split("```")[0]
    folder = write(tmp_path / "m", network)
    (folder / files.MANIFEST).unlink()
    subprocess.run([sys.executable, "-c", recipe], cwd=folder, check=True, timeout=60)
    assert (folder / files.MANIFEST).read_bytes() == network[files.MANIFEST]
    predictors.load(folder)


@pytest.mark.parametrize("kind", ["network", "linear"])
def test_every_file_and_config_key_is_documented(kind: str, request: pytest.FixtureRequest) -> None:
    contents: Folder = request.getfixturevalue(kind)
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    assert [name for name in (*contents, *json.loads(contents["config.json"])) if f"| `{name}` |" not in text] == []
