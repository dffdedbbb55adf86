"""Both directions of a layer in one call of the core: the same bits as one after the other; what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unspool import native, nn
from unspool.ops import compiled

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")


CORE = native.core()


class OneAfterTheOther:
    """The core, with a call for each direction."""

    room = staticmethod(CORE.room)

    @staticmethod
    def recurrent_forward_pair(*calls: tuple[Any, ...]) -> None:
        for call in calls:
            CORE.recurrent_forward(*call)


@pytest.mark.parametrize("cell", sorted(nn.RECURRENT))
@pytest.mark.parametrize("rows", [0, 1, 2, 4, 9])  # up to four rows go at once
def test_the_same_bits_as_one_direction_after_the_other(cell: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(rows)
    layer = nn.RECURRENT[cell](11, 190, 2, batch_first=True, bidirectional=True).eval()
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


def arguments() -> list[Any]:
    x, w_ih, w_hh = torch.ones(1, 3, 2), torch.ones(16, 2), torch.ones(16, 4)
    given = [x, None, None, w_ih, w_hh, None, None, None, torch.zeros(1, 4), torch.zeros(1, 4), *[None] * 4]
    results = [torch.empty(1, 3, 4), None, torch.empty(1, 4), torch.empty(1, 4)]
    return ["lstm", *given, 0.0, False, 2, *results]


def test_what_two_calls_write_lies_apart() -> None:
    core = native.present()
    core.recurrent_forward_pair(tuple(arguments()), tuple(arguments()))
    for place, name in ((18, "y"), (20, "final_h"), (21, "final_c")):
        one, other = arguments(), arguments()
        other[place] = one[place]
        with pytest.raises(ValueError, match=f"{name}: overlaps {name}"):
            core.recurrent_forward_pair(tuple(one), tuple(other))
    for place, given, name in ((20, 9, "final_h: overlaps h"), (21, 10, "final_c: overlaps c")):
        one, other = arguments(), arguments()
        other[given] = one[place]
        with pytest.raises(ValueError, match=name):
            core.recurrent_forward_pair(tuple(one), tuple(other))
    one, other = arguments(), arguments()
    other[1], other[18] = one[18].view(1, 6, 2), torch.empty(1, 6, 4)
    with pytest.raises(ValueError, match="y: overlaps x"):
        core.recurrent_forward_pair(tuple(one), tuple(other))


def test_wrong_arguments_are_refused_by_name() -> None:
    core, right = native.present(), tuple(arguments())
    with pytest.raises(ValueError, match="expected the arguments of recurrent_forward, all 22"):
        core.recurrent_forward_pair(right, right[:-1])
    wrong = arguments()
    wrong[4] = torch.ones(16, 5)
    for pair in ((tuple(wrong), right), (right, tuple(wrong))):
        with pytest.raises(ValueError, match=r"^w_ih: "):
            core.recurrent_forward_pair(*pair)
    wrong = arguments()
    wrong[15] = "no number"
    with pytest.raises(TypeError, match="expected the arguments of recurrent_forward"):
        core.recurrent_forward_pair(tuple(wrong), right)
