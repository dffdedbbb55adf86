"""The model folder: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import getpass
import json
import os
import pickle
import platform
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from unspool import SequenceClassifier, files, predictors
from unspool.errors import ModelFileError
from unspool.predictors.folder import TENSORS

TEXTS = [f"{word} film {n % 3}" for n in range(20) for word in ("fine", "dull")]
LABELS = ["pos", "neg"] * 20


def train(folder: Path, **settings: Any) -> Path:
    small = {"embedding": 4, "epochs": 1} if settings["model"] != "bow" else {}
    small |= {"hidden": 4} if settings["model"] == "gru" else {}
    SequenceClassifier(**{**small, **settings}).fit(TEXTS, LABELS).save(folder)
    return folder


def test_a_blend_is_the_weighted_geometric_mean_of_network_and_baseline(tmp_path: Path) -> None:
    given = {"model": "cnn", "embedding": 4, "filters": 3, "epochs": 2, "level": "word", "validation": 0.25}
    asked = ["fine film 1", "dull", "", "of nothing known", "fine dull film 2"]
    alone = SequenceClassifier(**given).fit(TEXTS, LABELS).predict_proba(asked)
    linear = SequenceClassifier(model="bow", level="word", validation=0.25, min_count=2).fit(TEXTS, LABELS)
    expected = alone**0.7 * linear.predict_proba(asked) ** 0.3
    expected /= expected.sum(axis=1, keepdims=True)
    blend = SequenceClassifier(**given, blend=0.3).fit(TEXTS, LABELS)
    np.testing.assert_allclose(blend.predict_proba(asked), expected, atol=1e-6)
    assert np.abs(alone - expected).max() > 0.01
    blend.save(tmp_path / "m")
    loaded = SequenceClassifier.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict_proba(asked), blend.predict_proba(asked))


@pytest.mark.parametrize("missing", ["linear.safetensors", "ngrams.json"])
def test_a_blend_without_its_baseline_is_refused(missing: str, tmp_path: Path) -> None:
    train(tmp_path / "m", model="cnn", level="word", blend=0.5)
    (tmp_path / "m" / missing).unlink()
    manifest = json.loads((tmp_path / "m" / files.MANIFEST).read_text())
    del manifest["files"][missing]
    (tmp_path / "m" / files.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelFileError, match=missing):
        predictors.load(tmp_path / "m")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = train(tmp_path_factory.mktemp("model") / "m", model="gru", level="word")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "settings",
    [{"model": "gru", "level": level} for level in ("word", "char", "byte", "bpe")] + [{"model": "bow"}],
    ids=str,
)
def test_a_saved_model_gives_the_same_answers(settings: dict[str, Any], tmp_path: Path) -> None:
    small = {"hidden": 4, "embedding": 4, "epochs": 1} if settings["model"] != "bow" else {}
    classifier = SequenceClassifier(**small, **settings).fit(TEXTS, LABELS)
    classifier.save(tmp_path / "m")
    loaded = SequenceClassifier.load(tmp_path / "m")
    assert np.array_equal(loaded.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert loaded.predict(["fine film"])[0] in ("pos", "neg")


def write(folder: Path, contents: dict[str, bytes], *, checksums: bool) -> Path:
    folder.mkdir()
    listed = {name: content for name, content in contents.items() if name != files.MANIFEST}
    for name, content in listed.items():
        (folder / name).write_bytes(content)
    manifest = files.to_json(files.manifest_of(listed)) if checksums else contents[files.MANIFEST]
    (folder / files.MANIFEST).write_bytes(manifest)
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(ModelFileError) as error:
        predictors.load(folder)
    assert len(str(error.value)) <= 1024
    return str(error.value)


class Canary:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch canary-was-here",)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "pickle": lambda _: pickle.dumps(Canary()),
    "zip": lambda _: b"PK\x03\x04" + bytes(200),
    "deep": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "name", ["config.json", "vocabulary.json", "model.safetensors", "seen.safetensors", "card.json"]
)
def test_damage_is_refused(
    name: str, damage: str, checksums: bool, original: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(write(tmp_path / "m", {**original, name: DAMAGE[damage](original[name])}, checksums=checksums))
    assert not (tmp_path / "canary-was-here").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden", 10**9), ("hidden", 16_000), ("layers", 32), ("embedding", 8000), ("model", "os.system"),
        ("model", {"_target_": "os.system"}), ("dropout", 7), ("pooling", "x" * 2**20), ("unknown", 1),
        ("seed", -1), ("region_sizes", []), ("max_length", 0),
    ],
)  # fmt: skip
def test_hostile_settings_are_refused(key: str, value: Any, original: dict[str, bytes], tmp_path: Path) -> None:
    config = json.loads(original["config.json"])
    config["settings"][key] = value
    refused(write(tmp_path / "m", {**original, "config.json": json.dumps(config).encode()}, checksums=True))


@pytest.mark.parametrize("shape", [[2**62], [-1], [2**31, 2**31, 2**31], "x", None])
def test_hostile_shapes_are_refused(shape: Any, original: dict[str, bytes], tmp_path: Path) -> None:
    header = json.dumps({"output.bias": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(8)
    refused(write(tmp_path / "m", {**original, "model.safetensors": content}, checksums=True))


def test_every_flipped_bit_is_refused(original: dict[str, bytes], tmp_path: Path) -> None:
    generator = random.Random(0)
    for turn in range(60):
        name = generator.choice(sorted(set(original) - {files.MANIFEST}))
        content = bytearray(original[name])
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        assert name in refused(write(tmp_path / f"m{turn}", {**original, name: bytes(content)}, checksums=False))


def test_a_link_and_a_pipe_are_not_followed(original: dict[str, bytes], tmp_path: Path) -> None:
    for kind in ("link", "pipe"):
        folder = write(tmp_path / kind, original, checksums=True)
        (folder / "model.safetensors").unlink()
        if kind == "link":
            (folder / "model.safetensors").symlink_to("/dev/zero")
        else:
            os.mkfifo(folder / "model.safetensors")
        assert "model.safetensors" in refused(folder)


def test_a_newer_format_says_so(original: dict[str, bytes], tmp_path: Path) -> None:
    config = {**json.loads(original["config.json"]), "format": 2, "unspool": "9.1"}
    message = refused(write(tmp_path / "m", {**original, "config.json": json.dumps(config).encode()}, checksums=True))
    assert "made by a newer version" in message
    assert "9.1" in message


def test_what_is_not_a_model_is_refused(tmp_path: Path) -> None:
    assert "there is no model" in refused(tmp_path / "nothing")
    assert "is not a model folder, it has no manifest.json" in refused(tmp_path)


def test_finite_weights_without_answers_are_told(tmp_path: Path) -> None:
    contents = {path.name: path.read_bytes() for path in train(tmp_path / "m", model="cnn", filters=3).iterdir()}
    tensors = safetensors.numpy.load(contents[TENSORS])
    huge = {name: np.full_like(value, 3e38) for name, value in tensors.items()}
    loaded = predictors.load(write(tmp_path / "n", {**contents, TENSORS: safetensors.numpy.save(huge)}, checksums=True))
    with pytest.raises(ModelFileError, match="answers are not numbers"):
        loaded.log_probabilities(["fine film"])


@pytest.mark.parametrize("given", [{"level": level} for level in ("word", "bpe", "byte", "char")] + [{}], ids=str)
def test_no_byte_tells_a_rare_token_or_where_it_was_made(given: dict[str, Any], tmp_path: Path) -> None:
    small: dict[str, Any] = {"model": "gru", "hidden": 4, "embedding": 4, "epochs": 1} if given else {"model": "bow"}
    texts = [f"{text} hunter2zz" if row == 3 else text for row, text in enumerate(TEXTS)]
    for seed in range(2):  # whichever part the text falls into
        folder = tmp_path / str(seed)
        SequenceClassifier(**small, **given, seed=seed).fit(texts, LABELS).save(folder)
        private = [b"hunter2zz", bytes(folder.parent), bytes(Path.home()), bytes(Path.cwd())]
        private += [name.encode() for name in (platform.node(), getpass.getuser()) if len(name) > 5]
        for path in folder.iterdir():
            assert not [word for word in private if word in path.read_bytes() and len(word) > 4], path
            assert path.stat().st_mode & 0o133 == 0
