"""Rows of a table in the compiled core: the definition's answers, the same bits on any threads; what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from unspool import native
from unspool.ops import compiled_rows, rows

pytestmark = [
    pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off"),
    pytest.mark.usefixtures("target"),
]

# an instruction set stays chosen over all examples
EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STEP = rows.Step(0.3, 0.99, 0.9, 0.98, 2.5, 1e-8)
N, V, E, PLACE = 9, 7, 3, 5


def drawn(size: int, width: int, place: int, seed: int) -> rows.Table:
    """A table whose rows are at places 0 to `place`, some of them never touched."""
    torch.manual_seed(seed)
    weight, first = torch.randn(size, width), torch.randn(size, width) * (torch.rand(size, 1) < 0.8)
    ahead = torch.ones(4, place + 3)
    ahead[0] = 0
    for past in range(place):
        rows.advance(ahead[:, : past + 1], STEP)
    return rows.Table(weight, first, first**2, torch.randint(place + 1, (size,)).float(), ahead)


def copied(table: rows.Table) -> rows.Table:
    return rows.Table(*(part.clone() for part in table))


def same(found: rows.Table, wanted: rows.Table) -> None:
    for part, other, name in zip(found, wanted, rows.Table._fields, strict=True):
        torch.testing.assert_close(part, other, rtol=1e-6, atol=1e-7, msg=name)


SHAPES = {
    "size": st.integers(1, 150),
    "width": st.sampled_from([1, 3, 4, 7, 8, 16, 17, 100]),
    "place": st.integers(0, 20),
    "count": st.integers(0, 300),
    "seed": st.integers(0, 10**6),
}


@EXAMPLES
@given(**SHAPES)
def test_catching_up(size: int, width: int, place: int, count: int, seed: int) -> None:
    wanted = drawn(size, width, place, seed)
    found, threads = copied(wanted), copied(wanted)
    ids = None if seed % 4 == 0 else torch.randint(size, (count, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSPOOL_ISA", "off")
        rows.catch_up(wanted, place, STEP.eps, ids)
    rows.catch_up(found, place, STEP.eps, ids)
    same(found, wanted)
    again = copied(found)
    rows.catch_up(again, place, STEP.eps, ids)
    on_threads(5, lambda: rows.catch_up(threads, place, STEP.eps, ids))
    for part, other, one in zip(found, threads, again, strict=True):
        assert torch.equal(part, other)
        assert torch.equal(part, one)


@EXAMPLES
@given(**SHAPES)
def test_updating(size: int, width: int, place: int, count: int, seed: int) -> None:
    wanted = drawn(size, width, place, seed)
    ids = torch.randperm(size)[:count].sort().values
    wanted.clock[ids] = place
    gradient = torch.randn(len(ids), width)
    found, threads = copied(wanted), copied(wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSPOOL_ISA", "off")
        rows.update(wanted, place, ids, gradient, STEP)
    rows.update(found, place, ids, gradient, STEP)
    same(found, wanted)
    on_threads(5, lambda: rows.update(threads, place, ids, gradient, STEP))
    assert all(torch.equal(part, other) for part, other in zip(found, threads, strict=True))


@EXAMPLES
@given(**SHAPES)
def test_the_gradient_of_a_lookup(size: int, width: int, place: int, count: int, seed: int) -> None:
    torch.manual_seed(seed)
    ids, given = torch.randint(size, (count,)), torch.randn(count, width)
    if seed % 5 == 0:
        ids.zero_()
    weight = torch.randn(size, width, requires_grad=True)
    dense = weight.detach().clone().requires_grad_()
    found = rows.lookup(ids[:, None], weight)
    assert torch.equal(found, weight[ids[:, None]])
    (found[:, 0] * given).sum().backward()
    (torch.nn.functional.embedding(ids, dense, rows.PADDING) * given).sum().backward()
    gradient = rows.coalesced(weight.grad)
    assert gradient.indices()[0].tolist() == sorted(set(ids.tolist()) - {0})
    torch.testing.assert_close(gradient.to_dense(), dense.grad, rtol=1e-5, atol=1e-5)
    sums = compiled_rows.sum_equal(ids, given, size)[1]
    on_threads(3, lambda: torch.equal(sums, compiled_rows.sum_equal(ids, given, size)[1]) or pytest.fail("threads"))


def on_threads(threads: int, call: Any) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        call()
    finally:
        torch.set_num_threads(before)


def test_the_definition_gives_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient() -> Tensor:
        weight = torch.ones(9, 2, requires_grad=True)
        (
            rows.lookup(torch.tensor([[5, 0, 5], [2, 0, 8]], dtype=torch.int32), weight)
            * torch.arange(12.0).view(2, 3, 2)
        ).sum().backward()
        return rows.coalesced(weight.grad).to_dense()

    found = gradient()
    monkeypatch.setenv("UNSPOOL_ISA", "off")
    assert torch.equal(gradient(), found)


@EXAMPLES
@given(st.lists(st.integers(0, 300), max_size=80), st.sampled_from([torch.int64, torch.int32]))
def test_distinct_ids_are_those_that_torch_finds(ids: list[int], dtype: torch.dtype) -> None:
    for given_ids in (torch.tensor(ids, dtype=dtype), torch.tensor(ids, dtype=dtype).expand(2, -1).t()):
        wanted = torch.unique(given_ids, return_inverse=True)
        for found, want in zip(rows.distinct(given_ids), wanted, strict=True):
            assert found.dtype == torch.int64
            assert torch.equal(found, want.long())


@pytest.mark.parametrize("ids", [[-3, 5, 5], [2**40, 1, 2**40]], ids=str)
def test_ids_that_no_table_of_bits_holds_are_sorted(ids: list[int]) -> None:
    found, slots = rows.distinct(torch.tensor([ids]))
    assert found.tolist() == sorted(set(ids))
    assert found[slots].tolist() == [ids]


def test_equal_rows_are_added_in_their_order() -> None:
    ids, gradient = torch.tensor([3, 1, 3, 3]), torch.tensor([[1e8], [5.0], [1.0], [-1e8]])
    assert compiled_rows.sum_equal(ids, gradient, 4)[1].tolist() == [[5.0], [0.0]]


def arguments(entry: str) -> dict[str, Any]:
    """Right arguments of an entry of the core, by their names."""
    ids = torch.tensor([1, 2, 6])
    if entry == "distinct_rows":
        room = {"slots": torch.empty_like(ids), "distinct": torch.empty_like(ids)}
        return {"ids": ids, "size": V, "padding": True, **room}
    if entry == "sum_rows":
        return {"gradient": torch.ones(3, E), "slots": torch.tensor([0, -1, 1]), "threads": 1, "sums": torch.ones(2, E)}
    table = drawn(V, E, PLACE, 0)
    table.clock[ids] = PLACE
    given = {**table._asdict(), "place": PLACE, "ids": ids, "eps": 1e-8, "threads": 1}
    ahead = given.pop("ahead")
    if entry == "catch_up_rows":
        return given | {"ahead": ahead}
    numbers = {"rate": 0.1, "kept": 0.9, "beta1": 0.9, "beta2": 0.98, "scale": 1.5}
    return given | {"gradient": torch.ones(3, E), **numbers}


ENTRIES = ("distinct_rows", "sum_rows", "catch_up_rows", "update_rows")
NOT = float("nan")
WRONG: list[tuple[str, str, Any]] = [
    ("distinct_rows", "ids", torch.tensor([1, V, 2])),
    ("distinct_rows", "ids", torch.tensor([1, -1, 2])),
    ("distinct_rows", "size", 0),
    ("distinct_rows", "size", 2**40),
    ("sum_rows", "slots", torch.tensor([0, 2, 1])),
    ("sum_rows", "slots", torch.tensor([0, -2, 1])),
    ("catch_up_rows", "ids", torch.tensor([1, V])),
    ("catch_up_rows", "ids", torch.tensor([-1])),
    ("catch_up_rows", "place", -1),
    ("catch_up_rows", "place", PLACE + 4),
    ("catch_up_rows", "place", 2**40),
    ("catch_up_rows", "clock", torch.full((V,), PLACE + 1.0)),
    ("catch_up_rows", "clock", torch.full((V,), -1.0)),
    ("catch_up_rows", "clock", torch.full((V,), NOT)),
    ("catch_up_rows", "ahead", torch.ones(3, PLACE)),
    ("catch_up_rows", "eps", NOT),
    ("update_rows", "ids", torch.tensor([1, 2, V])),
    ("update_rows", "ids", torch.tensor([1, 6, 2])),
    ("update_rows", "ids", torch.tensor([1, 2, 2])),
    ("update_rows", "clock", torch.full((V,), PLACE - 1.0)),
    ("update_rows", "clock", torch.full((V,), NOT)),
    ("update_rows", "place", 2**24),
    *(("update_rows", name, value) for name in ("rate", "kept", "beta1", "beta2", "eps") for value in (NOT, 1e31)),
    ("update_rows", "scale", 0.0),
    *((entry, "threads", value) for entry in ENTRIES[1:] for value in (0, 10**9)),
]


@pytest.mark.parametrize(("entry", "name", "value"), WRONG, ids=str)
def test_wrong_values_are_refused_by_name(entry: str, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        getattr(native.core(), entry)(*(arguments(entry) | {name: value}).values())


TENSORS = [(entry, name) for entry in ENTRIES for name, value in arguments(entry).items() if isinstance(value, Tensor)]


@pytest.mark.parametrize(("entry", "name"), TENSORS)
def test_wrong_type_size_and_layout_of_each_tensor(entry: str, name: str) -> None:
    given = arguments(entry)
    getattr(native.core(), entry)(*given.values())
    right = given[name]
    wider = right.new_ones(*right.shape[:-1], right.shape[-1] + 1)
    strided = right.new_ones(*right.shape, 2)[..., 0]
    # what gives a size may be right with another one, and something else wrong
    named = {
        "weight": "weight|first",
        "ids": "ids|slots|gradient",
        "ahead": "ahead|clock",
        "gradient": "gradient|sums|slots",
    }
    for value, error in [
        (right.bool(), TypeError),
        (right[None], ValueError),
        (wider, ValueError),
        (strided, ValueError),
        ([1], TypeError),
    ]:
        if value is wider and (entry, name) in (("catch_up_rows", "ids"), ("catch_up_rows", "ahead")):
            continue
        with pytest.raises(error, match=f"^({named.get(name, name)}): " if value is wider else f"^{name}: "):
            getattr(native.core(), entry)(*(given | {name: value}).values())


@pytest.mark.parametrize(
    ("entry", "name", "other"),
    [
        ("distinct_rows", "slots", "ids"),
        ("distinct_rows", "distinct", "slots"),
        ("sum_rows", "sums", "gradient"),
        ("catch_up_rows", "second", "first"),
        ("catch_up_rows", "first", "weight"),
        ("update_rows", "second", "weight"),
    ],
)
def test_results_may_not_overlap(entry: str, name: str, other: str) -> None:
    given = arguments(entry)
    shared = given[other].flatten()[: given[name].numel()].view(given[name].shape)
    with pytest.raises(ValueError, match=f"{name}: overlaps {other}"):
        getattr(native.core(), entry)(*(given | {name: shared}).values())
