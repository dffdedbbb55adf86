"""Convolutional encoders of text, all aware of lengths: padding never changes an answer.

What a window is, at the end of a text and in a text shorter than one window, is defined in `ops/convolution.py`.
Weights are stored as (filters, k, channels), so that the k steps of a window lie in one row, as they do in the input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unspool.errors import SettingError
from unspool.ops import checks
from unspool.ops.convolution import (
    ACTIVATIONS,
    REGION_POOLINGS,
    blank,
    dilated_conv,
    region_convs,
    window_conv,
)


class TextConv(nn.Module):
    """Filters of several region sizes, an activation, and a pooling over each text (Kim 2014, section 2).

    Input (B, T, in_channels) with lengths (B,); answer (B, out_features), the region sizes side by side in the order
    given, each out_channels wide (twice that for "mean+variance": means, then variances; k times that for "k-max":
    the k greatest answers in the order of the text, Kalchbrenner et al. 2014). activation: "relu" or "tanh"; pooling:
    "max", "mean", "mean+variance" or "k-max", which needs k. A region size may stand more than once. Parameters of
    the i-th region size: weight_r{i} (out_channels, k, in_channels), drawn by He's uniform rule for relu and Glorot's
    for tanh, and bias_r{i}, zeros. Raises SettingError for a setting that is unknown or out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        region_sizes: Sequence[int] = (3, 4, 5),
        activation: str = "relu",
        pooling: str = "max",
        k: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = checks.positive("in_channels", in_channels)
        self.out_channels = checks.positive("out_channels", out_channels)
        self.region_sizes = _region_sizes(region_sizes)
        self.activation = checks.choice("activation", activation, ACTIVATIONS)
        self.pooling = checks.choice("pooling", pooling, REGION_POOLINGS)
        if (k is None) != (pooling != "k-max"):
            raise SettingError('k goes with pooling "k-max": give both or neither')
        self.k = 1 if k is None else checks.positive("k", k)
        self.out_features = out_channels * len(self.region_sizes) * (2 if pooling == "mean+variance" else self.k)
        for i, size in enumerate(self.region_sizes):
            self.register_parameter(f"weight_r{i}", _filters(out_channels, size, in_channels, activation))
            self.register_parameter(f"bias_r{i}", nn.Parameter(torch.zeros(out_channels)))

    def forward(self, input: Tensor, lengths: Tensor | None = None) -> Tensor:
        """input (B, T, in_channels), lengths (B,) or None for T everywhere; gives (B, out_features)."""
        checks.sequence(input, self.in_channels)
        sizes = range(len(self.region_sizes))
        filters = [(self.get_parameter(f"weight_r{i}"), self.get_parameter(f"bias_r{i}")) for i in sizes]
        return region_convs(input, lengths, filters, self.activation, self.pooling, self.k)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, region_sizes={self.region_sizes}, "
            f"activation={self.activation!r}, pooling={self.pooling!r}" + (f", k={self.k}" if self.k > 1 else "")
        )


class ConvPool(nn.Module):
    """One convolution over windows, relu, then the maximum of each pool_size neighbours: a shorter sequence.

    Input (B, T, in_channels) with lengths (B,). A text of n steps has w = max(n - kernel_size + 1, 1) windows and
    comes out ceil(w / pool_size) steps long: the last pool may be smaller than the others. An empty text stays
    empty. Parameters: weight (out_channels, kernel_size, in_channels), He uniform, and bias, zeros.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 5, pool_size: int = 5) -> None:
        super().__init__()
        self.in_channels = checks.positive("in_channels", in_channels)
        self.out_features = checks.positive("out_channels", out_channels)
        self.kernel_size = checks.positive("kernel_size", kernel_size)
        self.pool_size = checks.positive("pool_size", pool_size)
        self.weight = _filters(out_channels, kernel_size, in_channels, "relu")
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, input: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """input (B, T, in_channels); gives (B, T', out_channels), zeros past each new length, and the lengths (B,)."""
        checks.sequence(input, self.in_channels)
        lengths = checks.row_lengths(input, lengths)
        answers, counts = window_conv(input, lengths, self.weight, self.bias)
        # relu rises monotonically: taken after the pooling it gives the same answer from fewer numbers. The zeros past
        # the windows change nothing then, and pass no gradient. As a picture one column wide, channels last, the
        # answers are pooled where they lie, in a tenth of the time.
        picture = answers[:, :, None].permute(0, 3, 1, 2)
        pooled = F.max_pool2d(picture, (self.pool_size, 1), ceil_mode=True).permute(0, 2, 3, 1).flatten(1, 2)
        lengths = torch.div(counts + self.pool_size - 1, self.pool_size, rounding_mode="floor")
        return pooled.relu(), lengths

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_features}, kernel_size={self.kernel_size}, pool_size={self.pool_size}"


