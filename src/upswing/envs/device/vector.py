"""N environments on a device. `advance` is the step that no host takes part in; `step` is the contract's, which does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor

from upswing.envs.contract import Episode, Step
from upswing.envs.device.dynamics import Dynamics
from upswing.errors import StorageError

if TYPE_CHECKING:
    from upswing.envs.native.spec import NativeSpec  # brings numba


class Advance(NamedTuple):
    """What a step of all environments gives; every tensor has a row for every environment, and none is read."""

    obs: Tensor  # [N, ...] float32, of the next episode where one ended
    rewards: Tensor  # [N] float32
    terminated: Tensor  # [N] bool
    truncated: Tensor  # [N] bool
    final_obs: Tensor  # [N, ...] float32: the observation before any reset
    returns: Tensor  # [N] float64: of the episode so far, this step included
    lengths: Tensor  # [N] int64
    succeeded: Tensor  # [2, N] bool: once, and at this step; False where the environment does not speak of success


class DeviceVectorEnv:
    """Meets the VectorEnv contract with tensors on `device`. Can be saved and restored exactly.

    Tensors that outlive a step keep their memory, so that `advance` can be captured once and replayed. Every step draws
    a new beginning for every environment, and those whose episode ended take it: which they are, nobody has to know.
    """

    def __init__(self, dynamics: Dynamics, spec: NativeSpec, n_envs: int, device: torch.device):
        self.dynamics, self.spec, self.n_envs, self.device = dynamics, spec, n_envs, device
        self.observation_space: gymnasium.Space = spec.observation_space
        self.action_space = spec.action_space
        self.description = f"{n_envs} {'environment' if n_envs == 1 else 'environments'} as tensors on {device}"
        self.notices: list[str] = []
        self.parameters = tuple(spec.parameter_values.tolist())
        self.low, self.high = (torch.from_numpy(bound).to(device)[:, None] for bound in spec.action_bounds())
        self.generator = torch.Generator(device)
        self.speaks_of_success = dynamics.success is not None
        self.state = torch.zeros(spec.n_state, n_envs, dtype=torch.float64, device=device)
        self.returns = torch.zeros(n_envs, dtype=torch.float64, device=device)
        self.lengths = torch.zeros(n_envs, dtype=torch.int64, device=device)
        self.once = torch.zeros(n_envs, dtype=torch.bool, device=device)

    def reset(self, seeds: list[int] | None = None) -> Tensor:
        """First observations [N, ...] of new episodes. One generator draws for all: it is seeded by all `seeds`."""
        if seeds is not None:
            self.generator.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1))
        self.state.copy_(self._beginnings())
        for tally in (self.returns, self.lengths, self.once):
            tally.zero_()
        return self.dynamics.observe(self.state)

    def _beginnings(self) -> Tensor:
        shape = (self.dynamics.n_draws, self.n_envs)
        draws = torch.empty(shape, dtype=torch.float64, device=self.device).uniform_(generator=self.generator)
        return self.dynamics.begin(draws)

    @torch.no_grad()
    def advance(self, actions: Tensor) -> Advance:
        """The outcome of `actions` [N] or [N, A] on the device, clipped to the action space."""
        given = actions.reshape(self.n_envs, -1).t().float().clamp(self.low, self.high)
        state, rewards, terminated = self.dynamics.step(self.state, given, self.parameters)
        returns, lengths = self.returns + rewards, self.lengths + 1
        succeeds = torch.zeros_like(terminated) if self.dynamics.success is None else self.dynamics.success(state)
        once = self.once | succeeds
        limit = self.spec.max_episode_steps
        truncated = torch.zeros_like(terminated) if limit is None else lengths >= limit
        ended = terminated | truncated
        final_obs = self.dynamics.observe(state)
        self.state.copy_(torch.where(ended, self._beginnings(), state))
        self.returns.copy_(returns.masked_fill(ended, 0.0))
        self.lengths.copy_(lengths.masked_fill(ended, 0))
        self.once.copy_(once & ~ended)
        obs = self.dynamics.observe(self.state)
        told = torch.stack([once, succeeds])
        return Advance(obs, rewards.float(), terminated, truncated, final_obs, returns, lengths, told)

    def step(self, actions: Any) -> Step:
        """The outcome of `actions` [N] or [N, A] by the contract: which episodes ended is read from the device."""
        seen = self.advance(torch.as_tensor(actions, device=self.device))
        rows = (seen.terminated | seen.truncated).nonzero()[:, 0]
        step: Any = Step  # which speaks of arrays
        final_obs = seen.final_obs[rows] if len(rows) else None
        episodes = self.episodes(rows, seen.returns[rows], seen.lengths[rows], seen.succeeded[:, rows])
        return step(seen.obs, seen.rewards, seen.terminated, seen.truncated, final_obs, episodes)

    def episodes(self, env: Tensor, returns: Tensor, lengths: Tensor, succeeded: Tensor) -> list[Episode]:
        """Finished episodes on the host, from tensors [K] of their environment and statistics, and success [2, K]."""
        table = torch.stack([env.double(), returns, lengths.double(), *succeeded.double()]).cpu().numpy()
        who, lengths_, (once, at_end) = table[0].astype(int), table[2].astype(int), table[3:].astype(bool)
        unknown = [None] * len(who)
        told = (once.tolist(), at_end.tolist()) if self.speaks_of_success else (unknown, unknown)
        return list(map(Episode._make, zip(who.tolist(), table[1].tolist(), lengths_.tolist(), *told, strict=True)))

    def get_state(self) -> dict[str, Any]:
        """Everything needed to continue exactly, as arrays."""
        arrays = {name: getattr(self, name).cpu().numpy().copy() for name in STATE_NAMES}
        return arrays | {"generator": self.generator.get_state().numpy().copy()}

    def set_state(self, state: dict[str, Any]) -> Tensor:
        """The current observations [N, ...] after restoring what `get_state` gave. Raises StorageError for another shape
        or another kind of device, whose random numbers are others."""
        for name in (*STATE_NAMES, "generator"):
            own = self.generator.get_state() if name == "generator" else getattr(self, name)
            if name not in state or np.shape(state[name]) != tuple(own.shape):
                raise StorageError(
                    f"The saved state is not one of {self.n_envs} {self.spec.id} on {self.device}: resume with the same "
                    f"env, n_envs, vectorization and device."
                )
        for name in STATE_NAMES:
            getattr(self, name).copy_(torch.from_numpy(np.array(state[name])))
        self.generator.set_state(torch.from_numpy(np.array(state["generator"])))
        return self.dynamics.observe(self.state)

    def render(self) -> np.ndarray | None:
        """An RGB picture [H, W, 3] uint8 of the first environment."""
        return None if self.spec.picture is None else self.spec.picture(self.state[:, 0].cpu().numpy())

    def close(self) -> None:
        """Nothing is held that needs releasing."""


STATE_NAMES = ("state", "returns", "lengths", "once")
