"""Files written by Keras give Keras's answers; what cannot is refused by its name."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from unspool.errors import ModelFileError
from unspool.export.keras import read_keras

V, T = 20, 14
Make = Callable[[Any, Any, bool], Any]


def notebook(cell: str, **options: Any) -> Make:
    """The lecture's network: embedding, one recurrent layer, one sigmoid unit."""

    def make(keras: Any, L: Any, mask: bool) -> Any:
        layer = getattr(L, cell)(4, dropout=0.2, recurrent_dropout=0.2, **options)
        layers = [keras.Input((T,)), L.Embedding(V, 5, mask_zero=mask), layer, L.Dense(1, activation="sigmoid")]
        return keras.Sequential(layers)

    return make


def both_directions(cell: str, merge: str) -> Make:
    """Everything recurrent that a mask has to travel through."""

    def make(keras: Any, L: Any, mask: bool) -> Any:
        own = getattr(L, cell)
        return keras.Sequential(
            [
                keras.Input((None,)),
                L.Embedding(V, 5, mask_zero=mask),
                L.SpatialDropout1D(0.2),
                L.Bidirectional(own(4, return_sequences=True), merge_mode=merge),
                L.LayerNormalization(),
                own(3, go_backwards=True, return_sequences=True),
                L.Bidirectional(own(3)),
                L.Dense(2),
                L.Activation("softmax"),
            ]
        )

    return make


def stacked_cnn(keras: Any, L: Any, mask: bool) -> Any:
    """Every padding, stride and dilation, then flat."""
    return keras.Sequential(
        [
            keras.Input((T,)),
            L.Embedding(V, 5),
            L.Conv1D(8, 3, activation="relu"),
            L.MaxPooling1D(2),
            L.Conv1D(6, 4, padding="same", strides=2),
            L.AveragePooling1D(2, padding="same", strides=1),
            L.Conv1D(4, 2, dilation_rate=2, padding="causal", activation="tanh", use_bias=False),
            L.MaxPooling1D(2, padding="same"),
            L.Flatten(),
            L.Dense(6, activation="elu"),
            L.Dense(4, activation="softmax"),
        ]
    )


def kim(keras: Any, L: Any, mask: bool) -> Any:
    """Kim 2014: regions of 3, 4 and 5 side by side."""
    ids = keras.Input((T,))
    x = L.Embedding(V, 5, mask_zero=mask)(ids)
    regions = [L.GlobalMaxPooling1D()(L.Conv1D(4, size, activation="relu")(x)) for size in (3, 4, 5)]
    return keras.Model(ids, L.Dense(3, activation="softmax")(L.Dropout(0.5)(L.Concatenate()(regions))))


def branches(keras: Any, L: Any, mask: bool) -> Any:
    """A functional network in which masks meet: side by side, then one after the other."""
    ids = keras.Input((None,))
    x = L.Embedding(V, 5, mask_zero=mask)(ids)
    one = L.LSTM(3, return_sequences=True)(x)
    two = L.Bidirectional(L.GRU(2, return_sequences=True), merge_mode="sum")(x)
    side = L.Concatenate()([one, two])
    after = L.Concatenate(axis=1)([side, side])
    return keras.Model(ids, L.Dense(1, activation="sigmoid")(L.GlobalAveragePooling1D()(after)))


MODELS: dict[str, Make] = {
    "SimpleRNN": notebook("SimpleRNN"),
    "SimpleRNN, relu": notebook("SimpleRNN", activation="relu"),
    "LSTM": notebook("LSTM"),
    "LSTM without bias": notebook("LSTM", use_bias=False),
    "GRU": notebook("GRU"),
    "GRU, reset before": notebook("GRU", reset_after=False),
    "GRU, zeros where masked": notebook("GRU", zero_output_for_mask=True),
    "both directions, SimpleRNN": both_directions("SimpleRNN", "sum"),
    "both directions, LSTM": both_directions("LSTM", "concat"),
    "both directions, GRU": both_directions("GRU", "mul"),
    "both directions averaged": both_directions("LSTM", "ave"),
    "stacked CNN": stacked_cnn,
    "Kim": kim,
    "branches": branches,
}


def padded_ids() -> np.ndarray:
    """Rows padded on the left, on the right, in the middle, and not at all."""
    ids = np.random.default_rng(1).integers(1, V, (8, T))
    for row in range(1, 4):
        ids[row, : 4 * row] = 0
        ids[row + 3, T - 4 * row :] = 0
    ids[7, 3:6] = 0
    return ids


