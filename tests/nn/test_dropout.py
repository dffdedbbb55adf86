"""The dropouts: what shares a mask, what is never touched, what evaluation does; and the limit on rows."""

from __future__ import annotations

import pytest
import torch

from unspool.errors import SettingError
from unspool.nn import VariationalDropout, WordDropout, max_norm_


def test_the_variational_mask_is_the_same_at_every_step() -> None:
    torch.manual_seed(0)
    dropped = VariationalDropout(0.25)(torch.ones(200, 7, 50))
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(dropped[0], dropped[1])


def test_a_dropped_feature_gives_no_gradient() -> None:
    torch.manual_seed(0)
    x = torch.full((3, 4, 8), torch.nan, requires_grad=True)
    dropped = VariationalDropout(0.5)(x)
    dropped.nansum().backward()
    gone = ~dropped.isnan()
    assert gone.any()
    assert not dropped[gone].any()
    assert not x.grad[gone].any()


@pytest.mark.parametrize("layer", [VariationalDropout(0.9).eval(), VariationalDropout(0.0)])
def test_variational_dropout_does_nothing_in_evaluation_or_at_0(layer: VariationalDropout) -> None:
    x = torch.randn(2, 3, 4)
    assert layer(x) is x


def test_word_dropout_never_touches_padding() -> None:
    torch.manual_seed(0)
    ids = torch.randint(0, 9, (100, 100))
    found = WordDropout(0.3)(ids)
    assert torch.equal(found == 0, ids == 0)
    words = ids > 1
    changed = found != ids
    assert (found[changed] == 1).all()
    assert changed[words].float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert found.dtype == ids.dtype
    assert ids.max() == 8, "the caller's ids are left alone"
    assert torch.equal(WordDropout(0.3).eval()(ids), ids)
    assert WordDropout(0.0)(ids) is ids


def test_dropouts_repeat_with_the_seed() -> None:
    for layer, x in ((VariationalDropout(0.5), torch.ones(4, 5, 6)), (WordDropout(0.5), torch.full((4, 5), 3))):
        torch.manual_seed(1)
        first = layer(x)
        torch.manual_seed(1)
        assert torch.equal(layer(x), first)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
def test_max_norm_shrinks_long_rows_only(shape: tuple[int, ...]) -> None:
    weight = torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        for row, norm in enumerate((0.0, 1.0, 3.0, 12.0)):
            weight[row] *= norm / weight[row].norm()
    before = weight.detach().clone()
    assert max_norm_(weight, 3.0) is weight
    assert torch.equal(weight[:2], before[:2])
    torch.testing.assert_close(weight[2].detach(), before[2])
    torch.testing.assert_close(weight[3].detach(), before[3] / 4)


def test_wrong_settings_are_named() -> None:
    for kind in (VariationalDropout, WordDropout):
        for p in (1.0, -0.1, float("nan"), "0.5", True):
            with pytest.raises(SettingError, match=r"^p must be a number from 0 up to, but not including, 1, not "):
                kind(p)
        assert repr(kind(0.25)) == f"{kind.__name__}(p=0.25)"
    with pytest.raises(
        TypeError, match=r"^input: WordDropout takes token ids, put it before the embedding; got torch.float32$"
    ):
        WordDropout()(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"^input: expected shape \(batch, time, features\), got \(2, 3\)$"):
        VariationalDropout()(torch.zeros(2, 3))
    for limit in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(SettingError, match=r"^limit must be a number above 0, not "):
            max_norm_(torch.ones(2, 2), limit)
