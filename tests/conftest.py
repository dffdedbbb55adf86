"""For all tests."""

import torch

# Memory that torch hands out before it is written holds NaN: what reads it is seen at once, not once in a while.
torch.use_deterministic_algorithms(True, warn_only=True)
torch.utils.deterministic.fill_uninitialized_memory = True
