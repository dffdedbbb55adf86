"""AdamW by rows is AdamW: the same weights up to rounding, whatever rows the batches hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unspool.config import Settings
from unspool.models.classifier import Batch, Classifier
from unspool.models.recipes import settle
from unspool.models.tagger import Tagger
from unspool.nn import Embedding
from unspool.ops import rows
from unspool.training import optim, row_adam
from unspool.training.row_adam import SWEEP, RowAdamW

RATE, DECAY = 0.01, 0.1
Watch = Callable[[int, Embedding, torch.optim.Optimizer], None]


def nothing(*_: Any) -> None:
    pass


def trained(
    by_rows: bool,
    steps: int,
    *,
    size: int = 60,
    width: int = 5,
    dtype: torch.dtype = torch.float64,
    decay: float = DECAY,
    eps: float = 1e-8,
    seed: int = 0,
    distinct: bool = False,
    watch: Watch = nothing,
) -> Tensor:
    """A table after random steps at a falling rate; some rows are in most batches, others hardly ever. distinct: no row
    twice in a batch."""
    draw = torch.Generator().manual_seed(seed)
    table = Embedding(size, width, "nonstatic", torch.randn(size, width, generator=draw, dtype=torch.float64))
    table.to(dtype)
    group = {"params": [table.weight], "weight_decay": decay, "eps": eps}
    optimizer: torch.optim.Optimizer
    if by_rows:
        optimizer = RowAdamW([group], lr=RATE, betas=(0.9, 0.98))
        optimizer.defaults["eps"] = eps
        optimizer.follow(table)
    else:
        optimizer = torch.optim.AdamW([group], lr=RATE, betas=(0.9, 0.98), fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        ids = (size * torch.rand(3, 4, generator=draw) ** 4).long()
        wanted = torch.randn(3, 4, width, generator=draw, dtype=torch.float64).to(dtype)
        if distinct:
            ids = ids.unique()[None]
            wanted = wanted.view(1, 12, width)[:, : ids.shape[1]]
        optimizer.zero_grad()
        ((table(ids) - wanted) ** 2).sum().backward()
        optimizer.step()
        watch(step, table, optimizer)
    optim.settle(optimizer)
    return table.weight.detach()


def test_it_is_exact_but_for_eps() -> None:
    """In float64, over two sweeps; with a usual eps what it fades to makes a small difference."""
    plain = trained(False, 2 * SWEEP + 100, eps=1e-20)
    torch.testing.assert_close(trained(True, 2 * SWEEP + 100, eps=1e-20), plain, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(trained(True, 2 * SWEEP + 100), plain, rtol=1e-6, atol=1e-6)
    assert (plain[0] == 0).all()


def test_it_is_as_near_to_the_truth_as_torchs_float32() -> None:
    truth = trained(False, 600)

    def off(by_rows: bool) -> float:
        return float((trained(by_rows, 600, dtype=torch.float32) - truth).norm() / truth.norm())

    assert off(True) < max(1e-6, 1.5 * off(False))


@pytest.mark.parametrize("off", [False, True], ids=["compiled", "definition"])
@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 200),
    width=st.integers(1, 70),
    steps=st.integers(1, 40),
    decay=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_any_shape(off: bool, size: int, width: int, steps: int, decay: float, seed: int) -> None:
    # Summed in another order, a row's gradients can leave nothing but rounding, of which Adam makes a whole step; and
    # beside an element whose gradient was 1e-6 once, the usual eps is no longer small.
    distinct = {"distinct": True, "eps": 1e-20, "dtype": torch.float32}
    given = {"size": size, "width": width, "decay": decay, "seed": seed, **distinct}
    with pytest.MonkeyPatch.context() as patch:
        if off:
            patch.setenv("UNSPOOL_ISA", "off")
        found, plain = trained(True, steps, **given), trained(False, steps, **given)
    assert (found - plain).norm() <= 3e-6 * (1 + plain.norm())


def lazy(table: rows.Table, place: int, eps: float, ids: Tensor | None = None) -> None:
    """What is often called lazy or sparse Adam: a row's missed steps are forgotten."""
    table.clock[slice(None) if ids is None else ids.unique()] = place


def without(line: int) -> Callable[..., None]:
    def advance(ahead: Tensor, step: rows.Step) -> None:
        before = ahead[line].clone()
        ADVANCE(ahead, step)
        ahead[line] = before

    return advance


ADVANCE = rows.advance
DEFECTS = {"catch_up": [lazy], "advance": [without(line) for line in range(4)]}


