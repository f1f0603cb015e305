"""The state of one environment as arrays and JSON values, so that a resumed run continues exactly.

It can be had of environments that offer `get_state()` and `set_state(state)` themselves, and of Gymnasium's classic
control, toy text and MuJoCo environments under wrappers that are known here. Anything else: None, rather than a guess.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import gymnasium
import numpy as np

from upswing.envs.contract import VectorEnv
from upswing.errors import StorageError

_CLASSIC, _TEXT = "gymnasium.envs.classic_control.", "gymnasium.envs.toy_text."
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    f"{_CLASSIC}cartpole.CartPoleEnv": ("state", "steps_beyond_terminated"),
    f"{_CLASSIC}pendulum.PendulumEnv": ("state", "last_u"),
    f"{_CLASSIC}acrobot.AcrobotEnv": ("state",),
    f"{_CLASSIC}mountain_car.MountainCarEnv": ("state",),
    f"{_CLASSIC}continuous_mountain_car.Continuous_MountainCarEnv": ("state",),
    f"{_TEXT}frozen_lake.FrozenLakeEnv": ("s", "lastaction"),
    f"{_TEXT}cliffwalking.CliffWalkingEnv": ("s", "lastaction"),
    f"{_TEXT}taxi.TaxiEnv": ("s", "lastaction", "fickle_step", "taxi_orientation"),
}
"""What changes from step to step in environments whose whole state is a few attributes, by the exact class."""

_STATELESS = (
    *("common.PassiveEnvChecker", "common.OrderEnforcing", "common.RecordEpisodeStatistics"),
    *("transform_action.ClipAction", "transform_action.RescaleAction", "transform_action.DiscretizeAction"),
    *(f"transform_observation.{kind}Observation" for kind in ("Filter", "Flatten", "Grayscale", "Resize", "Reshape")),
    *(f"transform_observation.{kind}Observation" for kind in ("Rescale", "Dtype", "Discretize")),
    *("transform_reward.ClipReward", "stateful_action.RepeatAction", "stateful_observation.MaxAndSkipObservation"),
    *("rendering.HumanRendering", "rendering.RenderCollection"),
)
_STICKY = ("last_action", "is_sticky_actions", "num_repeats", "repeats_taken")
WRAPPERS: dict[str, tuple[str, ...]] = {
    **{f"gymnasium.wrappers.{name}": () for name in _STATELESS},
    "gymnasium.wrappers.common.TimeLimit": ("_elapsed_steps",),
    "gymnasium.wrappers.stateful_observation.TimeAwareObservation": ("timesteps",),
    "gymnasium.wrappers.stateful_action.StickyAction": _STICKY,
}
"""What changes from step to step in wrappers, by the exact class."""

_DERIVED = ("xpos", "xipos")
"""MuJoCo computes positions of bodies before it integrates, and some environments read them a step later (Ant, Humanoid),
so they must be put back as they were, not computed afresh. Everything else they read, they read after stepping."""


def get_env_state(env: gymnasium.Env) -> dict[str, Any] | None:
    """Everything `env` needs to continue exactly, nested dicts and lists of arrays and JSON values, or None."""
    layers: list[Any] = []
    layer: Any = env
    while not _speaks_for_itself(layer) and isinstance(layer, gymnasium.Wrapper):
        names = WRAPPERS.get(_name(layer))
        if names is None:
            return None
        layers.append(_attributes(layer, names))
        layer = layer.env
    base = _base_state(layer)
    if base is None:
        return None
    return {"wrappers": layers, "base": base, "random": _generator_state(env.unwrapped)}


def set_env_state(env: gymnasium.Env, state: dict[str, Any]) -> None:
    """Continue from what `get_env_state` gave for an environment made alike."""
    _set_generator_state(env.unwrapped, state["random"])
    layer: Any = env
    for values in state["wrappers"]:
        _set_attributes(layer, values)
        layer = layer.env
    base = state["base"]
    if "own" in base:
        layer.set_state(copy.deepcopy(base["own"]))
    elif "physics" in base:
        _set_physics(layer, base)
    else:
        _set_attributes(layer, base["attributes"])


def saved_environments(state: dict[str, Any], n_envs: int) -> list[dict[str, Any]]:
    """What a vector environment's state holds of each of its `n_envs` environments. Raises StorageError for another."""
    environments = state.get("environments", [])
    if len(environments) != n_envs:
        raise StorageError(
            f"The saved state is not one of {n_envs} environments of this kind: resume with the same env, n_envs and "
            f"vectorization."
        )
    return environments


