"""The training loop and what it needs; it never learns which task it trains."""
