"""The linear-chain conditional random field: scores of tag sequences, their sum, the best one (Lafferty et al. 2001).

A sequence of tags y over emissions e (T, C) scores

    s(y) = start[y_1] + Σ_t e_t[y_t] + Σ_t transitions[y_{t-1}, y_t] + end[y_T]

and has the probability exp(s(y) - log Z), where Z sums exp(s) over all C^T sequences. Everywhere emissions are
(B, T, C) with lengths (B,), transitions (C, C) from row to column, start and end (C,). What the padding holds changes
nothing; an empty sequence scores 0 and has log Z = 0.

`log_partition` is the definition. `log_partition_fast` gives the same value and the gradients in closed form, which
are the marginals: one pass forward, one backward, both as products with exp(transitions) in double precision.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from unspool.ops.lengths import keep, valid_steps
from unspool.ops.once import differentiable_once

FLOATS_AT_ONCE = 2**17  # of the rows times tags times tags of a step of Viterbi: half a core's own cache


class Chain(NamedTuple):
    """The weights of a chain: transitions (C, C), start (C,), end (C,)."""

    transitions: Tensor
    start: Tensor
    end: Tensor


def path_score(emissions: Tensor, lengths: Tensor, chain: Chain, tags: Tensor) -> Tensor:
    """s(y) of the tags (B, T) int64; gives (B,)."""
    valid = valid_steps(lengths, emissions.shape[1])
    tags = tags.masked_fill(~valid, 0)
    score = keep(emissions.gather(2, tags[..., None])[..., 0], valid).sum(1)
    steps = chain.transitions[tags[:, :-1], tags[:, 1:]]
    score = score + keep(steps, valid[:, 1:]).sum(1)
    if not emissions.shape[1]:
        return score
    last = tags.gather(1, (lengths - 1).clamp_min(0)[:, None])[:, 0]
    return score + torch.where(lengths > 0, chain.start[tags[:, 0]] + chain.end[last], 0.0)


def log_partition(emissions: Tensor, lengths: Tensor, chain: Chain) -> Tensor:
    """log Z (B,) by the forward recursion: α_t[j] = e_t[j] + log Σ_i exp(α_{t-1}[i] + transitions[i, j])."""
    emissions = keep(emissions, valid_steps(lengths, emissions.shape[1]))
    if not emissions.shape[1]:
        return emissions.sum((1, 2))  # nothing: zeros
    alpha = chain.start + emissions[:, 0]
    for t in range(1, emissions.shape[1]):
        following = emissions[:, t] + (alpha[:, :, None] + chain.transitions).logsumexp(1)
        alpha = torch.where((t < lengths)[:, None], following, alpha)
    return torch.where(lengths > 0, (alpha + chain.end).logsumexp(1), 0.0)


def log_partition_fast(emissions: Tensor, lengths: Tensor, chain: Chain) -> Tensor:
    """log Z (B,), in double precision whatever the arguments are; differentiable once.

    Scores of one step may differ by some 600 before exp runs out of range; beyond it the answer is not a number.
    """
    emissions = keep(emissions, valid_steps(lengths, emissions.shape[1]))
    value: Tensor = _LogPartition.apply(emissions, lengths, *chain)  # type: ignore[no-untyped-call]
    return value


@torch.no_grad()
def marginals(emissions: Tensor, lengths: Tensor, chain: Chain) -> Tensor:
    """p(y_t = c) as (B, T, C) double, zeros in the padding."""
    passes = _passes(keep(emissions, valid_steps(lengths, emissions.shape[1])), lengths, chain)
    return passes.marginals.transpose(0, 1)


@torch.no_grad()
def viterbi(emissions: Tensor, lengths: Tensor, chain: Chain) -> Tensor:
    """The best sequence of each row, (B, T) int64 with 0 in the padding."""
    rows, steps, count = emissions.shape
    if not steps:
        return torch.zeros(rows, steps, dtype=torch.int64, device=emissions.device)
    at_once = max(1, FLOATS_AT_ONCE // count**2)
    room = emissions.new_empty(min(at_once, rows), count, count)  # fresh pages would cost more than the sums
    blocks = zip(torch.split(emissions, at_once), torch.split(lengths, at_once), strict=True)
    return torch.cat([_viterbi(part, own, chain, room[: len(own)]) for part, own in blocks])


def _viterbi(emissions: Tensor, lengths: Tensor, chain: Chain, room: Tensor) -> Tensor:
    """Forward only the scores are kept, (T, B, C); where the best path came from is worked out for its own tags.
    room (B, C, C) is overwritten."""
    steps = emissions.shape[1]
    arriving = chain.transitions.T.contiguous()  # (to, from): the maximum runs over what lies side by side
    delta = [chain.start + emissions[:, 0]]
    for t in range(1, steps):
        scores = torch.add(delta[-1][:, None, :], arriving, out=room).amax(2) + emissions[:, t]
        delta.append(torch.where((t < lengths)[:, None], scores, delta[-1]))
    best = torch.zeros(emissions.shape[:2], dtype=torch.int64, device=emissions.device)
    tag = (delta[-1] + chain.end).argmax(1)
    for t in range(steps - 1, -1, -1):
        best[:, t] = torch.where(t < lengths, tag, 0)
        if t:
            tag = torch.where(t < lengths, (delta[t - 1] + arriving[tag]).argmax(1), tag)
    return best


class _Passes(NamedTuple):
    """Forward and backward pass, time first: log Z (B,), marginals (T, B, C), and α (T, B, C) and ξ (T, B, C), of
    which α_{t-1}ᵀ ξ_t ⊙ exp(transitions) are the pair marginals of step t."""

    log_partition: Tensor
    marginals: Tensor
    alpha: Tensor
    xi: Tensor


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor
    ) -> Tensor:
        passes = _passes(emissions, lengths, Chain(transitions, start, end))
        context.save_for_backward(lengths, transitions, passes.marginals, passes.alpha, passes.xi)
        context.dtypes = [tensor.dtype for tensor in (emissions, transitions, start, end)]
        return passes.log_partition

    @staticmethod
    @differentiable_once("log_partition_fast has no gradient of gradients: use log_partition")
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        lengths, transitions, shares, alpha, xi = context.saved_tensors
        shares = shares * gradient[:, None]  # (T, B, C)
        count = shares.shape[2]
        pairs = alpha[:-1].reshape(-1, count).T @ (xi[1:] * gradient[:, None]).reshape(-1, count)
        rows = torch.arange(len(lengths), device=lengths.device)
        first = shares[0] if len(shares) else shares.sum(0)  # rows without a step have zeros there
        last = shares[(lengths - 1).clamp_min(0), rows] if len(shares) else first
        found = (shares.transpose(0, 1), pairs * transitions.double().exp(), first.sum(0), last.sum(0))
        own = [value.to(dtype) for value, dtype in zip(found, context.dtypes, strict=True)]
        return own[0], None, *own[1:]


def _passes(emissions: Tensor, lengths: Tensor, chain: Chain) -> _Passes:
    """Rabiner's (1989) scaled recursions: every α_t sums to 1, and the logarithms of the divisors add up to log Z."""
    steps = emissions.shape[1]
    transitions, start, end = (weight.detach().double().exp() for weight in chain)
    scores = emissions.detach().double().transpose(0, 1)  # (T, B, C)
    shift = scores.amax(2, keepdim=True)  # (T, B, 1)
    likely = (scores - shift).exp()
    valid = valid_steps(lengths, steps).T[..., None]  # (T, B, 1)
    alpha, xi, shares = torch.zeros_like(likely), torch.zeros_like(likely), torch.zeros_like(likely)
    divisors = torch.ones_like(shift)
    for t in range(steps):
        current = likely[t] * (alpha[t - 1] @ transitions if t else start)
        divisor = current.sum(1, keepdim=True)
        divisors[t] = torch.where(valid[t], divisor, 1.0)
        alpha[t] = torch.where(valid[t], current / divisor, alpha[t - 1])  # alpha[-1], before the first, is zeros
    if not steps:
        return _Passes(scores.new_zeros(len(lengths)), shares, alpha, xi)
    ending = alpha[-1] @ end  # (B,)
    total = (divisors.log() + torch.where(valid, shift, 0.0)).sum(0)[:, 0] + ending.log()
    beta = at_end = end / ending[:, None]
    for t in range(steps - 1, -1, -1):
        shares[t] = torch.where(valid[t], alpha[t] * beta, 0.0)
        xi[t] = torch.where(valid[t], likely[t] * beta / divisors[t], 0.0)
        if t:
            beta = torch.where(valid[t], xi[t] @ transitions.T, at_end)
    return _Passes(torch.where(lengths > 0, total, 0.0), shares, alpha, xi)
