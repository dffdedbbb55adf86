"""Timings against other libraries: A and B alternate in one run, medians are compared."""
