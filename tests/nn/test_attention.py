"""Attention against a computation with plain loops, and what padding and emptiness do to it."""

from __future__ import annotations

import math

import pytest
import torch

from unspool import nn
from unspool.errors import SettingError
from unspool.nn.attention import ATTENTIONS

LENGTHS = torch.tensor([4, 1, 0])


def make(score: str) -> nn.Attention:
    torch.manual_seed(5)
    return nn.Attention(score, 6, 6).double()


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    query = torch.randn(3, 2, 6, generator=generator, dtype=torch.float64)
    return query, torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)


def by_hand(layer: nn.Attention, q: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scores, layer = [], layer.requires_grad_(False)
    for m in memory:
        if layer.score == "dot":
            scores.append(float((q * m).sum()))
        elif layer.score == "general":
            scores.append(float(q @ layer.key.weight @ m))
        else:
            inner = layer.query.weight @ q + layer.query.bias + layer.key.weight @ m
            scores.append(sum(float(v) * math.tanh(float(u)) for v, u in zip(layer.vector, inner, strict=True)))
    shares = [math.exp(score) for score in scores]
    weights = torch.tensor([share / sum(shares) for share in shares], dtype=torch.float64)
    return sum((w * m for w, m in zip(weights, memory, strict=True)), torch.zeros_like(memory[0])), weights


@pytest.mark.parametrize("score", ATTENTIONS)
def test_values_are_those_of_the_equations(score: str) -> None:
    layer, (query, memory) = make(score), inputs()
    context, weights = layer(query, memory, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        for step in range(2):
            if length:
                expected, shares = by_hand(layer, query[row, step], memory[row, :length])
                torch.testing.assert_close(context[row, step], expected, atol=1e-12, rtol=0)
                torch.testing.assert_close(weights[row, step, :length], shares, atol=1e-12, rtol=0)
            assert torch.equal(weights[row, step, length:], torch.zeros(4 - length, dtype=torch.float64))
    assert torch.equal(context[2], torch.zeros(2, 6, dtype=torch.float64))


@pytest.mark.parametrize("score", ATTENTIONS)
@pytest.mark.parametrize("filling", [0.0, 1e30, math.nan])
def test_what_the_padding_holds_changes_no_bit(score: str, filling: float) -> None:
    layer, (query, memory) = make(score), inputs()

    def run(padding: float) -> list[torch.Tensor]:
        valid = (torch.arange(4) < LENGTHS[:, None])[..., None]
        held = torch.where(valid, memory, padding).requires_grad_()
        context, weights = layer(query, held, LENGTHS)
        parameters = list(layer.parameters())
        return [context, weights, *torch.autograd.grad(context.square().sum(), [held, *parameters])]

    for got, want in zip(run(filling), run(7.0), strict=True):
        assert torch.equal(got, want)


def test_gradients_agree_with_differences() -> None:
    for score in ATTENTIONS:
        layer, (query, memory) = make(score), inputs()
        arguments = (query.requires_grad_(), memory.requires_grad_())
        assert torch.autograd.gradcheck(lambda q, m, layer=layer: layer(q, m, LENGTHS)[0], arguments)


def test_next_to_no_weight_is_none() -> None:
    layer = nn.Attention("dot", 1, 1)
    _, weights = layer(torch.ones(1, 1, 1), torch.tensor([[[100.0], [0.0]]]))
    assert weights.tolist() == [[[1.0, 0.0]]]  # e^-100 would be a denormal in float32


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(SettingError, match="dot needs queries as wide as the memory"):
        nn.Attention("dot", 6, 5)
    with pytest.raises(SettingError, match="hidden has no effect"):
        nn.Attention("general", 6, 5, 4)
    with pytest.raises(SettingError, match="must be one of additive, dot, general"):
        nn.Attention("genral", 6, 5)