def restore_environments(env: VectorEnv, state: dict[str, Any] | None) -> str | None:
    """None where `env` goes on from what its like saved; otherwise why its new episodes stay begun, as a sentence."""
    if state is None:
        return "The environments' state was not saved, or cannot be: new episodes were begun."
    try:
        env.set_state(state)
    except StorageError:  # such as one from before these environments could be compiled
        return f"The saved state is not one of {env.description}: new episodes were begun."
    return None


def _name(layer: Any) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"


def _speaks_for_itself(layer: Any) -> bool:
    """Whether `layer` has a get_state() and a set_state(state). MuJoCo's set_state(qpos, qvel) is something else."""
    if not (callable(getattr(layer, "get_state", None)) and callable(getattr(layer, "set_state", None))):
        return False
    try:
        inspect.signature(layer.get_state).bind()
        inspect.signature(layer.set_state).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _base_state(base: Any) -> dict[str, Any] | None:
    if _speaks_for_itself(base):
        own = base.get_state()
        return None if own is None else {"own": copy.deepcopy(own)}
    name = _name(base)
    if name in ATTRIBUTES:
        return {"attributes": _attributes(base, ATTRIBUTES[name])}
    if name.startswith("gymnasium.envs.mujoco.") and hasattr(base, "data") and hasattr(base, "model"):
        return _physics(base)
    return None


def _attributes(layer: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain(getattr(layer, name, None)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return np.array(value) if isinstance(value, np.ndarray | list | tuple) else value


def _set_attributes(layer: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(layer, name, value.copy() if isinstance(value, np.ndarray) else value)


def _physics(env: Any) -> dict[str, Any]:
    import mujoco

    state = np.empty(mujoco.mj_stateSize(env.model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(env.model, env.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    derived = {name: getattr(env.data, name).copy() for name in _DERIVED if hasattr(env.data, name)}
    return {"physics": state, "derived": derived}


def _set_physics(env: Any, state: dict[str, Any]) -> None:
    import mujoco

    mujoco.mj_setState(env.model, env.data, state["physics"], mujoco.mjtState.mjSTATE_INTEGRATION)
    mujoco.mj_forward(env.model, env.data)  # for pictures; what it touches of the state is put back
    mujoco.mj_setState(env.model, env.data, state["physics"], mujoco.mjtState.mjSTATE_INTEGRATION)
    for name, value in state["derived"].items():
        getattr(env.data, name)[...] = value


def _generator_state(base: Any) -> dict[str, Any] | None:
    generator = getattr(base, "_np_random", None)
    if generator is None:
        return None
    return {"state": generator.bit_generator.state, "seed": _plain(getattr(base, "_np_random_seed", None))}


def _set_generator_state(base: Any, saved: dict[str, Any] | None) -> None:
    if saved is None:
        return
    kind = saved["state"]["bit_generator"]
    if base.np_random.bit_generator.state["bit_generator"] != kind:
        kinds = {"PCG64": np.random.PCG64, "PCG64DXSM": np.random.PCG64DXSM, "MT19937": np.random.MT19937}
        kinds |= {"Philox": np.random.Philox, "SFC64": np.random.SFC64}
        base.np_random = np.random.Generator(kinds[kind]())
    base.np_random.bit_generator.state = saved["state"]
    base._np_random_seed = saved["seed"]
