"""Stable-Baselines3's own objects, taken as they come: its vector environments and its parameters' names.

Nothing of it is imported: what has its methods is understood.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from upswing.envs.contract import Episode, Observation, Step
from upswing.envs.episodes import UNKNOWN, Tallies
from upswing.envs.spaces import clip_to_space, encode, encode_action_space, encode_space

POLICY_NAMES = {
    "ActorCriticPolicy": "MlpPolicy",
    "ActorCriticCnnPolicy": "CnnPolicy",
    "MultiInputActorCriticPolicy": "MultiInputPolicy",
}
"""Its policy classes and our names for what they are."""

_PREFIXES = {
    "mlp_extractor.policy_net.": "pi.",
    "mlp_extractor.value_net.": "vf.",
    "action_net.": "action_head.net.",
    "log_std": "action_head.log_std",
    "value_net.": "value_net.",
    "features_extractor.": "features.",
    "pi_features_extractor.": "features.",
    "vf_features_extractor.": "vf_features.",
}


def is_foreign(env: Any) -> bool:
    """Whether `env` is a vector environment with Stable-Baselines3's methods."""
    return all(hasattr(env, name) for name in ("num_envs", "step_async", "step_wait", "env_is_wrapped"))


class ForeignVecEnv:
    """A vector environment of Stable-Baselines3 under this project's contract (`contract.VectorEnv`).

    Where its environments are wrapped in a Monitor, episodes are the Monitor's; otherwise they are counted here.
    """

    def __init__(self, envs: Any):
        self.envs = envs
        self.n_envs = int(envs.num_envs)
        self.space, self.env_action_space = envs.observation_space, envs.action_space
        self.observation_space, self.action_space = encode_space(self.space), encode_action_space(self.env_action_space)
        self.description = f"{self.n_envs} environments in Stable-Baselines3's {type(envs).__name__}"
        self.infos: list[dict[str, Any]] = [{} for _ in range(self.n_envs)]
        self._tallies = Tallies(self.n_envs)
        self._monitored = False

    def reset(self, seeds: Sequence[int] | None = None) -> Observation:
        """First observations [N, ...] of new episodes. The environments take the first seed and those that follow it."""
        if seeds is not None:
            self.envs.seed(int(seeds[0]) % 2**31)
        self._tallies.clear()
        return encode(self.space, self.envs.reset())

    def step(self, actions: np.ndarray) -> Step:
        """The outcome of `actions` [N] or [N, A]."""
        obs, rewards, dones, infos = self.envs.step(clip_to_space(actions, self.env_action_space))
        self.infos = infos
        rewards, dones = np.asarray(rewards, np.float32), np.asarray(dones, bool)
        cut = np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos])
        final = [infos[i]["terminal_observation"] for i in np.flatnonzero(dones)]
        success = np.array([int(info.get("is_success", UNKNOWN)) for info in infos], np.int8)
        self._tallies.add(rewards, np.ones(self.n_envs, bool), success)
        return Step(
            obs=encode(self.space, obs),
            rewards=rewards,
            terminated=dones & ~cut,
            truncated=dones & cut,
            final_obs=encode(self.space, _stack(final)) if final else None,
            episodes=self._episodes(dones),
        )

    def _episodes(self, dones: np.ndarray) -> list[Episode]:
        counted = self._tallies.finish(np.flatnonzero(dones))
        self._monitored = self._monitored or any("episode" in info for info in self.infos)
        if not self._monitored:
            return counted
        ended = [(episode, self.infos[episode.env].get("episode")) for episode in counted]
        return [e._replace(ret=float(seen["r"]), length=int(seen["l"])) for e, seen in ended if seen]

    def get_state(self) -> None:
        """None: it cannot be had."""
        return None

    def set_state(self, state: dict[str, Any]) -> Observation:
        """Never called, since there is no state to set."""
        raise NotImplementedError

    def render(self) -> np.ndarray | None:
        """The environments' picture, or None."""
        return self.envs.render(mode="rgb_array")

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()


def _stack(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: np.stack([obs[key] for obs in observations]) for key in observations[0]}
    return np.stack(observations)


def our_names(state: Mapping[str, Any], policy: nn.Module) -> dict[str, Any]:
    """A policy's state under the names of our `policy`, from Stable-Baselines3's names or from ours.

    A features extractor that policy and value share is listed three times there.
    """
    own = policy.state_dict()
    if all(name in own for name in state):
        return dict(state)
    keys = getattr(getattr(policy, "features", None), "keys", ())
    renamed = {}
    for name, tensor in state.items():
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        ours = _PREFIXES.get(prefix, "") + name[len(prefix) :]
        for i, key in enumerate(keys):
            ours = ours.replace(f".extractors.{key}.", f".parts.{i}.")
        if ours in own or prefix != "vf_features_extractor.":
            renamed[ours] = tensor
    return renamed


def vec_normalize_of(env: Any) -> Any:
    """Stable-Baselines3's VecNormalize among the wrappers that a VecEnv was made from, or None."""
    layer = env.source if env is not None and isinstance(env.vector_env, ForeignVecEnv) else None
    while layer is not None and type(layer).__name__ != "VecNormalize":
        layer = getattr(layer, "venv", None)
    return layer


def sync_normalization(source: Any, target: Any) -> None:
    """Give the VecNormalize `target` the statistics of `source`; nothing where either is None."""
    if source is not None and target is not None:
        for name in ("obs_rms", "ret_rms"):
            setattr(target, name, copy.deepcopy(getattr(source, name)))
