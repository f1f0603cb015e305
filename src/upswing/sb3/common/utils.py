"""Seeds of everything global."""

from __future__ import annotations

import random

import numpy as np
import torch


def set_random_seed(seed: int, using_cuda: bool = False) -> None:
    """Seed Python's, NumPy's and torch's global generators. A model has its own, which its `seed` decides."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
