"""Convolutions over texts of different lengths: the definitions.

A window of size k covers k neighbouring steps that all lie inside the text, so a text of n steps has n - k + 1
windows. A text shorter than k is extended by zeros to k steps and so has exactly one window. A text of length 0 has
none, and its answer is zero. What stands in the padding never matters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from unspool.errors import SettingError
from unspool.ops import checks, compiled_regions, compiled_windows
from unspool.ops.lengths import keep, valid_steps

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}
REGION_POOLINGS = ("max", "mean", "mean+variance", "k-max")


def blank(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` (B, T, D) with exact zeros past each length; what stood there, NaN included, gets and gives no gradient."""
    return keep(x, valid_steps(lengths, x.shape[1]))


def window_counts(lengths: Tensor, size: int) -> Tensor:
    """(B,) how many windows of `size` steps each text has: n - size + 1, at least 1, but 0 for an empty text."""
    return torch.where(lengths > 0, (lengths - size + 1).clamp(min=1), 0)


def region_conv(
    x: Tensor,
    lengths: Tensor | None,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str = "relu",
    pooling: str = "max",
    k: int = 1,
) -> Tensor:
    """Filters over every window, an activation, and a pooling over the windows of each text (Kim 2014, eq. 2 to 4).

    x (B, T, E), lengths (B,) or None, weight (F, k, E), bias (F,) or None. The answer is (B, F); for
    "mean+variance" it is (B, 2F), all means before all variances (the population variance: 0 for one window).
    "k-max" keeps the k greatest answers of each filter in the order in which they stand in the text (Kalchbrenner et
    al. 2014, section 3.3): (B, k·F), the F first ones before the F second ones; 0 where there are fewer windows.
    activation: "relu" or "tanh"; pooling: "max", "mean", "mean+variance" or "k-max". An empty text gives zeros.
    """
    return region_convs(x, lengths, [(weight, bias)], activation, pooling, k)


def region_convs(
    x: Tensor,
    lengths: Tensor | None,
    filters: compiled_regions.Filters,
    activation: str = "relu",
    pooling: str = "max",
    k: int = 1,
) -> Tensor:
    """`region_conv` with the (weight, bias) of several region sizes, their answers side by side."""
    for weight, _ in filters:
        checks.sequence(x, weight.shape[2])
    activate = ACTIVATIONS[checks.choice("activation", activation, ACTIVATIONS)]
    checks.choice("pooling", pooling, REGION_POOLINGS)
    if checks.positive("k", k) > 1 and pooling != "k-max":
        raise SettingError('k goes with pooling "k-max"')
    lengths = checks.row_lengths(x, lengths)
    if pooling in ("max", "k-max") and compiled_regions.takes(x):
        answers = compiled_regions.greatest(x, lengths, filters, k)
        return torch.cat([activate(answer).flatten(1) for answer in answers], 1)
    return torch.cat([_defined(x, lengths, *pair, activate, pooling, k) for pair in filters], 1)


def _defined(
    x: Tensor,
    lengths: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activate: Callable[[Tensor], Tensor],
    pooling: str,
    k: int,
) -> Tensor:
    """The definition, for one region size."""
    if pooling in ("mean", "mean+variance"):
        answers, counts = window_conv(x, lengths, weight, bias)
        return moments(activate(answers), counts, variance=pooling != "mean")
    counts = window_counts(lengths, weight.shape[1])
    x = _extend(blank(x, lengths), weight.shape[1])
    if pooling == "k-max":
        rank = torch.arange(k, device=x.device)
        greatest = activate(_greatest(x, counts, weight, bias, k))  # (B, k, F)
        return torch.where((rank < counts[:, None])[..., None], greatest, 0).flatten(1)
    # Both activations rise monotonically, so the greatest window is the same before and after them.
    pooled = activate(_greatest(x, counts, weight, bias)).squeeze(1)
    return torch.where(counts[:, None] > 0, pooled, 0)


