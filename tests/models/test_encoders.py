"""The region network reads ids and vectors alike."""

from __future__ import annotations

import torch

from unspool.models.classifier import Classifier
from unspool.models.encoders import RegionEncoder
from unspool.models.recipes import settle


def test_a_region_network_widens_ids_as_it_widens_their_vectors() -> None:
    torch.manual_seed(0)
    settings = settle({"model": "cnn", "embedding": 6, "filters": 5, "dropout": 0.0})
    network = Classifier(settings, 20, 3).eval()
    assert isinstance(network.encoder, RegionEncoder)
    ids, lengths = torch.randint(1, 20, (6, 9)), torch.tensor([9, 5, 1, 0, 8, 2])
    answers, gradients = [], []
    for features in (network.features(ids, lengths), network.encoder(network.embedding(ids), lengths)):
        answers.append(features)
        gradients.append(torch.autograd.grad(features.square().sum(), network.embedding.weight)[0])
    assert torch.equal(*answers)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-6)
    alone = torch.cat([network.features(ids[i : i + 1, :n], lengths[i : i + 1]) for i, n in enumerate(lengths)])
    torch.testing.assert_close(alone, answers[0], atol=1e-6, rtol=1e-6)
