"""Vector environments as Stable-Baselines3 presents them: four values a step, arrays in the environments' own spaces."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.config import TrainConfig
from upswing.envs import native
from upswing.envs.contract import Observation, Step, VectorEnv
from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.envs.make import make_vector_env
from upswing.envs.registry import env_name, make_factory
from upswing.envs.serial import SerialVectorEnv
from upswing.envs.spaces import encode
from upswing.envs.workers import WorkerVectorEnv
from upswing.errors import ConfigError, StorageError
from upswing.ppo.normalize import Moments
from upswing.run.disk import read_json
from upswing.sb3.foreign import ForeignVecEnv, is_foreign

Indices = int | Sequence[int] | None


class VecEnv:
    """N environments that step side by side, as Stable-Baselines3's scripts use them.

    An episode that ends is followed by a reset in the same step: the observation is the next episode's first, and
    infos[i] holds "terminal_observation", "TimeLimit.truncated" and "episode" ({"r", "l", "t"}, raw). What else the
    environment said stands in infos[i] too, where it runs in this process.
    """

    def __init__(
        self,
        vector_env: VectorEnv,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        envs: Sequence[gymnasium.Env] = (),
        name: str = "environment",
        source: Any = None,
    ):
        self.source = self if source is None else source  # what the user made, where it has these methods itself
        self.vector_env = vector_env
        self.num_envs = vector_env.n_envs
        own = vector_env.observation_space, vector_env.action_space
        self.observation_space = own[0] if observation_space is None else observation_space
        self.action_space = own[1] if action_space is None else action_space
        self.envs = list(envs)  # where they are at hand
        self.name = name
        self.seeds: list[int] | None = None  # for the next reset
        self.owner: Any = None  # the engine whose episodes are under way; none once it was stepped or reset here
        self.started = time.time()
        self._actions: Any = None

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seeds seed, seed + 1, … of the environments; they take effect at the next reset."""
        self.seeds = None if seed is None else [seed + i for i in range(self.num_envs)]
        return [None] * self.num_envs if self.seeds is None else [*self.seeds]

    def take_seeds(self) -> list[int] | None:
        """The seeds for a reset that is done now, which are used up by it."""
        seeds, self.seeds = self.seeds, None
        return seeds

    def reset(self) -> Observation:
        """First observations [N, ...] of new episodes."""
        self.owner = None
        return self.decode(self.vector_env.reset(self.take_seeds()))

    def step(self, actions: Any) -> tuple[Observation, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations [N, ...], raw rewards [N], dones [N] and infos, after `actions` [N, ...] of the action space."""
        self.owner = None
        step = self.vector_env.step(encode_actions(np.asarray(actions), self.action_space))
        return self.decode(step.obs), step.rewards.copy(), step.terminated | step.truncated, self.infos(step)

    def step_async(self, actions: Any) -> None:
        """Keep `actions` for step_wait."""
        self._actions = actions

    def step_wait(self) -> tuple[Observation, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """What `step` gives."""
        return self.step(self._actions)

    def decode(self, obs: Observation) -> Observation:
        """Observations [N, ...] of the contract in the environments' own space, copied."""
        return decode(self.observation_space, obs)

    def infos(self, step: Step) -> list[dict[str, Any]]:
        """An info for each environment after `step`."""
        said = getattr(self.vector_env, "infos", None)
        infos = [dict(info) for info in said] if said else [{} for _ in range(self.num_envs)]
        if step.final_obs is not None:
            final = self.decode(step.final_obs)
            for k, i in enumerate(np.flatnonzero(step.terminated | step.truncated)):
                row = {key: part[k] for key, part in final.items()} if isinstance(final, dict) else final[k]
                infos[i]["terminal_observation"] = row
                infos[i]["TimeLimit.truncated"] = bool(step.truncated[i] and not step.terminated[i])
        for episode in step.episodes:
            infos[episode.env]["episode"] = self.episode_info(episode.ret, episode.length)
            if episode.success_at_end is not None:
                infos[episode.env]["is_success"] = episode.success_at_end
        return infos

    def episode_info(self, ret: float, length: int) -> dict[str, Any]:
        """An episode's return, length and end, in seconds since this was made."""
        return {"r": round(ret, 6), "l": length, "t": round(time.time() - self.started, 6)}

    def render(self, mode: str | None = None) -> np.ndarray | None:
        """The first environment's picture [H, W, 3], or None where it makes none; `mode` is the environment's own."""
        return self.vector_env.render()

    def get_images(self) -> list[np.ndarray | None]:
        """The first environment's picture."""
        return [self.render()]

    def close(self) -> None:
        """Close the environments."""
        self.vector_env.close()

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute of each environment, wrappers looked through."""
        return [env.get_wrapper_attr(attr_name) for env in self._targets(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of the environments."""
        for env in self._targets(indices):
            env.set_wrapper_attr(attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        """What a method of each environment returns."""
        return [env.get_wrapper_attr(method_name)(*args, **kwargs) for env in self._targets(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Indices = None) -> list[bool]:
        """Whether each environment has a wrapper of that class."""
        return [_has_wrapper(env, wrapper_class) for env in self._targets(indices)]

    def _targets(self, indices: Indices) -> list[gymnasium.Env]:
        if not self.envs:
            raise ConfigError(
                f"the environments ({self.vector_env.description}) cannot be reached one by one: make them with "
                f"DummyVecEnv([...]) for that."
            )
        chosen = range(self.num_envs) if indices is None else [indices] if isinstance(indices, int) else indices
        return [self.envs[i] for i in chosen]


class DummyVecEnv(VecEnv):
    """Environments made by functions and stepped in this process, one after the other."""

    def __init__(self, env_fns: Sequence[Callable[[], gymnasium.Env]]):
        envs = [make() for make in env_fns]
        for env in envs:
            if not isinstance(env, gymnasium.Env):
                raise ConfigError(f"DummyVecEnv got a function that returned {env!r}: return a gymnasium.Env.")
        factories = [lambda env=env: env for env in envs]
        first = envs[0]
        vector_env = SerialVectorEnv(factories, action_masks=False)
        super().__init__(vector_env, first.observation_space, first.action_space, envs, _name(first))


class SubprocVecEnv(VecEnv):
    """Environments made by functions in worker processes, several to a worker. `start_method` is accepted, not needed."""

    def __init__(self, env_fns: Sequence[Callable[[], gymnasium.Env]], start_method: str | None = None):
        example = env_fns[0]()
        spaces_of, name = (example.observation_space, example.action_space), _name(example)
        example.close()
        super().__init__(WorkerVectorEnv(list(env_fns), action_masks=False), *spaces_of, name=name)


class VecNormalize(VecEnv):
    """Environments whose model is to scale observations and rewards by their running statistics.

    The model does that itself and keeps the statistics, in its file too, so `reset` and `step` give raw numbers here,
    which `predict` takes. Rewards are discounted with the model's gamma. Without `training` nothing can learn from it.
    """

    def __init__(
        self,
        venv: Any,
        training: bool = True,
        norm_obs: bool = True,
        norm_reward: bool = True,
        clip_obs: float = 10.0,
        clip_reward: float = 10.0,
        gamma: float = 0.99,
        epsilon: float = 1e-8,
        norm_obs_keys: list[str] | None = None,
    ):
        if norm_obs_keys is not None:
            raise ConfigError("norm_obs_keys has no counterpart, since all but images are normalised: leave it out.")
        self.venv = inner = as_vec_env(venv)
        super().__init__(inner.vector_env, inner.observation_space, inner.action_space, inner.envs, inner.name)
        self.seeds = inner.seeds
        self.training, self.norm_obs, self.norm_reward = training, norm_obs, norm_reward
        self.clip_obs, self.clip_reward = clip_obs, clip_reward
        self.normalizer: Any = None  # the model's, once there is one

    @property
    def normalization(self) -> dict[str, Any]:
        """The settings of a TrainConfig that say what it asks for."""
        switches = {"normalize_obs": self.norm_obs, "normalize_reward": self.norm_reward}
        return switches | {"clip_obs": self.clip_obs, "clip_reward": self.clip_reward}

    @property
    def obs_rms(self) -> Any:
        """Mean, variance and count of the observations, by key for a Dict; None before a model has any."""
        moments = self.normalizer.obs if self.normalizer is not None else {}
        shown = {key: _rms(each) for key, each in moments.items()}
        return shown.get("", shown or None)

    @property
    def ret_rms(self) -> Any:
        """Mean, variance and count of the discounted returns; None before a model has any."""
        returns = self.normalizer.returns if self.normalizer is not None else None
        return None if returns is None else _rms(returns)

    def normalize_obs(self, obs: Observation) -> Observation:
        """Observations [N, ...] as the policy sees them."""
        return self.normalizer.scale(encode(self.observation_space, obs))

    def save(self, save_path: str) -> None:
        """Write what it asks for to a file that `load` reads. The statistics are in the model's file."""
        Path(save_path).write_text(json.dumps(self.normalization), encoding="utf-8")

    @classmethod
    def load(cls, load_path: str, venv: Any) -> VecNormalize:
        """`venv` with what the file asks for. Raises StorageError for any file that `save` did not write."""
        asked = read_json(Path(load_path))
        try:
            switches = {"norm_obs": asked["normalize_obs"], "norm_reward": asked["normalize_reward"]}
            return cls(venv, **switches, clip_obs=asked["clip_obs"], clip_reward=asked["clip_reward"])
        except KeyError:
            raise StorageError(f"{load_path} was not written by VecNormalize.save: give a file that was.") from None


def _rms(moments: Moments) -> SimpleNamespace:
    return SimpleNamespace(mean=moments.mean, var=moments.var, count=moments.weight)


def as_vec_env(env: Any) -> VecEnv:
    """`env` as a VecEnv: an id, a Gymnasium Env or VectorEnv, an environment of this project or of Stable-Baselines3, or a
    function that makes one. Raises ConfigError."""
    if isinstance(env, VecEnv):
        return env
    if isinstance(env, str):
        return from_id(env)
    if isinstance(env, gymnasium.Env):
        return DummyVecEnv([lambda: env])
    if isinstance(env, gymnasium.vector.VectorEnv):
        members = getattr(env.unwrapped, "envs", ())
        vector_env = GymnasiumVectorEnv(env, action_masks=False)
        name = env_name(env.spec.id) if env.spec else type(env.unwrapped).__name__
        return VecEnv(vector_env, env.single_observation_space, env.single_action_space, members, name)
    if is_foreign(env):
        return VecEnv(ForeignVecEnv(env), env.observation_space, env.action_space, source=env)
    if isinstance(env, VectorEnv):
        return VecEnv(env)
    if callable(env):
        return DummyVecEnv([env])
    raise ConfigError(f"env = {env!r} is not an environment: give an id, or an environment made with Gymnasium.")


def from_id(env_id: str, n_envs: int = 1, env_kwargs: dict[str, Any] | None = None) -> VecEnv:
    """`n_envs` environments of an id in this process, compiled where there is a compiled one of that name."""
    env_kwargs = env_kwargs or {}
    compiled = native.find(env_id, env_kwargs) is not None
    example, drawing = drawable(env_id, env_kwargs)
    config = TrainConfig(
        env=env_id,
        env_kwargs=env_kwargs if compiled else drawing,
        vectorization="native" if compiled else "serial",
        action_masks=False,
    )
    spaces_of = example.observation_space, example.action_space
    return VecEnv(make_vector_env(config, n_envs), *spaces_of, name=env_name(env_id))


def drawable(env: Any, env_kwargs: dict[str, Any]) -> tuple[gymnasium.Env, dict[str, Any]]:
    """An environment (closed) made of `env`, and `env_kwargs` with which its like draws pictures, where it can."""
    example = make_factory(env, env_kwargs)()
    example.close()
    draws = "rgb_array" in (example.metadata.get("render_modes") or ())
    return example, {"render_mode": "rgb_array", **env_kwargs} if draws else env_kwargs


def check_spaces(env: Any, observation_space: gymnasium.Space, action_space: gymnasium.Space) -> None:
    """Nothing; raises ConfigError where the environment's spaces are not these."""
    for name, expected in (("observation_space", observation_space), ("action_space", action_space)):
        found = getattr(env, name)
        if found != expected:
            raise ConfigError(f"The environment's {name} is {found}, but the model's is {expected}: give one like it.")


def encode_actions(actions: np.ndarray, space: gymnasium.Space) -> np.ndarray:
    """`actions` [N, ...] of the environments' own `space` as the contract has them: [N] or [N, A], counted from 0."""
    if isinstance(space, spaces.Discrete):
        return actions.reshape(-1) - space.start
    if isinstance(space, spaces.MultiDiscrete):
        actions = actions - space.start
    return actions.reshape(len(actions), -1)


def decode(space: gymnasium.Space, obs: Observation, path: str = "") -> Any:
    """Encoded observations [N, ...] in the environment's own `space`, copied. The inverse of `envs.spaces.encode`."""
    if isinstance(space, spaces.Dict):
        parts = {key: decode(part, obs, f"{path}.{key}" if path else str(key)) for key, part in space.spaces.items()}
        return {key: part for key, part in parts.items() if part is not None}
    if isinstance(obs, dict):
        return decode(space, obs[path]) if path in obs else None  # an action mask is not among the observations
    if isinstance(space, spaces.Discrete):
        return obs.argmax(-1) + space.start
    if isinstance(space, spaces.MultiDiscrete):
        heads = np.split(obs, np.cumsum(space.nvec.ravel())[:-1], axis=-1)
        return np.stack([head.argmax(-1) for head in heads], -1).reshape(-1, *space.shape) + space.start
    return obs.astype(space.dtype).reshape(len(obs), *(space.shape or ()))


def _has_wrapper(env: gymnasium.Env, kind: type) -> bool:
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, kind):
            return True
        env = env.env
    return isinstance(env, kind)


def _name(env: gymnasium.Env) -> str:
    return env_name(env.spec.id if env.spec else type(env.unwrapped))