def answers(keras: Any, model: Any, ids: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(keras.ops.convert_to_numpy(model(ids, training=False)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("mask", [False, True], ids=["padding read", "padding masked"])
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_keras(
    name: str, mask: bool, suffix: str, keras: Any, stirred: Any, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    model = stirred(MODELS[name](keras, keras.layers, mask))
    model.save(tmp_path / f"m.{suffix}")
    ids = padded_ids()
    with torch.inference_mode():
        ours = read_keras(tmp_path / f"m.{suffix}")(torch.from_numpy(ids)).numpy()
    np.testing.assert_allclose(ours, answers(keras, model, ids), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_masks_matter_where_keras_says_so(keras: Any, stirred: Any, tmp_path: Path) -> None:
    """The same weights with and without a mask answer differently, or the test above could not see masks at all."""
    found = []
    for mask in (False, True):
        keras.utils.set_random_seed(0)
        stirred(notebook("LSTM")(keras, keras.layers, mask)).save(tmp_path / f"{mask}.keras")
        found.append(read_keras(tmp_path / f"{mask}.keras")(torch.from_numpy(padded_ids())).detach())
    assert (found[0] - found[1]).abs()[1:3].max() > 1e-3
    torch.testing.assert_close(found[0][0], found[1][0])


def refused(keras: Any, *layers: Any) -> Any:
    return keras.Sequential([keras.Input((T,)), keras.layers.Embedding(V, 5), *layers])


REFUSED: dict[str, tuple[Callable[[Any, Any], list[Any]], str]] = {
    "Lambda": (lambda k, L: [L.Lambda(lambda x: x * 2)], "class 'Lambda' cannot be imported"),
    "BatchNormalization": (lambda k, L: [L.BatchNormalization()], "class 'BatchNormalization' cannot be imported"),
    "TimeDistributed": (lambda k, L: [L.TimeDistributed(L.Dense(2))], "class 'TimeDistributed' cannot be imported"),
    "nested": (lambda k, L: [k.Sequential([L.Dense(2)])], "class 'Sequential' cannot be imported"),
    "hard sigmoid": (lambda k, L: [L.LSTM(2, recurrent_activation="hard_sigmoid")], "recurrent_activation 'hard_sig"),
    "relu LSTM": (lambda k, L: [L.LSTM(2, activation="relu")], "has activation 'relu': only 'tanh'"),
    "groups": (lambda k, L: [L.Conv1D(5, 2, groups=5)], "has groups '5': only 1 can be imported"),
    "channels first": (lambda k, L: [L.GlobalMaxPooling1D(data_format="channels_first")], "data_format 'channels_fi"),
    "half precision": (lambda k, L: [L.Dense(2, dtype="float16")], "computes in float16"),
    "activation": (lambda k, L: [L.Dense(2, activation="exponential")], "activation"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_imported_is_named(name: str, keras: Any, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    refused(keras, *make(keras, keras.layers)).save(tmp_path / "m.keras")
    with pytest.raises(ModelFileError) as raised:
        read_keras(tmp_path / "m.keras")
    assert words in str(raised.value)


@pytest.mark.filterwarnings("ignore")
def test_a_shared_layer_and_two_inputs_are_refused(keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    ids = keras.Input((T,))
    dense = L.Dense(3)
    keras.Model(ids, L.Flatten()(dense(dense(L.Embedding(V, 3)(ids))))).save(tmp_path / "shared.keras")
    with pytest.raises(ModelFileError, match="connected in a way that cannot be imported"):
        read_keras(tmp_path / "shared.keras")
    other = keras.Input((T,))
    keras.Model([ids, other], L.Concatenate()([L.Dense(1)(ids), L.Dense(1)(other)])).save(tmp_path / "two.keras")
    with pytest.raises(ModelFileError, match="several inputs or outputs"):
        read_keras(tmp_path / "two.keras")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda dense: dense["inbound_nodes"][0].update(args=[]), "the layer 'end' reads nothing"),
        (lambda dense: dense["inbound_nodes"][0].update(args=[[]]), "the layer 'end' reads nothing"),
        (lambda dense: dense.update(inbound_nodes=[[]]), "the layer 'end' is called with more than its inputs"),
        (lambda dense: dense.update(inbound_nodes=[]), "the layer 'end' is not called exactly once"),
    ],
)
def test_calls_that_keras_does_not_write_are_refused(change: Any, words: str, keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = keras.Input((4,))
        pooled = L.GlobalMaxPooling1D()(L.Embedding(5, 2)(ids))
        keras.Model(ids, L.Dense(1, activation="sigmoid", name="end")(pooled)).save(tmp_path / "m.keras")

    def changed(config: Any) -> Any:
        change(config["config"]["layers"][-1])
        return config

    rewrite(tmp_path / "m.keras", config=changed)
    with pytest.raises(ModelFileError, match=words):
        read_keras(tmp_path / "m.keras")


@pytest.fixture
def saved(keras: Any, stirred: Any, tmp_path: Path) -> Path:
    """A folder with m.keras and m.h5."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = stirred(notebook("LSTM")(keras, keras.layers, True))
        for suffix in ("keras", "h5"):
            model.save(tmp_path / f"m.{suffix}")
    return tmp_path


def rewrite(
    path: Path, *, config: Callable[[Any], Any] = lambda c: c, weights: Callable[[Any], None] | None = None
) -> None:
    """The archive again with its description or its weights changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(config(json.loads(members["config.json"]))).encode()
    if weights:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            weights(file)
        members["model.weights.h5"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def larger(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = np.zeros((5, 1), np.float32)


def packed(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", data=np.zeros((4, 1), np.float32), compression="gzip")


def linked(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/other.h5", "/x")


def soft(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.SoftLink("/layers/dense/vars/1")


def not_finite(file: Any) -> None:
    file["layers/dense/vars/0"][0, 0] = np.nan


def text(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = np.zeros((4, 1), np.int64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (larger, "has shape (5, 1), the description needs (4, 1)"),
        (packed, "is compressed, in parts, or in another file"),
        (linked, "has no weights at layers/dense/vars/0"),
        (soft, "has no weights at layers/dense/vars/0"),
        (not_finite, "not finite"),
        (text, "expected floating-point numbers"),
    ],
)
def test_weights_that_are_not_what_was_described_are_refused(change: Any, words: str, saved: Path) -> None:
    rewrite(saved / "m.keras", weights=change)
    with pytest.raises(ModelFileError) as raised:
        read_keras(saved / "m.keras")
    assert words in str(raised.value)


def unknown_option(config: Any) -> Any:
    config["config"]["layers"][2]["config"]["surprise"] = {"module": "os", "class_name": "system"}
    return config


def foreign(config: Any) -> Any:
    return {**config, "class_name": "Exploit", "module": "os"}


def huge(config: Any) -> Any:
    config["config"]["layers"][1]["config"]["input_dim"] = 2**40
    return config


def endless(config: Any) -> Any:
    layers = config["config"]["layers"]
    last = layers[-1]
    layers[-1:] = [{**last, "config": {**last["config"], "units": 4, "name": f"d{n}"}} for n in range(201)]
    return config


def code(config: Any) -> Any:
    config["config"]["layers"][3]["config"]["activation"] = {"class_name": "function", "config": "print"}
    return config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (unknown_option, "has the option 'surprise'"),
        (foreign, "the model is a 'Exploit'"),
        (huge, "has input_dim"),
        (code, "activation"),
        (endless, "the model has more than 200 layers"),
        (lambda _: [], "no description"),
        (lambda _: {"class_name": "Sequential", "config": {"layers": [7]}}, "no list of layers"),
        (lambda _: {"class_name": "Functional", "config": []}, "no list of layers"),
    ],
)
def test_a_description_that_is_not_keras_is_refused(change: Any, words: str, saved: Path) -> None:
    rewrite(saved / "m.keras", config=change)
    with pytest.raises(ModelFileError) as raised:
        read_keras(saved / "m.keras")
    assert words in str(raised.value)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_cut_short_or_of_another_kind_is_refused(suffix: str, saved: Path) -> None:
    path = saved / f"m.{suffix}"
    whole = path.read_bytes()
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelFileError):
            read_keras(path)
    path.write_bytes(b"\x80\x04\x95 a pickle")
    with pytest.raises(ModelFileError, match=r"neither a \.keras archive nor an HDF5 file"):
        read_keras(path)
    with pytest.raises(ModelFileError, match="not a plain file"):
        read_keras(saved)


def test_a_wrong_byte_in_its_head_is_refused_or_makes_no_difference(saved: Path) -> None:
    whole = (saved / "m.h5").read_bytes()
    refused = 0
    for place in range(96):
        (saved / "m.h5").write_bytes(whole[:place] + bytes([whole[place] ^ 0x7F]) + whole[place + 1 :])
        try:
            read_keras(saved / "m.h5")
        except ModelFileError:
            refused += 1
    assert refused > 40
