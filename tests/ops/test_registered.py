"""The kernels as torch operators: what `opcheck` asks, the same answers under `torch.compile`, a refusal by message."""

from __future__ import annotations

import copy

import pytest
import torch

from unspool import native, nn
from unspool.ops import registered

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")


def arguments(
    cell: str, *, lengths: bool, tokens: bool = False, mask: bool = False, keep: bool = False, norm: bool = False
) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    gates, memory, extras = {"lstm": (4, True, 0), "gru": (3, False, 0), "peephole": (4, True, 3)}[cell]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    parts = {
        "x": normal(7, gates * 5) if tokens else normal(3, 4, 6),
        "lengths": torch.tensor([4, 0, 2]) if lengths else None,
        "tokens": torch.randint(0, 7, (3, 4), generator=generator) if tokens else None,
        "w_ih": None if tokens else normal(gates * 5, 6),
        "w_hh": normal(gates * 5, 5),
        "b_ih": None if norm else normal(gates * 5),
        "b_hh": None if norm else normal(gates * 5),
        "extra": normal(extras * 5) if extras else None,
        "h": normal(3, 5),
        "c": normal(3, 5) if memory else None,
        "mask": (torch.rand(3, 5, generator=generator) < 0.7) / 0.7 if mask else None,
        "keep": torch.rand(1 + memory, 3, 4, 5, generator=generator) < 0.3 if keep else None,
        "norm": normal(4 * gates * 5) if norm else None,
        "norm_memory": normal(2 * 5) if norm and memory else None,
    }
    return [parts.get(name) for name in registered.NAMES]


@pytest.fixture
def clean(monkeypatch):
    """`saved` begins with zeros: a check compares all of it, and what lies between saved values is never written."""
    room = registered._room
    monkeypatch.setattr(registered, "_room", lambda *given: torch.zeros_like(room(*given)))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(("lengths", "tokens"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("training", [True, False])
def test_opcheck(cell, lengths, tokens, training, clean):
    tensors = arguments(cell, lengths=lengths, tokens=tokens)
    if not training:
        tensors = [None if part is None else part.detach() for part in tensors]
    check(torch.ops.unspool.recurrent.default, (cell, 0.0, True, training, *tensors))


def check(operator, given):
    """All four checks of torch: schema, registration of the gradient, fake tensors, and a compiled graph of symbols."""
    found = torch.library.opcheck(operator, given)
    assert len(found) == 4
    assert set(found.values()) == {"SUCCESS"}


PARTS = [("lstm", {"mask": True, "keep": True}), ("lstm", {"norm": True}), ("gru", {"norm": True, "mask": True})]
PARTS += [("peephole", {"mask": True}), ("peephole", {"keep": True, "norm": True})]


@pytest.mark.parametrize(("cell", "parts"), PARTS, ids=str)
def test_opcheck_with_masks_extra_and_norm(cell, parts, clean):
    tensors = arguments(cell, lengths=True, **parts)
    check(torch.ops.unspool.recurrent.default, (cell, 0.0 if "keep" in parts else 0.2, False, True, *tensors))


@pytest.mark.parametrize(("cell", "parts"), [("gru", {}), ("lstm", {"tokens": True}), *PARTS], ids=str)
def test_opcheck_of_the_gradient(cell, parts, clean):
    tensors = [None if part is None else part.detach() for part in arguments(cell, lengths=True, **parts)]
    y, h, c, saved = torch.ops.unspool.recurrent(cell, 0.0, False, True, *tensors)
    outer = [torch.ones_like(y), torch.ones_like(h), torch.ones_like(c) if c.dim() == 2 else None]
    check(torch.ops.unspool.recurrent_backward.default, (cell, 0.0, False, y, saved, *outer, *tensors))


def test_gradient_of_gradients_is_refused_by_message():
    tensors = arguments("lstm", lengths=True)
    y, *_ = torch.ops.unspool.recurrent("lstm", 0.0, False, True, *tensors)
    (first,) = torch.autograd.grad(y.square().sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="no gradient of gradients"):
        first.sum().backward()


def test_nothing_is_kept_without_training():
    y, *_, saved = torch.ops.unspool.recurrent("lstm", 0.0, False, False, *arguments("lstm", lengths=True))
    assert saved.numel() == 0
    with pytest.raises(RuntimeError, match="training=False"):
        y.sum().backward()


# torch looks at .grad of what crosses a break of its graph, and warns itself of it
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"layer_norm": True}, {"zoneout": 0.3}], ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru", "prototype"])
def test_compiled_graphs_answer_alike(cell, options):
    torch._dynamo.reset()  # it gives up on code that it has compiled for too many cases
    torch.manual_seed(0)
    layer = nn.RECURRENT[cell](6, 5, batch_first=True, **options).eval()
    x, lengths = torch.randn(3, 4, 6), torch.tensor([4, 0, 2])
    calls = []

    def seen(graph, _):
        calls.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    outcomes = []
    for way in (layer, torch.compile(copy.deepcopy(layer), backend=seen)):
        given = x.clone().requires_grad_()
        y, _ = way(given, lengths=lengths)
        gradients = torch.autograd.grad(y.square().sum(), [given, *way.parameters()])
        outcomes.append([y.detach(), *gradients])
    if cell != "prototype" or "layer_norm" not in options:
        assert "unspool.recurrent.default" in calls or "unspool.recurrent" in calls
    for found, wanted in zip(outcomes[1], outcomes[0], strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_compiled_layers_over_tokens_and_regions_answer_alike():
    torch.manual_seed(0)
    embedding, lengths = nn.Embedding(11, 5), torch.tensor([9, 0, 4])
    ids = torch.randint(1, 11, (3, 9)).masked_fill(torch.arange(9) >= lengths[:, None], 0)
    recurrent, regions = nn.LSTM(5, 7, batch_first=True), nn.TextConv(5, 8, (2, 3))
    for layer, run in (
        (recurrent, lambda layer: layer.over_tokens(ids, embedding, lengths=lengths)[0]),
        (regions, lambda layer: layer(embedding(ids), lengths)),
    ):
        torch._dynamo.reset()
        leaves, found = [embedding.weight, *layer.parameters()], []
        for way in (run, torch.compile(run, backend="eager")):
            y = way(layer)
            gradients = torch.autograd.grad(y.square().sum(), leaves)
            found.append([y.detach(), *(part.to_dense() for part in gradients)])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
