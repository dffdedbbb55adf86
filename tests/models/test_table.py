"""Every model name, held to the checks that all share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unspool import config
from unspool.config import NETWORKS, Settings
from unspool.models.classifier import Batch, Classifier
from unspool.models.recipes import recipe

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


OTHER: dict[str, Any] = {
    "hidden": 9, "layers": 2, "bidirectional": False, "pooling": "mean", "reset_after": False, "kernel_size": 7,
    "pool_size": 3, "region_sizes": (2, 4), "filters": 12, "layer_norm": True, "zoneout": 0.3,
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("model", ["gru", "qrnn", "cnn", "stacked-cnn", "dilated-cnn", "cnn-gru"])
def test_a_setting_has_an_effect_or_is_refused(model: str, name: str) -> None:
    if not config.uses(model, name):
        with pytest.raises(config.SettingError, match=f"{config.flag(name)} has no effect on the model '{model}'"):
            config.resolve(recipe(model), {"model": model, name: OTHER[name]})
        return
    base: dict[str, Any] = {"layers": 2} if name == "pool_size" and model == "stacked-cnn" else {}
    plain, changed = make(model, **base).eval(), make(model, **base, **{name: OTHER[name]}).eval()
    ids, lengths = texts().repeat(1, 3).clamp(min=2), LENGTHS + 14
    assert not torch.equal(plain(ids, lengths), changed(ids, lengths))


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
    with pytest.raises(config.SettingError, match=r"there is no setting 'hiden' \(did you mean 'hidden'"):
        config.resolve({}, {"hiden": 3})
    with pytest.raises(config.SettingError, match=r"--dropout is '1\.5'"):
        config.resolve({}, {"dropout": 1.5})
    assert Settings.model_validate({"region_sizes": "3,4"}).region_sizes == (3, 4)