@pytest.mark.parametrize(("name", "defect"), [(name, one) for name, all_ in DEFECTS.items() for one in all_])
def test_a_planted_defect_is_seen(name: str, defect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trained(False, 300)
    monkeypatch.setattr(rows, name, defect)
    assert (trained(True, 300) - plain).abs().max() > 1e-4


def test_in_two_pieces_as_in_one() -> None:
    """Bringing all rows up now and then changes rounding alone."""

    def sometimes(step: int, _: Embedding, optimizer: torch.optim.Optimizer) -> None:
        if step % 7 == 3:
            optim.settle(optimizer)

    torch.testing.assert_close(trained(True, 300, watch=sometimes), trained(True, 300), rtol=1e-6, atol=1e-8)
    again = trained(True, 300, eps=1e-20, watch=sometimes)
    torch.testing.assert_close(again, trained(True, 300, eps=1e-20), rtol=1e-11, atol=1e-13)


def test_a_lookup_in_evaluation_is_of_the_last_step() -> None:
    found = {}

    def look(step: int, table: Embedding, optimizer: torch.optim.Optimizer) -> None:
        if step == 150:
            table.eval()
            with torch.no_grad():
                found[type(optimizer)] = table(torch.arange(60, dtype=torch.int32)[None])[0]
            table.train()

    trained(True, 200, watch=look), trained(False, 200, watch=look)
    torch.testing.assert_close(found[RowAdamW], found[torch.optim.AdamW], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saved_and_loaded_at_any_step_it_goes_on_with_the_same_bits(dtype: torch.dtype) -> None:
    def reload(step: int, table: Embedding, optimizer: torch.optim.Optimizer) -> None:
        if step % 50 in (0, 1, 17):
            state = copy.deepcopy(optimizer.state_dict())
            for values in optimizer.state.values():
                for value in values.values():
                    value.fill_(77)
            optimizer.load_state_dict(state)

    steps = SWEEP + 60
    assert torch.equal(trained(True, steps, dtype=dtype, watch=reload), trained(True, steps, dtype=dtype))


def test_other_parameters_have_torchs_bits() -> None:
    torch.manual_seed(1)
    mine, theirs = nn.Linear(7, 5), nn.Linear(7, 5)
    theirs.load_state_dict(mine.state_dict())
    table = Embedding(20, 7)
    optimizer = RowAdamW([*mine.parameters(), table.weight], lr=RATE)
    optimizer.follow(table)
    plain = torch.optim.AdamW(theirs.parameters(), lr=RATE, fused=True)
    for step in range(20):
        x = table(torch.tensor([[1, 5, step % 20]]))
        for layer, some, one in ((mine, x, optimizer), (theirs, x.detach(), plain)):
            one.zero_grad()
            layer(some).sum().backward()
            one.step()
    assert torch.equal(mine.weight, theirs.weight)
    assert torch.equal(mine.bias, theirs.bias)


def test_a_table_without_a_gradient_stays_and_its_time_stands_still() -> None:
    def frozen(step: int, table: Embedding, _: Any) -> None:
        table.weight.requires_grad_(step % 20 < 8)

    def run(by_rows: bool) -> Tensor:
        table = Embedding(9, 3, "nonstatic", torch.linspace(-1, 1, 27, dtype=torch.float64).view(9, 3))
        other = nn.Parameter(torch.ones(3, dtype=torch.float64))
        values: list[Any] = [table.weight, other]
        optimizer: Any = RowAdamW(values, RATE) if by_rows else torch.optim.AdamW(values, RATE, fused=True)
        if by_rows:
            optimizer.follow(table)
        for step in range(100):
            table.weight.requires_grad_(step % 20 < 8)
            optimizer.zero_grad()
            (table(torch.tensor([[1, 2 + step % 7]])) * other).sum().backward()
            optimizer.step()
        optim.settle(optimizer)
        return table.weight.detach()

    torch.testing.assert_close(run(True), run(False), rtol=1e-6, atol=1e-7)


def test_a_table_read_twice_in_a_step() -> None:
    """Two gradients of one table are added; torch leaves them unordered."""

    def run(by_rows: bool) -> Tensor:
        torch.manual_seed(3)
        table = Embedding(9, 3)
        values: list[Any] = [table.weight]
        optimizer: Any = RowAdamW(values, RATE) if by_rows else torch.optim.AdamW(values, RATE, fused=True)
        if by_rows:
            optimizer.follow(table)
        for step in range(30):
            optimizer.zero_grad()
            first, second = table(torch.tensor([[1, 5, 5]])), table(torch.tensor([[2 + step % 4, 1, 0]]))
            (first * second).sum().backward()
            optim.clip([table.weight], 0.1)
            optimizer.step()
        optim.finish(optimizer)
        return table.weight.detach()

    torch.testing.assert_close(run(True), run(False), rtol=1e-5, atol=1e-5)


def test_what_plain_adamw_has_kept_is_taken_over() -> None:
    """A run that began without tables updated by rows may go on with them."""
    torch.manual_seed(4)
    table = Embedding(30, 3).double()
    values: list[Any] = [table.weight]
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(values, RATE, fused=True)
    ends = []
    for step in range(60):
        if step == 20:
            start = copy.deepcopy((table.state_dict(), optimizer.state_dict()))
        if step == 40:
            ends.append(table.weight.detach().clone())
            table.load_state_dict(start[0])
            optimizer = RowAdamW(values, RATE)
            optimizer.load_state_dict(start[1])
            optimizer.follow(table)
        optimizer.zero_grad()
        (table(torch.tensor([[1, 2 + step % 20]])) ** 2).sum().backward()
        optimizer.step()
    optim.finish(optimizer)
    torch.testing.assert_close(table.weight.detach(), ends[0], rtol=1e-5, atol=1e-6)


def test_a_second_beta_that_the_sweep_cannot_take() -> None:
    with pytest.raises(ValueError, match=r"betas: expected a second one of at least 0.85, got 0.5"):
        RowAdamW([nn.Parameter(torch.zeros(2, 2))], RATE, (0.9, 0.5))


@pytest.mark.parametrize("limit", [0.5, 100.0])
@pytest.mark.parametrize("repeated", [False, True])
def test_clip_knows_row_sparse_gradients(limit: float, repeated: bool) -> None:
    values, ids = torch.tensor([[3.0, 1.0], [2.0, 5.0], [1.0, 1.0]]), torch.tensor([4, 2, 4 if repeated else 5])
    table, other = nn.Parameter(torch.zeros(6, 2)), nn.Parameter(torch.zeros(2))
    table.grad = torch.sparse_coo_tensor(ids[None], values, (6, 2), check_invariants=True)
    other.grad = torch.tensor([1.0, 2.0])
    dense = nn.Parameter(torch.zeros(6, 2))
    dense.grad = table.grad.to_dense()
    same = nn.Parameter(torch.zeros(2))
    same.grad = other.grad.clone()
    assert optim.clip([table, other], limit) == pytest.approx(optim.clip([dense, same], limit))
    torch.testing.assert_close(table.grad.to_dense(), dense.grad)
    torch.testing.assert_close(other.grad, same.grad)


# --- where it is used ------------------------------------------------------------------------------------------------


def classifier(size: int = optim.LARGE, *, mode: str = "rand", **given: Any) -> tuple[Classifier, Settings]:
    chosen = settle({"task": "classify", "model": "cnn", "embedding": 4, "filters": 3, **given})
    vectors = None if mode == "rand" else torch.ones(size, 4).numpy()
    return Classifier(chosen, size, 2, vectors=vectors, vectors_mode=mode), chosen


def test_large_tables_of_classifiers_and_taggers_are_updated_by_rows() -> None:
    for mode in ("rand", "nonstatic", "multichannel"):
        assert type(optim.make_optimizer(*classifier(mode=mode))) is RowAdamW
    chosen = settle({"task": "tag", "model": "lstm", "embedding": 4, "hidden": 3})
    assert type(optim.make_optimizer(Tagger(chosen, optim.LARGE, 30, 3), chosen)) is RowAdamW


@pytest.mark.parametrize(
    "given", [{"size": optim.LARGE - 1}, {"average": 0.9}, {"optimizer": "adadelta"}, {"mode": "static"}], ids=str
)
def test_others_are_not(given: dict[str, Any]) -> None:
    network, chosen = classifier(**given)
    assert type(optim.make_optimizer(network, chosen)) is not RowAdamW
    assert not network.embedding.sparse


@pytest.mark.parametrize("mode", ["rand", "multichannel"])
def test_a_classifier_learns_the_same_either_way(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> dict[str, Tensor]:
        torch.manual_seed(2)
        network, chosen = classifier(mode=mode)
        optimizer = optim.make_optimizer(network, chosen)
        for step in range(30):
            draw = torch.Generator().manual_seed(step)
            ids = (network.embedding.num_embeddings * torch.rand(6, 9, generator=draw) ** 8).long().clamp(1)
            optimizer.zero_grad()
            torch.manual_seed(step)
            network.loss(Batch(ids, torch.full((6,), 9), torch.arange(6) % 2)).backward()
            optim.clip(network.parameters(), 1.0)
            optimizer.step()
        optim.finish(optimizer)
        assert not network.embedding.sparse
        assert not network.embedding._forward_pre_hooks
        return network.state_dict()

    found = run()
    monkeypatch.setattr(optim, "LARGE", optim.LARGE + 1)
    for name, value in run().items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_run_taken_up_ends_with_the_same_bits(toy: Any, tmp_path: Any, step: int, monkeypatch: Any) -> None:
    from unspool.errors import Interrupted

    monkeypatch.setattr(row_adam, "SWEEP", 5)
    toy.table = True
    with pytest.raises(Interrupted):
        toy(tmp_path, None, toy.StopAt(step)).fit()
    resumed, whole = toy(tmp_path), toy()
    assert resumed.resume(pytest.fail)
    resumed.fit(), whole.fit()
    assert type(whole.optimizer) is RowAdamW
    assert toy.state(resumed) == toy.state(whole)


def test_a_run_ends_with_all_rows_brought_up(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> dict[str, Tensor]:
        trainer = toy(epochs=5)
        trainer.fit()
        return trainer.best | {f"last {name}": value for name, value in trainer.model.state_dict().items()}

    toy.table = True
    found = run()
    monkeypatch.setattr(optim, "_large_tables", lambda *_: [])
    for name, value in run().items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
