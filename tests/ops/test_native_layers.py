"""All layers and directions in one call of the core: the same bits as one after the other; what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unspool import native, nn
from unspool.ops import compiled

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")


CORE = native.core()


class OneAfterTheOther:
    """The core, with a call for each layer and direction."""

    room = staticmethod(CORE.room)

    @staticmethod
    def recurrent_layers(
        cell: str,
        x: Tensor,
        lengths: Tensor | None,
        layers: list[tuple[Tensor | None, ...]],
        both_directions: bool,
        h: Tensor,
        c: Tensor | None,
        keep_share: float,
        threads: int,
        y: Tensor,
        final_h: Tensor,
        final_c: Tensor | None,
    ) -> None:
        for first in range(0, len(layers), 1 + both_directions):
            outputs = []
            for k in range(first, first + 1 + both_directions):
                outputs.append(torch.empty(*x.shape[:2], h.shape[2]))
                state, after = (
                    (h[k], None if c is None else c[k]),
                    (final_h[k], None if final_c is None else final_c[k]),
                )
                options = (None, None, None, None, keep_share, k > first, threads)
                CORE.recurrent_forward(cell, x, lengths, None, *layers[k], *state, *options, outputs[-1], None, *after)
            x = torch.cat(outputs, 2)
        y.copy_(x)


@pytest.mark.parametrize("cell", sorted(nn.RECURRENT))
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("rows", [0, 1, 2, 4, 9])  # up to four rows go at once
def test_the_same_bits_as_one_after_the_other(
    cell: str, bidirectional: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(rows)
    layer = nn.RECURRENT[cell](11, 190, 3, batch_first=True, bidirectional=bidirectional).eval()
    x, lengths = torch.randn(rows, 70, 11), torch.tensor([70, 33, 0, 1] * 3)[:rows]
    before, found = torch.get_num_threads(), []
    with torch.inference_mode():
        try:
            for threads in (1, 2, 3, 4):
                torch.set_num_threads(threads)
                found += [layer(x, lengths=lengths) for _ in range(3)]  # the first is timed alone
        finally:
            torch.set_num_threads(before)
        if compiled.infers(layer.layout, x):
            monkeypatch.setattr(native, "present", lambda: OneAfterTheOther)
        y, state = layer(x, lengths=lengths)
    for other, others in found:
        assert torch.equal(other, y)
        parts = zip(*((part if isinstance(part, tuple) else (part,)) for part in (state, others)), strict=True)
        assert all(torch.equal(one, two) for one, two in parts)


@pytest.mark.parametrize("directions", [1, 2])
def test_what_goes_between_large_layers_lies_in_memory_used_before(directions: int) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(3, 96, 4, batch_first=True, bidirectional=directions == 2).eval()
    x = torch.randn(64, 90, 3)  # each layer gives 2 MiB at least
    with torch.inference_mode():
        found = [layer(x)[0].clone() for _ in range(3)]
    assert all(torch.equal(one, found[0]) for one in found)
    torch.testing.assert_close(found[0], layer(x)[0].detach(), atol=1e-5, rtol=0)


def arguments(directions: int = 2) -> dict[str, Any]:
    first = (torch.ones(16, 3), torch.ones(16, 4), None, None, None)
    second = (torch.ones(16, 4 * directions), *first[1:])
    states = {name: torch.zeros(2 * directions, 5, 4) for name in ("h", "c", "final_h", "final_c")}
    return {
        "cell": "lstm",
        "x": torch.ones(5, 6, 3),
        "lengths": None,
        "layers": [first] * directions + [second] * directions,
        "both_directions": directions == 2,
        **states,
        "keep_share": 0.0,
        "threads": 2,
        "y": torch.empty(5, 6, 4 * directions),
    }


def test_what_is_written_lies_apart_from_all_else() -> None:
    core = native.present()
    core.recurrent_layers(**arguments())
    for written, other in (("final_h", "h"), ("final_c", "c"), ("final_c", "final_h")):
        given = arguments()
        given[written] = given[other]
        with pytest.raises(ValueError, match=f"{written}: overlaps {other}"):
            core.recurrent_layers(**given)
    for directions in (1, 2):
        given = arguments(directions)
        given["x"] = given["y"].flatten()[: 5 * 6 * 3].view(5, 6, 3)
        with pytest.raises(ValueError, match="y: overlaps x"):
            core.recurrent_layers(**given)


@pytest.mark.parametrize("directions", [1, 2])
def test_wrong_arguments_are_refused_by_name(directions: int) -> None:
    core, right = native.present(), arguments(directions)
    core.recurrent_layers(**right)
    cases: list[tuple[str, Any, type[Exception], str]] = [
        ("layers", [], ValueError, "layers: expected one at least"),
        ("layers", [right["layers"][0][:4]] * 2, TypeError, "layers: expected tuples of five"),
        ("layers", [None, None], TypeError, "layers: expected tuples of five"),
        ("layers", [right["layers"][0]] * 2 * directions, ValueError, "w_ih: expected shape"),
        ("h", torch.zeros(5, 4), ValueError, "h: expected shape"),
        ("h", None, TypeError, "h: expected a tensor of torch.float32, got None"),
        (
            "final_c",
            torch.zeros(3, 5, 4),
            ValueError,
            rf"final_c: expected shape \({2 * directions}, 5, 4\), got \(3, 5, 4\)",
        ),
        ("c", torch.zeros(2 * directions, 5, 5), ValueError, "c: expected shape"),
        ("x", torch.ones(5, 6, 2), ValueError, "w_ih: expected shape"),
        ("y", torch.empty(5, 6, 4 * directions + 1), ValueError, rf"y: expected shape \(5, 6, {4 * directions}\)"),
        ("x", torch.ones(5), ValueError, "x: expected rows and steps"),
        (
            "y",
            torch.empty(5, 6, 4 * directions, dtype=torch.float64),
            TypeError,
            "y: expected a tensor of torch.float32",
        ),
        ("y", torch.empty(5, 4 * directions, 6).mT, ValueError, "y: expected a contiguous tensor"),
    ]
    for name, value, error, words in cases:
        with pytest.raises(error, match=words):
            core.recurrent_layers(**right | {name: value})
    if directions == 2:
        with pytest.raises(ValueError, match="weights for each direction"):
            core.recurrent_layers(
                **right | {"layers": right["layers"][:1]} | {k: right[k][:1] for k in ("h", "c", "final_h", "final_c")}
            )
