"""The kernels as torch operators: what `opcheck` asks, the same answers under `torch.compile`, a refusal by message."""

from __future__ import annotations

import copy

import pytest
import torch

from unspool import native, nn
from unspool.ops import registered

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")


def arguments(cell: str, *, lengths: bool, tokens: bool = False) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    gates, memory = {"lstm": (4, True), "gru": (3, False)}[cell]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    parts = {
        "x": normal(7, gates * 5) if tokens else normal(3, 4, 6),
        "lengths": torch.tensor([4, 0, 2]) if lengths else None,
        "tokens": torch.randint(0, 7, (3, 4), generator=generator) if tokens else None,
        "w_ih": None if tokens else normal(gates * 5, 6),
        "w_hh": normal(gates * 5, 5),
        "b_ih": normal(gates * 5),
        "b_hh": normal(gates * 5),
        "h": normal(3, 5),
        "c": normal(3, 5) if memory else None,
    }
    return [parts.get(name) for name in registered.NAMES]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(("lengths", "tokens"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("training", [True, False])
def test_opcheck(cell, lengths, tokens, training):
    tensors = arguments(cell, lengths=lengths, tokens=tokens)
    if not training:
        tensors = [None if part is None else part.detach() for part in tensors]
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    given = (cell, 0.0, True, training, *tensors)
    found = torch.library.opcheck(torch.ops.unspool.recurrent.default, given, test_utils=checks)
    assert set(found.values()) == {"SUCCESS"}


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
