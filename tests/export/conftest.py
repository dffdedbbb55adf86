"""Models made and saved by Keras itself, on torch."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "torch"


@pytest.fixture(scope="session")
def keras() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras", reason="Keras is not installed (pip install 'unspool[dev]')")


@pytest.fixture(scope="session")
def stirred() -> Any:
    """stirred(model) gives every weight of a Keras model a random value, biases and gains included."""

    def stir(model: Any) -> Any:
        generator = np.random.default_rng(0)
        for weight in model.weights:
            weight.assign(np.asarray(weight) + generator.normal(size=weight.shape).astype(np.float32) * 0.3)
        return model

    return stir
