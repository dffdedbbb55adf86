"""What each token adds to an answer: integrated gradients (Sundararajan et al. 2017).

The attributed figure is the log-odds of a label, log p - log (1 - p). The path leads from a text of the same length
whose token vectors are all 0, the padding's, to the text itself. The attributions sum to the difference of the
log-odds at its two ends (completeness); the share that is missing is the completeness error, and the path is cut
finer until it is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unspool.inspection.reading import network_of, read
from unspool.models.bow import Bow
from unspool.models.classifier import Classifier
from unspool.predictors import ClassifierPredictor

TOLERANCE = 0.01
FEWEST, MOST = 32, 4096  # points on the path
ROWS = 32  # computed at once
SMALLEST = 0.01  # log-odds: a smaller difference is not divided by

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


@dataclass(frozen=True)
class Attribution:
    """What each token adds to the log-odds of `label`.

    Attributes:
        added: (T,) float64, signed; they sum to `after` - `before`, but for the error.
        before, after: the log-odds without and with the text's vectors.
        error: distance of the sum from the difference, as a share of the difference, which counts for at least 0.01.
        points: evaluations of the gradient; 0 for the linear baseline, whose attribution is exact.
    """

    tokens: list[str]
    label: int
    added: npt.NDArray[np.float64]
    before: float
    after: float
    points: int

    @property
    def error(self) -> float:
        difference = self.after - self.before
        return float(abs(self.added.sum() - difference) / max(abs(difference), SMALLEST))


def attribute(predictor: ClassifierPredictor, text: str, label: int) -> Attribution:
    """The attribution of one text to the label with that index; in a blend, to the network's part of the answer."""
    if isinstance(predictor.network, Bow):
        return _of_bow(predictor.network, text, label)
    network, reading = network_of(predictor), read(predictor, text)
    vectors, lengths = reading.vectors, reading.lengths
    with torch.no_grad():
        before, after = (float(log_odds(network, x, lengths, label)) for x in (torch.zeros_like(vectors), vectors))
    points = FEWEST
    while True:
        added = _path(network, vectors, lengths, label, points)
        found = Attribution(reading.tokens, label, added, before, after, points)
        if found.error <= TOLERANCE or points >= MOST:
            return found
        points *= 2


def log_odds(network: Classifier, vectors: Tensor, lengths: Tensor, label: int) -> Tensor:
    """log p - log (1 - p) of the label, (B,), from token vectors (B, T, E)."""
    logits = network.output(network.encoder(vectors, lengths))
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], 1)
    odds: Tensor = logits[:, label] - others.logsumexp(1)
    return odds


def _path(network: Classifier, vectors: Tensor, lengths: Tensor, label: int, points: int) -> npt.NDArray[np.float64]:
    """Σ over features of x ⊙ ∫ gradient, by Gauss's rule of four points on each of points / 4 equal pieces.

    The place on the path is s³, s from 0 to 1: a normalisation changes most where the vectors are almost 0.
    """
    pieces = points // 4
    s = ((np.arange(pieces)[:, None] + (_NODES + 1) / 2) / pieces).ravel()
    places, weights = s**3, 3 * s**2 * np.tile(_WEIGHTS / 2 / pieces, pieces)
    mean = torch.zeros(vectors.shape[1:], dtype=torch.float64)
    for start in range(0, points, ROWS):
        share = torch.tensor(places[start : start + ROWS], dtype=vectors.dtype)[:, None, None]
        x = (share * vectors).requires_grad_()
        (gradient,) = torch.autograd.grad(log_odds(network, x, lengths.expand(len(x)), label).sum(), x)
        mean += torch.einsum("n,nte->te", torch.tensor(weights[start : start + ROWS]), gradient.double())
    added: npt.NDArray[np.float64] = (vectors[0].double() * mean).sum(1).numpy()
    return added


def _of_bow(network: Bow, text: str, label: int) -> Attribution:
    tokens, added = network.contributions(text, label)
    sign = 1 if label or len(network.intercept) > 1 else -1
    before = sign * float(network.intercept[label if len(network.intercept) > 1 else 0])
    return Attribution(tokens, label, added, before, network.score(text, label), 0)
