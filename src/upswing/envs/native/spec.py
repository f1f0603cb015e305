"""What defines a compiled environment, and the check that its functions are what they must be."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numba import types
from numba.core.errors import NumbaError

from upswing.compiled.functions import Compiled, compile_function
from upswing.errors import ConfigError

STATE = PARAMETERS = types.float64[::1]
ACTION = OBS = types.float32[::1]
STREAM = types.uint64[::1]

STEP = types.Tuple((types.float64, types.boolean))(STATE, ACTION, OBS, PARAMETERS, STREAM)
RESET = types.void(STATE, OBS, PARAMETERS, STREAM)
SUCCESS = types.boolean(STATE, PARAMETERS)

FORMS = {
    "step": ("step(state, action, obs, parameters, rng)", "(reward, terminated)"),
    "reset": ("reset(state, obs, parameters, rng)", "nothing"),
    "success": ("success(state, parameters)", "a bool"),
}


class Physics(Protocol):
    """What functions work with beside their arguments, such as a simulator's memory; for one thread at a time."""

    numbers: np.ndarray
    """float64: tells the functions of it, as the last of their parameters."""


class Functions(NamedTuple):
    """An environment's functions in machine code."""

    step: Compiled
    reset: Compiled
    success: Compiled  # says False where the environment does not speak of success

    @property
    def addresses(self) -> tuple[int, int, int]:
        """The functions as kernels take them."""
        return self.step.address, self.reset.address, self.success.address


@dataclass(frozen=True, eq=False)
class NativeSpec:
    """The definition of a compiled environment. Make one with `native_env`; call it for a Gymnasium Env."""

    id: str
    step: Callable[..., tuple[float, bool]]
    reset: Callable[..., None]
    observation_space: spaces.Box
    action_space: gymnasium.Space
    n_state: int
    max_episode_steps: int | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    success: Callable[..., bool] | None = None
    picture: Callable[[np.ndarray], np.ndarray] | None = None
    physics: Callable[[], Physics] | None = None

    def __call__(self, render_mode: str | None = None, **parameters: Any) -> gymnasium.Env:
        """This environment as a Gymnasium Env of its own."""
        from upswing.envs.native.env import NativeEnv

        if render_mode == "human" and self.picture is not None:  # a window that shows the pictures
            from gymnasium.wrappers import HumanRendering

            return HumanRendering(NativeEnv(self.with_parameters(**parameters), "rgb_array"))
        return NativeEnv(self.with_parameters(**parameters), render_mode)

    def knows(self, parameters: Mapping[str, Any]) -> bool:
        """Whether all of `parameters` are this definition's own, with numbers for values."""
        return all(name in self.parameters and _is_number(value) for name, value in parameters.items())

    def with_parameters(self, **parameters: Any) -> NativeSpec:
        """The same environment with other parameters. Raises ConfigError for unknown names and for what is no number."""
        if not self.knows(parameters):
            known = ", ".join(self.parameters) or "none"
            raise ConfigError(
                f"env_kwargs {parameters} do not fit {self.id}: give numbers for its parameters ({known})."
            )
        return self if not parameters else dataclasses.replace(self, parameters={**self.parameters, **parameters})

    @property
    def parameter_values(self) -> np.ndarray:
        """The parameters' values, float64, in their declared order."""
        return np.array([float(value) for value in self.parameters.values()], np.float64)

    def begin(self) -> tuple[np.ndarray, Physics | None]:
        """(the parameters as the functions take them, what must be kept as long as they are called with these)."""
        if self.physics is None:
            return self.parameter_values, None
        physics = self.physics()
        return np.concatenate([self.parameter_values, physics.numbers]), physics

    @property
    def n_actions(self) -> int:
        """How many numbers an action has."""
        return 1 if isinstance(self.action_space, spaces.Discrete) else math.prod(self.action_space.shape or ())

    def action_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """What actions are clipped to, float32 [n_actions] each; infinite unless they are a Box."""
        if isinstance(self.action_space, spaces.Box):
            low, high = (
                np.asarray(b, np.float32).reshape(-1).copy() for b in (self.action_space.low, self.action_space.high)
            )
            return low, high
        return np.full(self.n_actions, -np.inf, np.float32), np.full(self.n_actions, np.inf, np.float32)

    @cached_property
    def compiled(self) -> Functions:
        """The functions in machine code. Raises ConfigError where they cannot be compiled as what they must be."""
        success = _never if self.success is None else self.success
        return Functions(
            _compile(self.id, "step", self.step, STEP),
            _compile(self.id, "reset", self.reset, RESET),
            _compile(self.id, "success", success, SUCCESS),
        )


