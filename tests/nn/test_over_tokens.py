"""A recurrent layer directly on token ids: the same answers and gradients as on their vectors, step by step."""

from __future__ import annotations

import pytest
import torch

from unspool import native, nn
from unspool.errors import SettingError
from unspool.ops import reference

CELLS = sorted(nn.RECURRENT)


def make(cell: str, **options: object) -> tuple[torch.nn.Module, nn.Embedding]:
    torch.manual_seed(3)
    layer = nn.RECURRENT[cell](5, 7, 2, batch_first=True, bidirectional=True, **options)
    return layer, nn.Embedding(11, 5, sparse=False)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(1, 11, (33, 9), generator=generator)
    lengths = torch.randint(0, 10, (33,), generator=generator)
    lengths[:2] = torch.tensor([0, 9])
    return ids.masked_fill(torch.arange(9) >= lengths[:, None], 0), lengths


def answers(layer, embedding, y, final):
    parts = [y, *(final if isinstance(final, tuple) else (final,))]
    weighing = [torch.linspace(-1, 1, part.numel(), dtype=part.dtype).view_as(part) for part in parts]
    loss = sum((part * weights).sum() for part, weights in zip(parts, weighing, strict=True))
    leaves = [*layer.parameters(), embedding.weight]
    return [part.detach() for part in parts] + list(torch.autograd.grad(loss, leaves))


@pytest.mark.parametrize("cell", CELLS)
def test_equals_the_layer_on_vectors_in_double(cell):
    layer, embedding = make(cell)
    ids, lengths = batch()
    found = answers(layer, embedding, *layer.over_tokens(ids, embedding, lengths=lengths))
    layer, embedding = layer.double(), embedding.double()
    wanted = answers(layer, embedding, *layer(embedding(ids), lengths=lengths))
    for ours, expected in zip(found, wanted, strict=True):
        scale = max(1.0, float(expected.norm()))
        torch.testing.assert_close(ours.double(), expected, atol=5e-6 * scale, rtol=0)


@pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")
@pytest.mark.parametrize("cell", CELLS)
def test_no_cell_falls_back_to_a_loop_in_python(cell, monkeypatch):
    monkeypatch.setattr(reference, "run", lambda call: pytest.fail("the definition was computed"))
    layer, embedding = make(cell)
    answers(layer, embedding, *layer.over_tokens(batch()[0], embedding))


@pytest.mark.parametrize("cell", ["lstm", "gru", "prototype"])
def test_threads_change_no_bit(cell):
    layer, embedding = make(cell)
    ids, lengths = batch()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(answers(layer, embedding, *layer.over_tokens(ids, embedding, lengths=lengths)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_time_first():
    layer, embedding = nn.GRU(5, 7).double(), nn.Embedding(11, 5).double()
    ids = batch()[0].t()[:4, :3]
    torch.testing.assert_close(layer.over_tokens(ids, embedding), layer(embedding(ids)))


def test_float32_gradient_of_gradients_is_that_of_the_definition():
    layer, embedding = nn.LSTM(5, 7, batch_first=True), nn.Embedding(11, 5)
    ids, lengths = batch()
    seconds = []
    for dtype in (torch.float32, torch.float64):
        layer, embedding = layer.to(dtype), embedding.to(dtype)
        y, _ = layer.over_tokens(ids, embedding, lengths=lengths)
        (first,) = torch.autograd.grad(y.square().sum(), embedding.weight, create_graph=True)
        seconds.append(torch.autograd.grad(first.square().sum(), embedding.weight)[0].double())
    torch.testing.assert_close(*seconds, atol=1e-3, rtol=1e-4)


def test_sparse_gradient_holds_the_rows_of_the_batch():
    layer, dense = make("lstm")
    sparse = nn.Embedding(11, 5, sparse=True)
    sparse.load_state_dict(dense.state_dict())
    ids = torch.tensor([[3, 7, 3], [9, 3, 0]])
    lengths = torch.tensor([3, 2])
    for embedding in (dense, sparse):
        layer.over_tokens(ids, embedding, lengths=lengths)[0].square().sum().backward()
    assert sparse.weight.grad.is_sparse
    assert set(sparse.weight.grad.coalesce().indices()[0].tolist()) <= {0, 3, 7, 9}
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)
    with pytest.raises(SettingError, match="sparse"):
        nn.Embedding(11, 5, "static", sparse=True)


def test_wrong_ids():
    layer, embedding = make("lstm")
    with pytest.raises(TypeError, match="ids"):
        layer.over_tokens(torch.zeros(2, 3), embedding)
    with pytest.raises(TypeError, match="ids"):
        layer.over_tokens(torch.zeros(2, dtype=torch.int64), embedding)
    with pytest.raises(ValueError, match="token ids from 0 to 10"):
        layer.over_tokens(torch.tensor([[11]]), embedding)
    with pytest.raises(ValueError, match="5 features"):
        layer.over_tokens(torch.tensor([[1]]), nn.Embedding(11, 4))
