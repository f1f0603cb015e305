"""A training loop in plain torch, as single-file implementations write it: what Upswing's is measured against.

Written here for the comparison, in the manner of CleanRL (Huang et al. 2022): modules, torch.distributions, a Python loop
over steps, epochs and minibatches, figures read with `.item()`. Its environments are the same tensors on the device, so
that what differs is the loop. Given torch.compile it compiles acting, advantages and the update, as LeanRL does, without
CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from upswing.bench.recipes import Recipe

Compile = Callable[[Callable[..., Any]], Callable[..., Any]]


class Agent(nn.Module):
    """Separate actor and critic with tanh between their layers."""

    def __init__(self, n_obs: int, n_actions: int, discrete: bool, layers: tuple[int, ...]):
        super().__init__()
        self.actor, self.critic = _network(n_obs, layers, n_actions, 0.01), _network(n_obs, layers, 1, 1.0)
        self.log_std = None if discrete else nn.Parameter(torch.zeros(n_actions))

    def distribution(self, obs: Tensor) -> Categorical | Normal:
        """The distribution over actions."""
        outputs = self.actor(obs)
        return Categorical(logits=outputs) if self.log_std is None else Normal(outputs, self.log_std.exp())

    def summed(self, per_dimension: Tensor) -> Tensor:
        """Log-probabilities or entropies [B] of whole actions."""
        return per_dimension if self.log_std is None else per_dimension.sum(-1)

    def act(self, obs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, their log-probabilities, and values."""
        distribution = self.distribution(obs)
        actions = distribution.sample()
        return actions, self.summed(distribution.log_prob(actions)), self.critic(obs)[:, 0]


def _network(width: int, layers: tuple[int, ...], n_outputs: int, gain: float) -> nn.Sequential:
    modules: list[nn.Module] = []
    for out in layers:
        modules += [_orthogonal(nn.Linear(width, out), 2**0.5), nn.Tanh()]
        width = out
    return nn.Sequential(*modules, _orthogonal(nn.Linear(width, n_outputs), gain))


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class PlainLoop:
    """Collects and updates on `env`, a DeviceVectorEnv; `compile` is torch.compile, or the identity."""

    def __init__(self, recipe: Recipe, env: Any, compile: Compile = lambda function: function):
        self.recipe, self.env = recipe, env
        discrete = not hasattr(env.action_space, "low")
        n_actions = int(env.action_space.n) if discrete else int(env.action_space.shape[0])
        self.agent = Agent(env.observation_space.shape[0], n_actions, discrete, recipe.net_arch).to(env.device)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=recipe.learning_rate, eps=1e-5)
        self.act, self.advantages, self.loss = compile(self.agent.act), compile(self._advantages), compile(self._loss)
        self.obs = env.reset(list(range(env.n_envs)))

    @torch.no_grad()
    def collect(self) -> tuple[Tensor, ...]:
        """A rollout: observations, actions, log-probabilities, values, rewards, ended; each [T, N, ...]; last values."""
        rows = []
        for _ in range(self.recipe.n_steps):
            actions, log_probs, values = self.act(self.obs)
            seen = self.env.advance(actions)
            rows.append((self.obs, actions, log_probs, values, seen.rewards, seen.terminated | seen.truncated))
            self.obs = seen.obs
        stored = [torch.stack(column) for column in zip(*rows, strict=True)]
        return *stored, self.agent.critic(self.obs)[:, 0]

    def _advantages(self, rewards: Tensor, values: Tensor, ended: Tensor, last_values: Tensor) -> Tensor:
        running, found = torch.zeros_like(last_values), []
        following = last_values
        for t in reversed(range(len(rewards))):
            goes_on = (~ended[t]).float()
            delta = rewards[t] + self.recipe.gamma * following * goes_on - values[t]
            running = delta + self.recipe.gamma * self.recipe.gae_lambda * goes_on * running
            following = values[t]
            found.append(running)
        return torch.stack(found[::-1])

    def _loss(
        self, obs: Tensor, actions: Tensor, old: Tensor, advantages: Tensor, returns: Tensor
    ) -> tuple[Tensor, ...]:
        distribution = self.agent.distribution(obs)
        log_ratio = self.agent.summed(distribution.log_prob(actions)) - old
        ratio = log_ratio.exp()
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy = torch.max(-advantages * ratio, -advantages * ratio.clamp(0.8, 1.2)).mean()
        value = 0.5 * (self.agent.critic(obs)[:, 0] - returns).square().mean()
        with torch.no_grad():
            kl, clipped = ((ratio - 1) - log_ratio).mean(), ((ratio - 1.0).abs() > 0.2).float().mean()
        return policy + 0.5 * value, kl, clipped, self.agent.summed(distribution.entropy()).mean()

    def update(self, rollout: tuple[Tensor, ...]) -> dict[str, float]:
        """One PPO update; mean figures of its minibatches, which are read one by one."""
        obs, actions, log_probs, values, rewards, ended, last_values = rollout
        with torch.no_grad():
            advantages = self.advantages(rewards, values, ended, last_values)
        flat = [part.flatten(0, 1) for part in (obs, actions, log_probs, advantages, advantages + values)]
        n, told = len(flat[0]), []
        for _ in range(self.recipe.n_epochs):
            order = torch.randperm(n, device=self.env.device)
            for rows in order.split(self.recipe.batch_size):
                loss, *figures = self.loss(*(part[rows] for part in flat))
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.agent.parameters(), 0.5)
                self.optimizer.step()
                told.append([figure.item() for figure in figures])
        return dict(zip(("kl", "clip_fraction", "entropy"), torch.tensor(told).mean(0).tolist(), strict=True))
