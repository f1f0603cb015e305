"""What defines an environment on a device beside the compiled one that it repeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

if TYPE_CHECKING:
    from upswing.envs.native.spec import NativeSpec  # brings numba


class Dynamics(NamedTuple):
    """Pure functions on all N environments at once. A state is float64 [n_state, N]: one number of all environments lies
    together in memory, where a GPU's threads read it at once."""

    spec: NativeSpec  # the compiled environment of the same name
    n_draws: int  # uniform numbers that the start of an episode takes
    begin: Callable[[Tensor], Tensor]  # state of new episodes from draws [n_draws, N] in [0, 1)
    step: Callable[[Tensor, Tensor, tuple[float, ...]], tuple[Tensor, Tensor, Tensor]]
    """(state after it, rewards [N], terminated [N]) from state, action float32 [A, N] inside its bounds, parameters."""
    observe: Callable[[Tensor], Tensor]  # observations float32 [N, n_obs]
    success: Callable[[Tensor], Tensor] | None = None  # [N] bool


def between(low: float, high: float, draws: Tensor) -> Tensor:
    """Uniform numbers in [low, high) from such in [0, 1)."""
    return low + (high - low) * draws
