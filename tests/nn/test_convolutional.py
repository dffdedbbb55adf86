"""What each convolutional layer is beyond the common table of test_length_aware.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unspool import native
from unspool.errors import SettingError
from unspool.nn import ConvPool, DilatedConv, Embedding, StackedConv, TextConv, max_norm_


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def to_torch(weight: Tensor, bias: Tensor) -> nn.Conv1d:
    """torch's own convolution with the same numbers."""
    layer = nn.Conv1d(weight.shape[2], weight.shape[0], weight.shape[1], dtype=weight.dtype)
    layer.load_state_dict({"weight": weight.detach().transpose(1, 2).contiguous(), "bias": bias.detach()})
    return layer


def test_regions_stand_side_by_side_in_the_order_given() -> None:
    layer, x = TextConv(6, 5, [4, 1, 4], "tanh"), draw(3, 9, 6)
    parts = []
    for i, size in enumerate((4, 1, 4)):
        weight, bias = layer.get_parameter(f"weight_r{i}"), layer.get_parameter(f"bias_r{i}")
        assert weight.shape == (5, size, 6)
        parts.append(to_torch(weight, bias)(x.transpose(1, 2)).tanh().amax(2))
    torch.testing.assert_close(layer(x), torch.cat(parts, 1), atol=1e-6, rtol=0)
    assert layer.out_features == 15
    assert list(layer.state_dict()) == ["weight_r0", "bias_r0", "weight_r1", "bias_r1", "weight_r2", "bias_r2"]
    assert TextConv(6, 5, (2, 3), pooling="mean+variance").out_features == 20


@pytest.mark.parametrize(("activation", "bound"), [("relu", math.sqrt(6 / 400)), ("tanh", 5 / 3 * math.sqrt(6 / 800))])
def test_initialisation_is_he_for_relu_and_glorot_for_tanh(activation: str, bound: float) -> None:
    layer = TextConv(100, 100, (4,), activation)
    weight = layer.get_parameter("weight_r0").detach()
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not layer.get_parameter("bias_r0").any()


@pytest.mark.parametrize("mode", ["rand", "static", "nonstatic", "multichannel"])
def test_the_network_of_kim_2014_learns(mode: str) -> None:
    torch.manual_seed(0)
    vectors = None if mode == "rand" else torch.randn(50, 8)
    embedding = Embedding(50, 8, mode, vectors)
    convolution = TextConv(embedding.out_features, 100, (3, 4, 5))
    output = nn.Linear(convolution.out_features, 2)
    dropout = nn.Dropout(0.5)
    ids = torch.randint(2, 50, (64, 12))
    labels = (ids == 7).any(1).long()
    ids[:32, 3] = 7
    labels[:32] = 1
    lengths = torch.full((64,), 12)
    parameters = [*embedding.parameters(), *convolution.parameters(), *output.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=0.01)
    losses = []
    for _ in range(25):
        logits = output(dropout(convolution(embedding(ids), lengths)))
        loss = nn.functional.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        max_norm_(output.weight, 3.0)
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.2 * losses[0]
    assert (output.weight.norm(dim=1) <= 3 + 1e-6).all()


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 14), min_size=1, max_size=4),
    kernel=st.integers(1, 5),
    pool=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_conv_pool_is_the_loop(lengths: list[int], kernel: int, pool: int, seed: int) -> None:
    layer, x = ConvPool(3, 4, kernel, pool).double(), draw(len(lengths), max(lengths), 3, seed=seed).double()
    nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(seed))
    found, counts = layer(x, torch.tensor(lengths))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    for b, length in enumerate(lengths):
        windows = max(length - kernel + 1, 1) if length else 0
        row = np.zeros((max(length, kernel), 3))
        row[:length] = x[b, :length].numpy()
        answers = [np.maximum((weight * row[t : t + kernel]).sum((1, 2)) + bias, 0) for t in range(windows)]
        pooled = [np.max(answers[t : t + pool], axis=0) for t in range(0, windows, pool)]
        assert counts[b] == len(pooled) == math.ceil(windows / pool)
        np.testing.assert_allclose(found[b, : len(pooled)].detach().numpy(), np.reshape(pooled, (-1, 4)), atol=1e-12)
        assert not found[b, len(pooled) :].any()


def lecture(layer: StackedConv, x: Tensor) -> Tensor:
    """conv(128, 5) + pool(5) three times, then the maximum of what is left, in torch's own layers."""
    x = x.transpose(1, 2)
    for part in layer.stages:
        x = nn.functional.max_pool1d(to_torch(part.weight, part.bias)(x).relu(), 5, ceil_mode=True)
    last = to_torch(layer.last.get_parameter("weight_r0"), layer.last.get_parameter("bias_r0"))
    return nn.functional.max_pool1d(last(x).relu(), 5, ceil_mode=True).amax(2)


def test_stacked_conv_is_the_lectures_network() -> None:
    layer, x = StackedConv(20).double(), draw(2, 500, 20).double()
    assert layer.out_features == 128
    torch.testing.assert_close(layer(x), lecture(layer, x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 6, 30])
@pytest.mark.parametrize("pooling", ["max", "mean", "mean+variance"])
def test_stacked_conv_takes_a_text_of_any_length(steps: int, pooling: str) -> None:
    layer = StackedConv(3, 64, pooling=pooling)
    answer = layer(draw(1, steps, 3) + 1)
    assert answer.shape == (1, layer.out_features)
    assert answer[:, :64].any()


def test_stacked_conv_drops_between_stages_in_training_only() -> None:
    layer, x = StackedConv(3, 16, 3, 2, dropout=0.5), draw(2, 40, 3)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.parametrize(("kernel", "blocks", "causal"), [(3, 1, False), (3, 3, False), (5, 2, False), (2, 4, True)])
