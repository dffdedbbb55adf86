"""AdamW whose large tables of word vectors are updated by rows: a step costs what of them its batch holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from unspool import nn
from unspool.ops import rows
from unspool.training.adamw import AdamW

# All rows are brought up so often: it costs a step of plain AdamW, and keeps the table of what is ahead short, the
# powers in it far from the smallest float, and its rounding small.
SWEEP = 512


class RowAdamW(AdamW):
    """AdamW (Loshchilov & Hutter 2019), with the same answer up to rounding, and rows updated when they are wanted.

    A parameter (V, E) with a row-sparse gradient moves only in the rows of that gradient. What plain AdamW does to the
    others at that step (they decay, and go on in the direction of their fading first moment) is done when they are next
    wanted, all missed steps as one: with b1, b2 the betas, a row whose moments after step t were m and v misses the
    steps t < j <= n, which move it by m / (√v + eps) times

        sum over j of  rate_j · √(1 - b2^j) / (1 - b1^j) · (b1 / √b2)^(j - t) · (decay from j to n)

    and that sum depends on t and n alone. The one difference is that eps fades together with √v.

    So whoever reads such a parameter must have it brought up before, by `catch_up`; an embedding given to `follow` sees
    to that itself. The state holds the weights as they are: to be saved and loaded at any step without a change.
    Parameters with dense gradients are torch's own, unchanged. A table without a gradient stays, as in torch.

    Args:
        params: parameters or groups, as in torch; also `weight_decay` of each group.
        lr, betas: as in torch; betas such that beta2^512 is above 1e-37.
    """

    def __init__(self, params: Iterable[Any], lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        if not betas[1] ** SWEEP > 1e-37:
            raise ValueError(f"betas: expected a second one of at least 0.85, got {betas[1]}")
        super().__init__(params, lr=lr, betas=betas, fused=True)
        self._followed: list[tuple[nn.Embedding, RemovableHandle]] = []

    def follow(self, embedding: nn.Embedding) -> None:
        """Give the embedding row-sparse gradients, and bring up the rows that it is asked for before it gives them."""

        def before(module: Any, inputs: tuple[Tensor, ...]) -> None:
            self.catch_up(module.weight, inputs[0])

        embedding.sparse = True
        self._followed.append((embedding, embedding.register_forward_pre_hook(before)))

    def release(self) -> None:
        """Bring everything up, and follow no embedding any more."""
        self.catch_up_all()
        for embedding, handle in self._followed:
            handle.remove()
            embedding.sparse = False
        self._followed.clear()

    @torch.no_grad()
    def catch_up(self, parameter: Tensor, ids: Tensor | None = None) -> None:
        """Do the steps that the rows `ids` of a parameter have missed, or all of its rows; others miss none."""
        state = self.state.get(parameter, {})
        if "clock" in state:
            rows.catch_up(_table(parameter, state), _place(state), self.defaults["eps"], ids)

    def catch_up_all(self) -> None:
        """Do all steps that were missed."""
        for parameter in self.state:
            self.catch_up(parameter)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update."""
        found = list(self._row_sparse())
        for parameter, gradient, group in found:
            self._update(parameter, rows.coalesced(gradient), group)
            parameter.grad = None  # torch's own step passes it by
        super().step()
        for parameter, gradient, _ in found:
            parameter.grad = gradient

    def _row_sparse(self) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    yield parameter, parameter.grad, group

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "clock" not in state:
            _start(parameter, state)
        table, place, ids = _table(parameter, state), _place(state), gradient.indices()[0]
        self.catch_up(parameter, ids)
        state["step"] += 1
        step = _numbers(group, int(state["step"]))
        rows.update(table, place, ids, gradient.values(), step)
        rows.advance(table.ahead[:, : place + 1], step)
        if place + 1 == SWEEP:
            rows.catch_up(table, SWEEP, step.eps)
            table.clock.zero_()
            table.ahead.copy_(_nothing_ahead(parameter))


def _start(parameter: Tensor, state: dict[str, Tensor]) -> None:
    """Begin to keep a table's state. All of it is of the table's type, the clock below 2^24: what torch casts it to
    when it loads a state. One that plain AdamW has kept is taken over: all rows are at its step."""
    if not state:
        zeros = torch.zeros_like(parameter)
        state.update(step=torch.tensor(0.0), exp_avg=zeros, exp_avg_sq=zeros.clone())
    state["clock"] = parameter.new_full((len(parameter),), _place(state))
    state["ahead"] = _nothing_ahead(parameter)


def _nothing_ahead(like: Tensor) -> Tensor:
    ahead = like.new_ones(4, SWEEP)
    ahead[0] = 0
    return ahead


def _table(parameter: Tensor, state: dict[str, Tensor]) -> rows.Table:
    return rows.Table(parameter, state["exp_avg"], state["exp_avg_sq"], state["clock"], state["ahead"])


def _place(state: dict[str, Tensor]) -> int:
    """Steps since the last sweep."""
    return int(state["step"]) % SWEEP


def _numbers(group: dict[str, Any], step: int) -> rows.Step:
    (first, second), rate = group["betas"], group["lr"]
    kept = 1 - rate * group["weight_decay"]
    return rows.Step(rate / (1 - first**step), kept, first, second, (1 - second**step) ** -0.5, group["eps"])
