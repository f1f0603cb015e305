"""A ManiSkill task as one ordinary Gymnasium environment: one scene, simulated on the CPU."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.envs.maniskill.making import make_task, read_options
from upswing.envs.maniskill.renderer import can_draw


class Scene(gymnasium.Env):
    """One world of `task`; arrays in and out, every one of them a copy.

    Actions of several robots are joined to one vector, in the order of their names in ManiSkill's Dict space. Without
    `partial_reset` an episode ends by its time limit alone.
    """

    def __init__(
        self,
        task: str,
        module: str,
        env_kwargs: dict[str, Any],
        evaluation: bool = False,
        render_mode: str | None = None,
    ):
        options = read_options(env_kwargs, evaluation)
        drawing = {"render_backend": "cpu" if can_draw() else "none"}
        if render_mode is not None:
            drawing["render_mode"] = render_mode
        # every episode draws from a seed of its own: otherwise from torch's generator, which all scenes of a process share
        settings = {**drawing, "enhanced_determinism": True, **options.passed_on, "sim_backend": "physx_cpu"}
        self.world, limit = make_task(task, module, 1, settings)
        self.limit = options.max_episode_steps or limit
        self.partial_reset = options.partial_reset
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array", "human"], "render_fps": self.world.control_freq}
        self.observation_space = self.world.single_observation_space
        self.parts = action_parts(self.world.single_action_space)
        self.action_space = joined(self.world.single_action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The first observation of an episode."""
        obs, _ = self.world.reset(seed=seed, options=dict(options or {}))
        return single(obs), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The outcome of `action`; info has "success" where the task speaks of it."""
        given: Any = np.asarray(action, np.float32)
        if self.parts:
            given = {name: given[where] for name, where in self.parts.items()}
        obs, reward, terminated, _, info = self.world.step(given)
        told = {name: bool(info[name][0]) for name in ("success", "fail") if name in info}
        truncated = self.limit is not None and int(self.world.elapsed_steps[0]) >= self.limit
        return single(obs), float(reward[0]), self.partial_reset and bool(terminated[0]), truncated, told

    def render(self) -> np.ndarray | None:
        """A picture [H, W, 3] uint8, or None where a window shows it."""
        if self.render_mode is None:
            return None
        picture = self.world.render()
        return None if self.render_mode == "human" else np.asarray(picture[0].cpu())

    def close(self) -> None:
        """Release the scene."""
        self.world.close()


def single(value: Any) -> Any:
    """The one row of a batch of tensors, as arrays of its own; dicts are gone through."""
    if isinstance(value, dict):
        return {name: single(part) for name, part in value.items()}
    return value[0].cpu().numpy().copy()


def joined(space: Any) -> Any:
    """`space`, or for a Dict of Boxes one Box of all of them."""
    if not isinstance(space, spaces.Dict):
        return space
    low, high = (np.concatenate([getattr(part, end) for part in space.values()]) for end in ("low", "high"))
    return spaces.Box(low, high, dtype=np.float32)


def action_parts(space: gymnasium.Space) -> dict[str, slice]:
    """Where each robot's action lies in the joined one; empty for a single robot."""
    if not isinstance(space, spaces.Dict):
        return {}
    ends = np.cumsum([part.shape[0] for part in space.values()]).tolist()  # type: ignore[index]
    return {name: slice(start, end) for name, start, end in zip(space, [0, *ends], ends, strict=False)}
