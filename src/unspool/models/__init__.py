"""Whole networks: token ids and lengths in, a loss or log-probabilities out."""
