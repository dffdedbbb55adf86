"""Models side by side: the same splits, several seeds, and what the differences are worth."""
