"""Layers for texts of different lengths, with torch's argument, shape and state-dict names."""

from __future__ import annotations

from unspool.nn.attention import Attention
from unspool.nn.cells import (
    GRU,
    LSTM,
    QRNN,
    RECURRENT,
    RNN,
    MinGRU,
    NormalisedPrototypeLSTM,
    PeepholeLSTM,
    PrototypeLSTM,
    PseudoLSTM,
)
from unspool.nn.convolutional import ConvPool, DilatedConv, StackedConv, TextConv
from unspool.nn.crf import LinearChainCRF
from unspool.nn.dropout import VariationalDropout, WordDropout, max_norm_
from unspool.nn.embedding import Embedding
from unspool.nn.linear import Linear
from unspool.nn.pooling import (
    POOLINGS,
    AttentionPool,
    LastPool,
    MaxPool,
    MeanPool,
    MeanVariancePool,
    Pooling,
    make_pooling,
)

__all__ = [
    "GRU",
    "LSTM",
    "POOLINGS",
    "QRNN",
    "RECURRENT",
    "RNN",
    "Attention",
    "AttentionPool",
    "ConvPool",
    "DilatedConv",
    "Embedding",
    "LastPool",
    "Linear",
    "LinearChainCRF",
    "MaxPool",
    "MeanPool",
    "MeanVariancePool",
    "MinGRU",
    "NormalisedPrototypeLSTM",
    "PeepholeLSTM",
    "Pooling",
    "PrototypeLSTM",
    "PseudoLSTM",
    "StackedConv",
    "TextConv",
    "VariationalDropout",
    "WordDropout",
    "make_pooling",
    "max_norm_",
]
