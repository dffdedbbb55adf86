"""Every model name, held to the checks that all share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unspool import config
from unspool.config import NETWORKS, Settings
from unspool.errors import SettingError
from unspool.models.classifier import Batch, Classifier
from unspool.models.recipes import recipe
from unspool.nn.pooling import POOLINGS
from unspool.tasks import start as starts
from unspool.tasks.classify import fitting

SMALL: dict[str, Any] = {
    "embedding": 6,
    "hidden": 8,
    "filters": 16,
    "layers": 1,
    "region_sizes": (1, 2, 3),
    "pool_size": 2,
}
LENGTHS = torch.tensor([7, 1, 4, 0])


def make(model: str, **given: Any) -> Classifier:
    sizes = {name: value for name, value in {**SMALL, **given}.items() if config.uses(model, name)}
    if model == "stacked-cnn" and sizes.get("layers") == 1:
        del sizes["pool_size"]  # which has an effect between stages only
    torch.manual_seed(1)
    return Classifier(config.resolve(recipe(model), {"model": model, **sizes}), 20, 3)


def texts() -> torch.Tensor:
    ids = torch.randint(2, 20, (4, 7), generator=torch.Generator().manual_seed(2))
    return ids.masked_fill(torch.arange(7) >= LENGTHS[:, None], 0)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_text_alone_unpadded_is_the_text_in_a_batch(model: str) -> None:
    network = make(model).eval()
    with torch.inference_mode():
        whole = network(texts(), LENGTHS).log_softmax(1)
        wider = network(torch.cat([texts(), texts().new_full((4, 9), 5)], 1), LENGTHS).log_softmax(1)
        torch.testing.assert_close(wider, whole, atol=1e-6, rtol=0)
        for row, length in enumerate(LENGTHS.tolist()):
            alone = network(texts()[row : row + 1, :length], LENGTHS[row : row + 1]).log_softmax(1)
            torch.testing.assert_close(alone[0], whole[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", NETWORKS)
def test_gradients_reach_every_parameter(model: str) -> None:
    network = make(model)
    ids = texts().repeat(1, 3).clamp(min=2)  # long enough that the greatest of no unit stands at the first step read
    network.loss(Batch(ids, LENGTHS + 14, torch.tensor([0, 1, 2, 0]))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("model", NETWORKS)
def test_ids_beyond_a_length_change_nothing(model: str) -> None:
    network = make(model)
    garbage = texts().masked_fill(torch.arange(7) >= LENGTHS[:, None], 13)
    labels = torch.tensor([0, 1, 2, 0])
    gradients = []
    for ids in (texts(), garbage):
        network.zero_grad()
        torch.manual_seed(3)
        network.loss(Batch(ids, LENGTHS, labels)).backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for clean, dirty in zip(*gradients, strict=True):
        torch.testing.assert_close(dirty, clean, atol=1e-7, rtol=1e-6)
    network.eval()
    torch.testing.assert_close(network(garbage, LENGTHS), network(texts(), LENGTHS), atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_state_dict_gives_the_same_network_again(model: str) -> None:
    network = make(model).eval()
    other = make(model).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert not torch.equal(other(texts(), LENGTHS), network(texts(), LENGTHS))
    other.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(other(texts(), LENGTHS), network(texts(), LENGTHS))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("model", ["gru", "cnn", "stacked-cnn", "dilated-cnn", "cnn-mingru"])
def test_every_pooling_works_or_is_refused(model: str, pooling: str) -> None:
    if model in ("cnn", "stacked-cnn") and pooling not in ("max", "mean", "mean+variance"):
        with pytest.raises(SettingError, match="pooling"):
            make(model, pooling=pooling)
        return
    network = make(model, pooling=pooling).eval()
    answers = network(texts(), LENGTHS)
    assert torch.isfinite(answers).all()
    for row, length in enumerate(LENGTHS.tolist()):
        alone = network(texts()[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], answers[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("region_sizes", [(1,), (5,)])
def test_an_empty_text_passes_any_region(region_sizes: tuple[int, ...]) -> None:
    network = make("cnn", region_sizes=region_sizes).eval()
    assert torch.isfinite(network(torch.zeros(1, 0, dtype=torch.int64), torch.tensor([0]))).all()


# Settings of the network: another value for each, and what else must be set for it to matter.
OTHER: dict[str, Any] = {
    "embedding": 7, "hidden": 9, "layers": 2, "bidirectional": False, "pooling": "mean+variance",
    "reset_after": False, "kernel_size": 7, "pool_size": 3, "region_sizes": (2, 4), "filters": 12, "dropout": 0.2,
    "embedding_dropout": 0.7, "word_dropout": 0.6, "recurrent_dropout": 0.6, "zoneout": 0.3, "layer_norm": True,
    "residual": True, "label_smoothing": 0.3, "max_norm": 0.1,
}  # fmt: skip
BASE: dict[str, dict[str, Any]] = {"pool_size": {"layers": 2}, "residual": {"layers": 2}}


def loss_of(model: str, **given: Any) -> float:
    """The loss of one training step after another: everything that dropout, gates and limits do is in it."""
    network = make(model, **given)
    batch = Batch(texts().repeat(1, 3).clamp(min=2), LENGTHS + 14, torch.tensor([0, 1, 2, 0]))
    torch.manual_seed(4)
    network.loss(batch)
    network.after_step()
    return float(network.loss(batch).detach())


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("model", NETWORKS)
def test_a_setting_of_the_network_has_an_effect_or_is_refused(model: str, name: str) -> None:
    if not config.uses(model, name):
        with pytest.raises(SettingError, match=f"{config.flag(name)} has no effect on the model '{model}'"):
            config.resolve(recipe(model), {"model": model, name: OTHER[name]})
        return
    base = BASE.get(name, {})
    assert loss_of(model, **base) == loss_of(model, **base)
    assert loss_of(model, **base) != loss_of(model, **base, **{name: OTHER[name]})


# Settings of the data and of the training: another value for each.
FILMS = [f"{word} film number {n % 6} {'on ' * (n % 4)}end" for n in range(12) for word in ("Fine", "dull")]
FLOW: dict[str, Any] = {
    "level": "char", "lowercase": False, "min_count": 3, "max_vocabulary": 6, "max_length": 3, "keep": "tail",
    "vectors_mode": "static", "optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 5.0, "warmup": 0.8,
    "clip": 1e-5, "average": 0.5,
    "batch_size": 5, "epochs": 3, "patience": 1, "minutes": 1e-6, "validation": 0.3, "seed": 9,
}  # fmt: skip


def trained(folder: Path, **given: Any) -> list[bytes]:
    vectors = folder / "vectors.txt"
    vectors.write_text("".join(f"{word} {n} 0.5 1\n" for n, word in enumerate(("fine", "dull", "film", "end"))))
    settings = {"model": "cnn", "filters": 4, "epochs": 6, "level": "word", "max_length": 4, "batch_size": 8, **given}
    with_vectors = {"vectors": vectors} if settings["level"] == "word" else {}
    prepared = fitting.prepare(FILMS, ["pos", "neg"] * 12, settings, **with_vectors)
    minutes = prepared.settings.minutes
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    network = fitting.fit(prepared, deadline=deadline).predictor.network
    assert isinstance(network, Classifier)
    return [value.numpy().tobytes() for value in network.state_dict().values()]


@pytest.mark.parametrize("name", [name for name in FLOW if name != "patience"])
def test_a_setting_of_the_training_has_an_effect(name: str, tmp_path: Path) -> None:
    assert trained(tmp_path, **{name: FLOW[name]}) != trained(tmp_path)


def test_patience_ends_a_training_that_gets_no_better() -> None:
    given = {"model": "cnn", "filters": 4, "embedding": 4, "epochs": 30, "learning_rate": 1e-9, "level": "word"}
    epochs = [
        fitting.fit(fitting.prepare(FILMS, ["pos", "neg"] * 12, {**given, "patience": patience})).epochs
        for patience in (1, 30)
    ]
    assert epochs[0] < epochs[1] == 30


@pytest.mark.parametrize("model", ["lstm", "cnn-gru"])
def test_residual_with_one_layer_is_refused(model: str) -> None:
    with pytest.raises(SettingError, match="--residual has no effect with one layer: give --layers 2 or more"):
        make(model, residual=True)


def test_the_tables_name_every_setting() -> None:
    own = set(config.settings_of("classify")) - set(starts.FINE_TUNING)  # without --from they are refused
    own -= {"blend"}  # changes no weight: tests/predictors/test_classifier.py
    assert {"model", *OTHER, *FLOW} == own


def test_max_norm_holds_after_a_step() -> None:
    network = make("cnn", max_norm=0.1)
    network.after_step()
    assert float(network.output.weight.detach().norm(dim=1).max()) <= 0.1 + 1e-6


def test_vectors_are_used_as_their_mode_says() -> None:
    settings = config.resolve(recipe("cnn"), {"model": "cnn", "embedding": 4, "filters": 3})
    vectors = np.arange(40, dtype=np.float32).reshape(10, 4)
    trained = {
        mode: [name for name, _ in Classifier(settings, 10, 2, vectors=vectors, vectors_mode=mode).named_parameters()]
        for mode in ("static", "nonstatic", "multichannel")
    }
    assert "embedding.weight" not in trained["static"]
    assert "embedding.weight" in trained["nonstatic"]
    network = Classifier(settings, 10, 2, vectors=vectors, vectors_mode="multichannel")
    assert network.embedding.out_features == 8


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"there is no setting 'hiden' \(did you mean 'hidden'"):
        config.resolve({}, {"hiden": 3})
    with pytest.raises(SettingError, match=r"--dropout is '1\.5'"):
        config.resolve({}, {"dropout": 1.5})
    assert Settings.model_validate({"region_sizes": "3,4"}).region_sizes == (3, 4)