def window_conv(x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Filters over every window, as a shorter sequence: (B, max(T - k + 1, 1), F), zeros past its lengths, and these.

    x (B, T, E), lengths (B,) int64, weight (F, k, E), bias (F,) or None. No activation.
    """
    counts = window_counts(lengths, weight.shape[1])
    if compiled_regions.takes(x):
        return compiled_windows.answers(x, lengths, weight, bias), counts
    answers = _convolve(_extend(blank(x, lengths), weight.shape[1]), weight, bias)
    return blank(answers.transpose(1, 2), counts), counts


def dilated_conv(
    x: Tensor,
    lengths: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dilation: int = 1,
    causal: bool = False,
) -> Tensor:
    """y_t = b + Σ_j W_j x_{t + (j - c)·dilation}, zeros outside the text: (B, T, F), zeros past each length.

    x (B, T, E), lengths (B,) int64, weight (F, k, E), bias (F,) or None. The centre c is (k - 1) / 2, with k odd, or
    k - 1 when `causal`, so that no step sees a later one.
    """
    steps = x.shape[1]
    reach = (weight.shape[1] - 1) * dilation
    before = reach if causal else reach // 2
    after = reach - before + (steps == 0)  # torch refuses a convolution without a window
    answers = _convolve(F.pad(blank(x, lengths), (0, 0, before, after)), weight, bias, dilation)
    return blank(answers.transpose(1, 2)[:, :steps], lengths)


def moments(x: Tensor, lengths: Tensor, *, variance: bool) -> Tensor:
    """Mean over each row's steps, (B, D), or mean and population variance, (B, 2D), of x (B, T, D); empty rows 0."""
    valid = valid_steps(lengths, x.shape[1])[..., None]
    count = lengths.clamp(min=1)[:, None].to(x.dtype)
    mean = torch.where(valid, x, 0).sum(1) / count
    if not variance:
        return mean
    deviation = torch.where(valid, x - mean[:, None], 0)
    return torch.cat([mean, deviation.square().sum(1) / count], 1)


def _extend(x: Tensor, size: int) -> Tensor:
    """`x` (B, T, E) with zeros appended until it has at least `size` steps."""
    return F.pad(x, (0, 0, 0, size - x.shape[1])) if x.shape[1] < size else x


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    """torch's convolution, given its own layouts: (B, T, E) and (F, k, E) in, (B, F, windows) out."""
    return F.conv1d(x.transpose(1, 2), weight.transpose(1, 2), bias, dilation=dilation)


def _greatest(x: Tensor, counts: Tensor, weight: Tensor, bias: Tensor | None, k: int = 1) -> Tensor:
    """The k greatest answers of each filter to each text in the order of the text, (B, k, F), before the activation;
    with fewer than k windows, the places after those say nothing.

    The search for the windows needs no gradient; only the B·k·F windows found are computed again, under autograd, so
    the backward pass costs k·F windows a text instead of all of them.
    """
    batch, steps, width = x.shape
    size = weight.shape[1]
    with torch.no_grad():
        scores = _convolve(x, weight, None)  # (B, F, windows); the bias is the same in all of them
        beyond = ~valid_steps(counts.clamp(min=1), scores.shape[2])
        first = _first_steps(scores.masked_fill_(beyond[:, None], -torch.inf), k).permute(1, 0, 2)  # (F, B, k)
        rows = first + torch.arange(batch, device=x.device)[:, None] * steps
        rows = rows.flatten(1)[..., None] + torch.arange(size, device=x.device)  # (F, B·k, size) rows of x as (B·T, E)
    windows = F.embedding(rows, x.reshape(batch * steps, width)).flatten(2)  # (F, B·k, size·E)
    best = torch.bmm(windows, weight.flatten(1)[..., None]).squeeze(2).t().reshape(batch, k, weight.shape[0])
    return best if bias is None else best + bias


def _first_steps(scores: Tensor, k: int) -> Tensor:
    """Where the k greatest of (B, F, windows) stand, in ascending order, (B, F, k); the first ones of equals."""
    if k == 1:
        return scores.max(2, keepdim=True).indices  # faster than argmax
    found = scores.sort(dim=2, descending=True, stable=True).indices[..., :k]
    # windows that do not exist come last, however they stand in the text
    last = scores.shape[2]
    found = torch.where(scores.gather(2, found) == -torch.inf, last, found).sort(2).values
    return F.pad(found.clamp_max(last - 1), (0, k - found.shape[2]))
