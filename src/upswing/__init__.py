"""Upswing: PPO you can see through. It trains fast, tells you what is wrong, and shows that the cure works.

Names are imported when they are first used, so that `import upswing` is quick and the command line's help does not
wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("upswing")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "TrainConfig": "upswing.config",
    "preset": "upswing.presets",
    "train": "upswing.training",
    "resume": "upswing.training",
    "train_many": "upswing.many",
    "evaluate": "upswing.evaluation",
    "evaluate_run": "upswing.evaluation",
    "load_agent": "upswing.evaluation",
    "Agent": "upswing.agent",
    "Hook": "upswing.hooks",
    "Request": "upswing.hooks",
    "Result": "upswing.hooks",
    "PPO": "upswing.sb3",
    "UserError": "upswing.errors",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'upswing' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