def test_the_receptive_field_is_what_the_gradient_sees(kernel: int, blocks: int, causal: bool) -> None:
    torch.manual_seed(0)
    layer = DilatedConv(4, 32, kernel, blocks, causal=causal).eval()
    steps, middle = 2 * layer.receptive_field + 1, layer.receptive_field
    x = draw(1, steps, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[0, middle].square().sum(), x)
    seen = gradient[0].abs().sum(1).nonzero().squeeze(1).tolist()
    assert len(range(seen[0], seen[-1] + 1)) == layer.receptive_field == 1 + (kernel - 1) * (2**blocks - 1)
    assert seen[-1] == middle if causal else seen[-1] - middle == middle - seen[0]


def test_dilated_conv_is_its_equation() -> None:
    torch.manual_seed(0)
    layer, x = DilatedConv(3, 5, 3, 2).eval(), draw(2, 7, 3)
    state = x @ layer.enter.weight.T + layer.enter.bias
    for i, block in enumerate(layer.blocks):
        normed = nn.functional.layer_norm(state, (5,), block.norm.weight, block.norm.bias)
        conv = nn.functional.conv1d(
            normed.transpose(1, 2), block.weight.transpose(1, 2), block.bias, padding="same", dilation=2**i
        )
        state = state + conv.relu().transpose(1, 2) @ block.project.weight.T + block.project.bias
    wanted = nn.functional.layer_norm(state, (5,), layer.norm.weight, layer.norm.bias)
    torch.testing.assert_close(layer(x), wanted, atol=2e-6, rtol=0)


def test_dilated_conv_of_equal_widths_has_no_projection_and_drops_in_training() -> None:
    layer, x = DilatedConv(4, 4, dropout=0.5), draw(2, 9, 4)
    assert not any(name.startswith("enter") for name, _ in layer.named_parameters())
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


def test_settings_that_cannot_be_are_named() -> None:
    cases: list[tuple[str, type[nn.Module], tuple, dict]] = [
        (r"^in_channels must be a whole number of at least 1, not 0$", TextConv, (0, 5), {}),
        (r"^out_channels must be a whole number of at least 1, not 2.5$", TextConv, (3, 2.5), {}),
        (r"^out_channels must be a whole number of at least 1, not True$", ConvPool, (3, True), {}),
        (r"^each of region_sizes must be a whole number of at least 1, not 0$", TextConv, (3, 5, (3, 0)), {}),
        (r"^region_sizes must be a list of at least one whole number, such as \(3, 4, 5\)$", TextConv, (3, 5, ()), {}),
        (r"^region_sizes must be a list of at least one whole number", TextConv, (3, 5, "345"), {}),
        (r"^region_sizes must be a list of at least one whole number", TextConv, (3, 5, 3), {}),
        (r"^activation must be one of relu, tanh, not 'gelu'", TextConv, (3, 5), {"activation": "gelu"}),
        (
            r"^pooling must be one of max, mean, mean\+variance, k-max, not 'last'",
            TextConv,
            (3, 5),
            {"pooling": "last"},
        ),
        (r"^pooling must be one of max, mean, mean\+variance, k-max, not None", StackedConv, (3, 5), {"pooling": None}),
        (r'^k goes with pooling "k-max": give both or neither$', TextConv, (3, 5), {"pooling": "k-max"}),
        (r'^k goes with pooling "k-max": give both or neither$', TextConv, (3, 5), {"k": 2}),
        (r"^layers must be a whole number of at least 1, not 0$", StackedConv, (3, 5), {"layers": 0}),
        (r"^pool_size must be a whole number of at least 1, not -1$", ConvPool, (3, 5, 5, -1), {}),
        (r"^dropout must be a number from 0 up to, but not including, 1, not 1$", DilatedConv, (3, 5), {"dropout": 1}),
        (r"^blocks must be a whole number of at least 1, not 0$", DilatedConv, (3, 5), {"blocks": 0}),
        (r"^kernel_size must be odd unless causal=True, to have a middle step, not 4$", DilatedConv, (3, 5, 4), {}),
    ]
    for words, kind, positional, named in cases:
        with pytest.raises(SettingError, match=words):
            kind(*positional, **named)


def test_k_max_of_one_is_max_and_of_more_holds_it() -> None:
    x, lengths = torch.randn(4, 9, 3), torch.tensor([9, 4, 1, 0])
    layer = TextConv(3, 5, (2, 3), pooling="k-max", k=3)
    greatest = TextConv(3, 5, (2, 3))
    greatest.load_state_dict(layer.state_dict())
    kept = layer(x, lengths).view(4, 2, 3, 5)  # rows, region sizes, places, filters
    assert layer.out_features == 30
    torch.testing.assert_close(kept.amax(2).flatten(1), greatest(x, lengths))
    assert not kept[2, :, 1:].any()  # one window: the two other places are empty
    assert not kept[3].any()


@pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")
def test_a_gradient_of_gradients_in_float32_is_refused_by_message() -> None:
    layer, x = TextConv(4, 3, (2, 3)), draw(2, 6, 4).requires_grad_()
    for loss in (layer(x).sum(), layer(x).square().sum()):
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        with pytest.raises(RuntimeError, match="has no gradient of gradients in float32: use float64"):
            (first.square().sum() + layer(x).sum()).backward()
    double, x = layer.double(), x.detach().double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: double(x), x)


def test_layers_print_their_settings() -> None:
    text = "TextConv(6, 5, region_sizes=(2, 3), activation='relu', pooling='max')"
    assert repr(TextConv(6, 5, (2, 3))) == text
    assert repr(ConvPool(6, 5, 3, 2)) == "ConvPool(6, 5, kernel_size=3, pool_size=2)"
