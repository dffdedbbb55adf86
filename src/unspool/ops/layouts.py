"""Gate order, states and parameters of each recurrent cell.

Rows of `weight_ih`, `weight_hh` and the biases are blocks of H rows, one block a gate, in the order of `gates`
(torch's order where torch has the cell). Names are torch's, without the suffix `_l{layer}` or `_reverse`.
"""

from __future__ import annotations

from dataclasses import dataclass

from unspool.errors import SettingError, nearest, shorten


@dataclass(frozen=True)
class CellLayout:
    """What has to be known about a cell to hold its weights and its state.

    gates: names of the row blocks, in order; `states`: names of what is carried from step to step, each (B, H).
    recurrent: has a product with the previous state, so `weight_hh` and `bias_hh`.
    peepholes, normalised: has `weight_ch` (3·H: i, f, o); has `norm_weight` and `norm_bias` (H).
    window: reads the inputs before the current one, too, and carries them as a last state (B, k - 1, I).
    """

    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    recurrent: bool = True
    peepholes: bool = False
    normalised: bool = False
    window: bool = False

    @property
    def has_forget_gate(self) -> bool:
        """Whether one of the gates is a forget gate f, whose bias is worth starting at 1."""
        return "f" in self.gates

    @property
    def has_memory(self) -> bool:
        """Whether a memory c is carried beside the output h."""
        return "c" in self.states


_GATED = ("i", "f", "g", "o")

CELLS: dict[str, CellLayout] = {
    layout.name: layout
    for layout in (
        CellLayout("rnn", gates=("n",), states=("h",)),
        CellLayout("gru", gates=("r", "z", "n"), states=("h",)),
        CellLayout("lstm", gates=_GATED, states=("h", "c")),
        CellLayout("peephole", gates=_GATED, states=("h", "c"), peepholes=True),
        CellLayout("prototype", gates=_GATED, states=("s",)),
        CellLayout("normalised", gates=_GATED, states=("s",), normalised=True),
        CellLayout("pseudo", gates=_GATED, states=("s",)),
        CellLayout("mingru", gates=("z", "h"), states=("h",), recurrent=False),
        CellLayout("qrnn", gates=("z", "h"), states=("h",), recurrent=False, window=True),
    )
}


def layout_of(cell: str) -> CellLayout:
    """The layout of the cell named `cell`. Raises SettingError naming the known ones."""
    if cell not in CELLS:
        hint = nearest(cell, CELLS) if isinstance(cell, str) else ""
        raise SettingError(f"cell: expected one of {', '.join(CELLS)}, got {shorten(cell)!r}{hint}")
    return CELLS[cell]


def parameter_shapes(
    cell: str,
    input_size: int,
    hidden_size: int,
    *,
    bias: bool = True,
    layer_norm: bool = False,
    kernel_size: int = 1,
) -> dict[str, tuple[int, ...]]:
    """Name → shape of every parameter of one layer in one direction, in the order of torch's state dicts."""
    layout = layout_of(cell)
    rows = len(layout.gates) * hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, input_size, kernel_size) if layout.window else (rows, input_size)
    }
    if layout.recurrent:
        shapes["weight_hh"] = (rows, hidden_size)
    if bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if layout.recurrent else {"bias_ih": (rows,)}
    if layout.peepholes:
        shapes["weight_ch"] = (3 * hidden_size,)
    if layout.normalised:
        shapes |= {"norm_weight": (hidden_size,), "norm_bias": (hidden_size,)}
    if layer_norm:
        shapes |= _layer_norm_shapes(layout, rows, hidden_size)
    return shapes


def _layer_norm_shapes(layout: CellLayout, rows: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
    sizes = {"ln_ih": rows}
    if layout.recurrent:
        sizes["ln_hh"] = rows
    if layout.has_memory:
        sizes["ln_c"] = hidden_size
    return {f"{name}_{part}": (size,) for name, size in sizes.items() for part in ("weight", "bias")}
