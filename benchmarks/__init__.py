"""Slow measurements; the quick checks are in tests/."""
