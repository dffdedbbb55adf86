"""Word vectors: random, pretrained and frozen, pretrained and trained further, or both as two channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unspool.errors import SettingError
from unspool.ops import checks, rows

MODES = ("rand", "static", "nonstatic", "multichannel")
PADDING = 0


class Embedding(nn.Module):
    """Token ids (B, T) to vectors (B, T, out_features), in one of the four ways of Kim 2014, section 3.1.

    mode "rand": a trained table. "static": a frozen one. "nonstatic": a trained one that starts from the given
    vectors. "multichannel": a trained table and a frozen copy of its start side by side, out_features = 2·E; a
    convolution over both adds their answers, as in the paper. Id 0 is the padding: its vector is zero and stays so.
    `vectors` (num_embeddings, embedding_dim) fill the table, copied; without them every mode draws it from
    U(-scale, scale) (scale 0.25 is Kim's), for weights that a state dict brings later. sparse: the gradient of a
    trained table holds only the rows of the batch, as in torch.nn.Embedding. State dict: weight, and
    frozen_weight in multichannel; the frozen tables are buffers, no optimiser sees them.
    Raises SettingError for an unknown mode, vectors of another shape or not finite, vectors with "rand", or sparse
    with "static".
    """

    frozen_weight: Tensor
    weight: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "rand",
        vectors: Tensor | npt.NDArray[np.floating] | None = None,
        *,
        scale: float = 0.25,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        self.num_embeddings = checks.positive("num_embeddings", num_embeddings)
        self.embedding_dim = checks.positive("embedding_dim", embedding_dim)
        self.mode = checks.choice("mode", mode, MODES)
        if sparse and mode == "static":
            raise SettingError('sparse: a table of mode "static" has no gradient')
        self.sparse = sparse
        self.out_features = embedding_dim * (2 if mode == "multichannel" else 1)
        table = self._drawn(scale) if vectors is None else self._given(vectors)
        table[PADDING] = 0
        if mode == "static":
            self.register_buffer("weight", table)
        else:
            self.weight = nn.Parameter(table)
        if mode == "multichannel":
            self.register_buffer("frozen_weight", table.clone())

    def forward(self, input: Tensor) -> Tensor:
        """input (B, T) of int32 or int64 ids, 0 to num_embeddings - 1; gives (B, T, out_features)."""
        self._check_ids(input)
        vectors = rows.lookup(input, self.weight) if self.sparse else F.embedding(input, self.weight, PADDING)
        if self.mode != "multichannel":
            return vectors
        return torch.cat([vectors, F.embedding(input, self.frozen_weight)], -1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """torch's hook of load_state_dict, which gives its own copy of the dictionary: whatever a table holds for the
        padding, zero is loaded."""
        for name in (f"{prefix}weight", f"{prefix}frozen_weight"):
            table = state_dict.get(name)
            if isinstance(table, Tensor) and table.dim() == 2 and bool(table[PADDING:1].any()):
                state_dict[name] = torch.cat([torch.zeros_like(table[:1]), table[1:]])
        super()._load_from_state_dict(state_dict, prefix, *others)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"

    def _drawn(self, scale: float) -> Tensor:
        checks.above_zero("scale", scale)
        return torch.empty(self.num_embeddings, self.embedding_dim).uniform_(-scale, scale)

    def _given(self, vectors: Tensor | npt.NDArray[np.floating]) -> Tensor:
        if self.mode == "rand":
            raise SettingError('mode "rand" takes no vectors; choose static, nonstatic or multichannel')
        table = vectors.detach().clone() if isinstance(vectors, Tensor) else torch.tensor(vectors)
        expected = (self.num_embeddings, self.embedding_dim)
        if tuple(table.shape) != expected or not table.is_floating_point():
            raise SettingError(
                f"vectors must be a floating tensor of shape {expected}, got {table.dtype} {tuple(table.shape)}"
            )
        if not bool(table.isfinite().all()):
            raise SettingError("vectors must be finite numbers; they hold NaN or infinity")
        return table

    def _check_ids(self, ids: Tensor) -> None:
        if ids.dtype not in (torch.int32, torch.int64):
            raise TypeError(f"input: expected token ids of int32 or int64, got {ids.dtype}")
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.num_embeddings):
            found = f"{int(ids.min())} to {int(ids.max())}"
            raise ValueError(f"input: expected token ids from 0 to {self.num_embeddings - 1}, got {found}")
