"""Between torch's PackedSequence and a padded batch with lengths."""

from __future__ import annotations

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


def unpack(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """(B, T, D) padded with 0, and lengths (B,), in the order in which the rows were before packing."""
    return pad_packed_sequence(packed, batch_first=True)


def pack_as(like: PackedSequence, y: Tensor, lengths: Tensor) -> PackedSequence:
    """`y` (B, T, D) with `lengths`, packed exactly as `like` is: the same steps at the same places."""
    order = like.sorted_indices
    if order is not None:
        y, lengths = y[order], lengths[order.cpu()]
    data = pack_padded_sequence(y, lengths, batch_first=True).data
    return PackedSequence(data, like.batch_sizes, order, like.unsorted_indices)