def native_env(
    id: str,
    step: Callable[..., tuple[float, bool]],
    reset: Callable[..., None],
    *,
    observation_space: spaces.Box,
    action_space: gymnasium.Space,
    n_state: int,
    max_episode_steps: int | None = None,
    parameters: Mapping[str, float] | None = None,
    success: Callable[..., bool] | None = None,
    picture: Callable[[np.ndarray], np.ndarray] | None = None,
    physics: Callable[[], Physics] | None = None,
) -> NativeSpec:
    """The definition of an environment from a step and a reset function in plain Python that numba can compile.

        step(state, action, obs, parameters, rng) -> (reward, terminated)
        reset(state, obs, parameters, rng)
        success(state, parameters) -> bool          optional; asked after every step

    state: float64 [n_state], all that is remembered. action: float32 [n_actions], inside the action space; a Discrete
    action is action[0]. obs: float32, to be filled, flat whatever the space's shape. parameters: float64, the values
    of `parameters` in their order. rng: a stream for `uniform(rng, low, high)` and `normal(rng)`. Helper functions
    need @numba.njit. After `max_episode_steps` an episode is truncated. `picture` draws a state, RGB [H, W, 3] uint8.
    `physics` makes what a simulator needs to work in; its numbers are the last of the parameters.

    Nothing is compiled yet; a function that cannot be is a ConfigError when a training begins.
    """
    kinds = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)
    if not isinstance(observation_space, spaces.Box):
        raise ConfigError(f"{id}: observation_space {observation_space} is not a Box: describe a float vector by one.")
    if not isinstance(action_space, kinds):
        raise ConfigError(
            f"{id}: action_space {action_space} is none of Discrete, Box, MultiDiscrete, MultiBinary: use one of them."
        )
    if isinstance(action_space, spaces.Discrete) and action_space.start != 0:
        raise ConfigError(f"{id}: actions are counted from {action_space.start}: let Discrete start at 0.")
    if n_state < 1 or (max_episode_steps is not None and max_episode_steps < 1):
        raise ConfigError(f"{id}: n_state and max_episode_steps must be at least 1.")
    for name, function in (("step", step), ("reset", reset), ("success", success)):
        if function is not None:
            _check_arguments(id, name, function)
    return NativeSpec(
        id,
        step,
        reset,
        observation_space,
        action_space,
        n_state,
        max_episode_steps,
        parameters or {},
        success,
        picture,
        physics,
    )


def _compile(id: str, name: str, function: Callable[..., Any], signature: Any) -> Compiled:
    try:
        return compile_function(function, signature)
    except NumbaError as error:
        form, returns = FORMS[name]
        raise ConfigError(
            f"{id}: {name} cannot be compiled as {form}, returning {returns}: {_first_sentence(error)}."
        ) from error


def _check_arguments(id: str, name: str, function: Callable[..., Any]) -> None:
    form, _ = FORMS[name]
    wanted, given = form.count(",") + 1, len(inspect.signature(function).parameters)
    if given != wanted:
        raise ConfigError(f"{id}: {name} takes {given} arguments: write it as {form}.")


def _first_sentence(error: Exception) -> str:
    """What numba complains about, without its banners, types and line markers."""
    boilerplate = re.compile(r"^(failed in|during|file|\d+\.|-|>>>|there are|\s*$|<source|\^|.*candidate impl)", re.I)
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()]
    telling = [line for line in lines if not boilerplate.match(line)]
    return (telling or lines or ["numba refuses it"])[0].rstrip(".:")


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)


def _never(state, parameters):
    return False
