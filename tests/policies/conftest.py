"""One thread: these networks are small, and tests share the machine with others."""

import torch

torch.set_num_threads(1)
