"""Counts against what torch counts and keeps, receptive fields against gradients, times against planted costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from unspool import config, native
from unspool.config import NETWORKS, Settings
from unspool.errors import SettingError
from unspool.inspection.complexity import layers, report, timing
from unspool.inspection.complexity.formula import Formula
from unspool.inspection.complexity.networks import attention_network, network, receptive_field
from unspool.models.classifier import Batch, Classifier
from unspool.models.recipes import recipe

LENGTH, KINDS, LABELS = 41, 30, 3


def settings_of(model: str, **given: Any) -> Settings:
    sizes = {"embedding": 12, "hidden": 16, "filters": 8, **given}
    fitting = {name: value for name, value in sizes.items() if config.uses(model, name)}
    return config.resolve(recipe(model), {"model": model, **fitting})


def test_formulas_are_polynomials() -> None:
    t, h = Formula.of("T"), Formula.of("H")
    found = (2 * t + 3) * (h * h + t) + 1
    assert str(found) == "2·H²·T + 3·H² + 2·T² + 3·T + 1"
    assert found(T=5, H=7) == (2 * 5 + 3) * (49 + 5) + 1
    assert str(Formula({})) == "0"
    with pytest.raises(KeyError):
        found(T=5)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("given", [{}, {"layers": 3, "pooling": "attention"}, {"pooling": "mean+variance"}])
def test_parameters_and_products_are_those_of_the_network(model: str, given: dict[str, Any]) -> None:
    if model in config.POOLED_INSIDE and given.get("pooling") != "mean+variance":
        given = {**given, "pooling": "mean"}  # the greatest window is computed twice, to have its gradient
    settings = settings_of(model, bidirectional=model != "gru", **given)
    counted = network(settings, LENGTH, kinds=KINDS, labels=LABELS)
    net = Classifier(settings, KINDS, LABELS).double().eval()
    assert counted.parameters() == sum(parameter.numel() for parameter in net.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.full((1, LENGTH), 2), torch.tensor([LENGTH]))
    assert 2 * counted.multiply_adds() == counter.get_total_flops()


def test_parameters_of_layer_normalisation_and_peepholes() -> None:
    for model in ("lstm", "gru", "peephole", "mingru"):
        settings = settings_of(model, layer_norm=True)
        net = Classifier(settings, KINDS, LABELS)
        counted = network(settings, LENGTH, kinds=KINDS, labels=LABELS)
        assert counted.parameters() == sum(parameter.numel() for parameter in net.parameters())


def test_attention_is_counted_as_it_is_timed() -> None:
    settings = settings_of("lstm")
    counted = attention_network(settings, LENGTH, kinds=KINDS, labels=LABELS)
    layer = timing.SelfAttention(settings.embedding, 32).double()
    assert counted.encoder[0].value(counted.encoder[0].parameters) == sum(p.numel() for p in layer.parameters())
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)  # torch counts no other way on a CPU
    with plain, FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.ones(1, LENGTH, settings.embedding, dtype=torch.double), torch.tensor([LENGTH]))
    assert 2 * counted.encoder[0].value(counted.encoder[0].products) == counter.get_total_flops()


def test_attention_ignores_padding() -> None:
    torch.manual_seed(0)
    layer = timing.SelfAttention(4, 6)
    x = torch.randn(2, 5, 4)
    alone = layer(x[1:, :3], torch.tensor([3]))
    torch.testing.assert_close(layer(x, torch.tensor([5, 3]))[1:], alone, rtol=0, atol=1e-6)


@pytest.mark.skipif(native.core() is None, reason="counts what the compiled core keeps")
@pytest.mark.parametrize("model", ["rnn", "gru", "lstm", "peephole", "prototype", "normalised", "pseudo", "cnn"])
def test_kept_values_are_those_that_wait_for_backward(model: str) -> None:
    steps = 300
    settings = settings_of(model, dropout=0.0, embedding=64)
    counted = network(settings, steps, kinds=KINDS, labels=LABELS)
    net = Classifier(settings.model_copy(update={"embedding_dropout": 0.0, "word_dropout": 0.0}), KINDS, LABELS)
    kept = _bytes_kept(net, Batch(torch.full((1, steps), 2), torch.tensor([steps]), torch.tensor([1])))
    assert counted.kept_bytes() == pytest.approx(kept, rel=0.08)


def _bytes_kept(net: Classifier, batch: Batch) -> int:
    """Bytes of all storages that autograd, or the compiled layers' own memory, hold after the forward pass."""
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    storages: dict[int, int] = {}
    held = []  # a storage that is freed could give its place to another

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        held.append(tensor)
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = net.loss(batch)
    found, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [before for before, _ in node.next_functions]
    compiled = [saved for node in found if isinstance(saved := getattr(node, "saved", None), torch.Tensor)]
    return sum(storages.values()) + sum(4 * saved.numel() for saved in compiled)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("cnn", {"region_sizes": (2, 5)}),
        ("stacked-cnn", {"layers": 3, "kernel_size": 3, "pool_size": 2}),
        ("dilated-cnn", {"layers": 3, "kernel_size": 3}),
    ],
)
def test_receptive_field_is_what_the_gradient_reaches(model: str, given: dict[str, Any]) -> None:
    counted = network(settings_of(model, **given), 200, kinds=KINDS, labels=LABELS)
    expected = {"cnn": 5, "stacked-cnn": _reach_of_stack(3, 2, 3), "dilated-cnn": 1 + 2 * (1 + 2 + 4)}[model]
    assert counted.receptive_field() == expected
    assert network(settings_of("gru"), 200, kinds=KINDS, labels=LABELS).receptive_field() is None