class StackedConv(nn.Module):
    """Convolution and pooling, several times, down to one vector: the lecture's conv(128, 5) + pool(5) three times.

    Every stage but the last is a ConvPool; the last one's convolution is pooled over all of the text that is left, by
    "max", "mean" or "mean+variance". (A maximum of maxima is the maximum, so "max" is exactly the lecture's network.)
    Input (B, T, in_channels) with lengths (B,), of any length: a short text keeps at least one window in each stage,
    an empty one gives zeros. Answer (B, out_features). dropout: between the stages, in training. He initialisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 128,
        kernel_size: int = 5,
        pool_size: int = 5,
        layers: int = 3,
        pooling: str = "max",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        checks.positive("layers", layers)
        widths = [in_channels] + [out_channels] * (layers - 1)
        self.stages = nn.ModuleList(ConvPool(width, out_channels, kernel_size, pool_size) for width in widths[:-1])
        self.last = TextConv(widths[-1], out_channels, (kernel_size,), "relu", pooling)
        self.dropout = nn.Dropout(checks.fraction("dropout", dropout))
        self.out_features = self.last.out_features

    def forward(self, input: Tensor, lengths: Tensor | None = None) -> Tensor:
        """input (B, T, in_channels), lengths (B,) or None for T everywhere; gives (B, out_features)."""
        for stage in self.stages:
            input, lengths = stage(input, lengths)
            input = self.dropout(input)
        answer: Tensor = self.last(input, lengths)
        return answer


class DilatedConv(nn.Module):
    """Residual blocks of dilated convolutions, dilation 1, 2, 4, ...: a sequence encoder whose view doubles each block.

    Input (B, T, in_channels) with lengths (B,); answer (B, T, out_channels), zeros past each length. One block is
    h + project(dropout(relu(conv(norm(h))))), with a layer normalisation over the channels, a convolution of
    kernel_size steps `dilation` apart, and a projection step by step; a last normalisation ends the stack, and an
    input of another width is projected first. (After Yu and Koltun 2016 and Bai et al. 2018; pre-normalised.) Steps
    outside the text count as zeros. Symmetric by default, with kernel_size odd; with causal=True a step sees only
    itself and earlier ones. He initialisation of the convolutions, Glorot of the projections, biases zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        blocks: int = 4,
        dropout: float = 0.0,
        *,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = checks.positive("in_channels", in_channels)
        self.out_features = checks.positive("out_channels", out_channels)
        self.kernel_size = checks.positive("kernel_size", kernel_size)
        if not causal and kernel_size % 2 == 0:
            raise SettingError(f"kernel_size must be odd unless causal=True, to have a middle step, not {kernel_size}")
        checks.positive("blocks", blocks)
        self.causal = causal
        self.enter = nn.Identity() if in_channels == out_channels else _projection(in_channels, out_channels)
        self.blocks = nn.ModuleList(
            _DilatedBlock(out_channels, kernel_size, 2**i, dropout, causal) for i in range(blocks)
        )
        self.norm = nn.LayerNorm(out_channels)

    @property
    def receptive_field(self) -> int:
        """How many steps of input one step of the answer sees: 1 + (kernel_size - 1)·(2^blocks - 1)."""
        view: int = 1 + (self.kernel_size - 1) * (2 ** len(self.blocks) - 1)
        return view

    def forward(self, input: Tensor, lengths: Tensor | None = None) -> Tensor:
        """input (B, T, in_channels), lengths (B,) or None for T everywhere; gives (B, T, out_channels)."""
        checks.sequence(input, self.in_channels)
        lengths = checks.row_lengths(input, lengths)
        state = self.enter(blank(input, lengths))
        for block in self.blocks:
            state = state + block(state, lengths)
        return blank(self.norm(state), lengths)


class _DilatedBlock(nn.Module):
    """What a block adds to h: project(dropout(relu(conv(norm(h))))), on (B, T, channels)."""

    def __init__(self, channels: int, kernel_size: int, dilation: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.dilation = dilation
        self.causal = causal
        self.norm = nn.LayerNorm(channels)
        self.weight = _filters(channels, kernel_size, channels, "relu")
        self.bias = nn.Parameter(torch.zeros(channels))
        self.dropout = nn.Dropout(checks.fraction("dropout", dropout))
        self.project = _projection(channels, channels)

    def forward(self, state: Tensor, lengths: Tensor) -> Tensor:
        state = self.norm(state)
        state = dilated_conv(state, lengths, self.weight, self.bias, dilation=self.dilation, causal=self.causal)
        change: Tensor = self.project(self.dropout(state.relu()))
        return change


def _filters(filters: int, size: int, channels: int, activation: str) -> nn.Parameter:
    """(filters, size, channels): He's uniform rule for relu, Glorot's for tanh, fans counted as a convolution's."""
    weight = torch.empty(filters, channels, size)  # torch's order, from which its initialisers read the fans
    if activation == "relu":
        nn.init.kaiming_uniform_(weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(weight, gain=nn.init.calculate_gain("tanh"))
    return nn.Parameter(weight.transpose(1, 2).contiguous())


def _projection(in_features: int, out_features: int) -> nn.Linear:
    linear = nn.Linear(in_features, out_features)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _region_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    if isinstance(sizes, str) or not isinstance(sizes, Sequence) or not sizes:
        raise SettingError("region_sizes must be a list of at least one whole number, such as (3, 4, 5)")
    return tuple(checks.positive("each of region_sizes", size) for size in sizes)
