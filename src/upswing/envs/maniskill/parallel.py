"""ManiSkill's environments in one scene, on the device that simulates them. Tensors in, tensors out, nothing copied to
the host but the statistics of finished episodes and, once a step, whether any is finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upswing.envs.contract import Episode, Step
from upswing.envs.episodes import UNKNOWN, finished
from upswing.envs.maniskill.making import make_task, read_options
from upswing.envs.maniskill.scene import action_parts, joined
from upswing.envs.spaces import encode_space, leaves, pick
from upswing.errors import EnvironmentFault


class ParallelScene:
    """N environments of `world` under the project's contract, with tensors on `world.device` for arrays.

    An episode that ends is reset alone (a partial reset). Without `partial_reset` it ends by `limit` steps alone.
    """

    def __init__(self, world: Any, limit: int | None, partial_reset: bool):
        self.world, self.limit, self.partial_reset = world, limit, partial_reset
        self.n_envs, self.device = int(world.num_envs), torch.device(world.device)
        self.leaves = leaves(world.single_observation_space)
        self.observation_space = encode_space(world.single_observation_space)
        self.parts = action_parts(world.single_action_space)
        self.action_space: Any = joined(world.single_action_space)
        self.low, self.high = (
            torch.as_tensor(b, device=self.device) for b in (self.action_space.low, self.action_space.high)
        )
        self.description = f"{self.n_envs} environments in one scene on {self.device}"
        self.notices: list[str] = []
        self.ret = torch.zeros(self.n_envs, dtype=torch.float64, device=self.device)
        self.length = torch.zeros(self.n_envs, dtype=torch.int64, device=self.device)
        self.once, self.at_end = torch.full((2, self.n_envs), UNKNOWN, dtype=torch.int8, device=self.device)
        self.steps = 0

    def reset(self, seeds: Sequence[int] | None = None) -> Any:
        """First observations [N, ...] of new episodes."""
        obs, _ = self.world.reset(seed=None if seeds is None else [int(seed) % 2**31 for seed in seeds])
        self._clear(slice(None))
        return self._named(obs)

    @torch.no_grad()
    def step(self, actions: Any) -> Step:
        """The outcome of `actions` [N, A]. Raises EnvironmentFault where a number is not finite."""
        self.steps += 1
        given: Any = torch.as_tensor(actions, device=self.device, dtype=torch.float32).clamp(self.low, self.high)
        if self.parts:
            given = {name: given[:, where] for name, where in self.parts.items()}
        raw, rewards, terminated, _, info = self.world.step(given)
        obs, rewards = self._named(raw), rewards.float().clone()
        terminated = terminated.clone() if self.partial_reset else torch.zeros_like(terminated)
        self._count(rewards, info)
        over = torch.zeros_like(terminated) if self.limit is None else self.length >= self.limit
        truncated = over & ~terminated
        ended = terminated | truncated
        sound = torch.stack([part.isfinite().all() for part in (rewards, *_parts(obs))]).all()
        any_ended, finite = torch.stack(
            [ended.any(), sound]
        ).tolist()  # the one time that the host waits for the device
        if not finite:
            raise EnvironmentFault(
                f"The scene returned a NaN or infinite number in step {self.steps}: look for an unstable simulation."
            )
        step: Any = Step  # which speaks of arrays
        if not any_ended:
            return step(obs, rewards, terminated, truncated, None, [])
        rows = ended.nonzero()[:, 0]
        final = _take(obs, rows)
        episodes = self._finish(rows)
        fresh, _ = self.world.reset(options={"env_idx": rows})
        return step(self._named(fresh), rewards, terminated, truncated, final, episodes)

    def _named(self, obs: Any) -> Any:
        """Observations as the encoded space has them, in tensors of their own: ManiSkill's may be its state itself."""
        if not isinstance(obs, dict):
            return obs.float().clone()
        return {leaf.name: pick(obs, leaf.path).float().clone() for leaf in self.leaves}

    def _count(self, rewards: Tensor, info: dict[str, Any]) -> None:
        self.ret += rewards
        self.length += 1
        if "success" in info:
            self.at_end[:] = info["success"].to(torch.int8)
            self.once[:] = torch.maximum(self.once, self.at_end)

    def _finish(self, rows: Tensor) -> list[Episode]:
        """The episodes that ended in `rows`, whose statistics begin anew."""
        told: Any = [part.cpu().numpy() for part in (rows, self.ret, self.length, self.once, self.at_end)]
        episodes = finished(*told)  # before they are cleared: on the CPU these are the same memory
        self._clear(rows)
        return episodes

    def _clear(self, rows: Any) -> None:
        self.ret[rows], self.length[rows], self.once[rows], self.at_end[rows] = 0.0, 0, UNKNOWN, UNKNOWN

    def get_state(self) -> None:
        """None: the scene cannot say."""
        return None

    def set_state(self, state: dict[str, Any]) -> Any:
        """Nothing was saved that could be restored."""
        raise EnvironmentFault("A scene on a GPU cannot be restored: new episodes are begun.")

    def render(self) -> np.ndarray | None:
        """The first environment's picture [H, W, 3] uint8, or None."""
        if self.world.render_mode != "rgb_array":
            return None
        return self.world.render()[0].cpu().numpy()

    def close(self) -> None:
        """Release the scene."""
        self.world.close()


def make_parallel(
    task: str, module: str, n_envs: int, env_kwargs: dict[str, Any], evaluation: bool, render_mode: str | None
) -> ParallelScene:
    """`n_envs` environments of `task` in one scene on the GPU."""
    options = read_options(env_kwargs, evaluation)
    rendering = {} if render_mode is None else {"render_mode": render_mode}
    settings = {**options.passed_on, **rendering, "sim_backend": "physx_cuda"}
    world, limit = make_task(task, module, n_envs, settings)
    return ParallelScene(world, options.max_episode_steps or limit, options.partial_reset)


def _parts(obs: Any) -> list[Tensor]:
    return list(obs.values()) if isinstance(obs, dict) else [obs]


def _take(obs: Any, rows: Tensor) -> Any:
    return {name: part[rows] for name, part in obs.items()} if isinstance(obs, dict) else obs[rows]