def _reach_of_stack(kernel: int, pool: int, stages: int) -> int:
    """Steps that the middle answer of plain convolutions and poolings has a gradient from."""
    x = torch.rand(1, 1, 200, dtype=torch.double).requires_grad_()
    y = x
    for stage in range(stages):
        y = torch.nn.functional.conv1d(y, torch.ones(1, 1, kernel, dtype=torch.double))
        if stage < stages - 1:
            y = torch.nn.functional.avg_pool1d(y, pool, ceil_mode=True)
    (gradient,) = torch.autograd.grad(y[0, 0, y.shape[2] // 2], x)
    return int((gradient != 0).sum())


def test_field_of_regions_side_by_side_is_the_widest() -> None:
    first = layers.pooled_windows("c", 4, 4, 3, 2, 50)
    regions = [layers.region(str(size), 4, 4, size, 20, pooling="max") for size in (2, 4)]
    assert receptive_field([first, *regions]) == (3 + 2 - 1) + (4 - 1) * 2


def test_depth_counts_steps_once_for_regions_and_each_for_recurrence() -> None:
    def depth(model: str, length: int) -> int:
        return network(settings_of(model), length, kinds=KINDS, labels=LABELS).depth()

    assert depth("cnn", 10) == depth("cnn", 1000) == 4  # embedding, windows, greatest, output
    assert depth("lstm", 1000) - depth("lstm", 10) == 990


def test_times_are_fitted_to_the_costs_behind_them() -> None:
    """Costs are planted, one shape is disturbed: the fit finds the costs and not the disturbance."""
    random = np.random.default_rng(0)
    sizes = random.uniform(1, 100, (12, 3))
    costs = np.array([2e-6, 0.0, 5e-5])
    seconds = sizes @ costs
    seconds[4] *= 3
    np.testing.assert_allclose(timing._fit(sizes, seconds), costs, rtol=1e-3, atol=1e-9)


def test_page_shows_all_models_and_stands_alone() -> None:
    studies = []
    for model in ("rnn", "cnn"):
        settings = settings_of(model)
        studies.append(report.Study(settings, network(settings, LENGTH, kinds=KINDS, labels=LABELS)))
    page = report.page(studies, 8, "unspool complexity '<script>alert(1)</script>'").decode()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "rnn, layer by layer" in page and "cnn, layer by layer" in page and page.count("<svg") == 3


def test_unknown_model_is_refused() -> None:
    with pytest.raises(SettingError, match="no model 'lstn'"):
        settings_of("lstn")
