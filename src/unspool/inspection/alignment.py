"""Where attention pooling looks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from unspool.inspection.gates import recurrent_part
from unspool.inspection.reading import Reading, network_of
from unspool.models.encoders import DilatedEncoder
from unspool.nn import AttentionPool
from unspool.predictors import ClassifierPredictor

Floats = npt.NDArray[np.float64]


def alignment(predictor: ClassifierPredictor, reading: Reading) -> Floats | None:
    """(T,) weights that attention pooling gives the steps of `reading`; None for another pooling."""
    encoder = network_of(predictor).encoder
    part = recurrent_part(predictor) or (encoder if isinstance(encoder, DilatedEncoder) else None)
    if part is None or not isinstance(part.pooling, AttentionPool):
        return None
    with torch.no_grad():
        if isinstance(part, DilatedEncoder):
            states = part.convolution(reading.vectors, reading.lengths)
        else:
            states, _ = part.layer(reading.vectors, lengths=reading.lengths)
        weights: Floats = part.pooling.attention(states, reading.lengths)[0].double().numpy()
    return weights
