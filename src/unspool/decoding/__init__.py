"""Turning a model's next-token probabilities into sequences; nothing here knows a model, only a step function."""
