"""Which of the processes that train together this one is, as torchrun tells each in its environment variables."""

from __future__ import annotations

import os


def n_processes() -> int:
    """How many processes train together; 1 where torchrun has started none."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ else 1


def leads() -> bool:
    """Whether this process is the one that evaluates, records, saves and speaks: the first, or the only one."""
    return n_processes() == 1 or os.environ.get("RANK", "0") == "0"
