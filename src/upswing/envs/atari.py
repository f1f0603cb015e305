"""Atari games with the usual preprocessing, by ALE's own vector environment, or one by one where pictures are wanted.

A step is 4 frames of the game with the same action. The policy sees the last 4 steps in grey, 84 × 84 pixels, each the
maximum of two frames. An episode begins after up to 30 idle frames, with the fire button where a game waits for it.
Rewards are clipped to ±1 for learning, and reports show the game's own score (Mnih et al. 2015, doi:10.1038/nature14236).
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.errors import ConfigError

NAMESPACE = "ALE"
PICTURES = {"img_height": 84, "img_width": 84, "grayscale": True, "stack_num": 4, "maxpool": True, "noop_max": 30}
OURS = ("reward_clipping", "episodic_life", "life_loss_info", "use_fire_reset", *PICTURES)
"""Arguments of the preprocessing; the others are the game's own."""


def is_atari(spec: Any) -> bool:
    """Whether `spec` is Gymnasium's specification of a game that has ALE's vector environment."""
    return isinstance(spec, EnvSpec) and spec.namespace == NAMESPACE


class AtariVectorEnv(GymnasiumVectorEnv):
    """ALE's vector environment. With `episodic_life` losing a life terminates an episode of learning, while the game goes on
    and is reported when it is over; evaluation plays whole games.

    ALE's own episodic_life would begin a new game after the first life, so its life_loss_info is used.
    """

    def __init__(self, spec: EnvSpec, n_envs: int, env_kwargs: dict[str, Any], evaluation: bool, action_masks: bool):
        from ale_py.vector_env import AtariVectorEnv as Games

        given = {**spec.kwargs, **env_kwargs}
        self.clipped = given.pop("reward_clipping", True)
        given["life_loss_info"] = given.pop("episodic_life", False) and not evaluation
        super().__init__(Games(num_envs=n_envs, reward_clipping=False, **given), action_masks)
        self.description = f"{n_envs} environment{'s' * (n_envs > 1)} in ALE's threads"

    def _seed(self, seeds: list[int]) -> Any:
        return np.array(seeds, np.int64) % 2**31

    def _whole(self, ended: np.ndarray, truncated: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        return ended & (truncated | (info["lives"] == 0))

    def _learned(self, rewards: np.ndarray) -> np.ndarray:
        return np.clip(rewards, -1.0, 1.0) if self.clipped else rewards


def make_game(spec: EnvSpec, env_kwargs: dict[str, Any]) -> gymnasium.Env:
    """One game with the same preprocessing by Gymnasium's wrappers, which can be drawn. Its rewards are not clipped."""
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

    given = {**spec.kwargs, **env_kwargs}
    pictures = {name: given.pop(name, default) for name, default in PICTURES.items()}
    skip = given.pop("frameskip", 4)
    given = {name: value for name, value in given.items() if name not in OURS}
    if pictures["img_height"] != pictures["img_width"]:
        raise ConfigError(f"env_kwargs: {spec.id} can be drawn with square pictures only: set img_height to img_width.")
    game = gymnasium.make(spec.id, frameskip=1, disable_env_checker=True, **given)
    seen = AtariPreprocessing(
        game,
        noop_max=pictures["noop_max"],
        frame_skip=skip,
        screen_size=pictures["img_height"],
        grayscale_obs=pictures["grayscale"],
    )
    return FrameStackObservation(seen, pictures["stack_num"])
