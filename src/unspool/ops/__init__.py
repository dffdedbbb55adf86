"""Operations on tensors: what the layers of `unspool.nn` compute, without parameters or modules.

layouts.py     gate order, states and parameters of each cell
lengths.py     which steps of a padded batch are real
call.py        one layer in one direction, its arguments checked
cells.py       the definition: one step of each cell
reference.py   the definition: the loop over time, and its trace for inspection
fused.py       torch's own fused layers, where they compute the same
once.py        gradients that have no gradient themselves
crf.py         the conditional random field over tag sequences
recurrent.py   `run`, which picks the fastest of these that computes the same
"""

from __future__ import annotations
