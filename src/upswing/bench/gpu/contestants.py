"""Who is measured on a device. Each is made for a recipe, and then does one part after the other: collect, update."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from upswing.bench.gpu.plain_loop import PlainLoop
from upswing.bench.recipes import Recipe
from upswing.config import TrainConfig, check
from upswing.engine.contract import Hyper
from upswing.engine.make import make_engine
from upswing.envs.device import make_device_env
from upswing.errors import MissingExtra
from upswing.seeds import spawn_seeds


class Contestant(Protocol):
    """One trainer on one recipe."""

    def collect(self) -> Any:
        """A rollout."""
        ...

    def update(self, rollout: Any) -> Any:
        """Learn from it."""
        ...


class Ours:
    """Upswing, as a training calls it."""

    def __init__(self, recipe: Recipe, device: torch.device, **settings: Any):
        config = TrainConfig(
            env=recipe.env, device=str(device), engine="torch", n_envs=recipe.n_envs, n_steps=recipe.n_steps,
            batch_size=recipe.batch_size, n_epochs=recipe.n_epochs, gamma=recipe.gamma, gae_lambda=recipe.gae_lambda,
            learning_rate=recipe.learning_rate, policy_kwargs={"net_arch": list(recipe.net_arch)},
        )  # fmt: skip
        config = check(dataclasses.replace(config, **settings))
        self.engine, _ = make_engine(config, spawn_seeds(0, recipe.n_envs))
        self.hyper = Hyper(recipe.learning_rate, 0.2, None, 0.0, recipe.n_epochs, None)

    def collect(self) -> Any:
        """A rollout."""
        return self.engine.collect()

    def update(self, rollout: Any) -> Any:
        """Learn from it."""
        return self.engine.update(rollout, self.hyper)


def upswing(recipe: Recipe, device: torch.device) -> Contestant:
    """Upswing with environments on the device, captured."""
    return Ours(recipe, device, vectorization="device", capture="on")


def upswing_compiled(recipe: Recipe, device: torch.device) -> Contestant:
    """The same with the objective compiled by torch.compile."""
    return Ours(recipe, device, vectorization="device", capture="on", compile=True)


def upswing_eager(recipe: Recipe, device: torch.device) -> Contestant:
    """Upswing with nothing captured."""
    return Ours(recipe, device, vectorization="device", capture="off")


def plain(recipe: Recipe, device: torch.device) -> Contestant:
    """The plain loop, eager."""
    return PlainLoop(recipe, make_device_env(recipe.env, {}, recipe.n_envs, device))


def plain_compiled(recipe: Recipe, device: torch.device) -> Contestant:
    """The plain loop, compiled."""
    env = make_device_env(recipe.env, {}, recipe.n_envs, device)
    return PlainLoop(recipe, env, lambda function: torch.compile(function, dynamic=False))


class StableBaselines3:
    """Stable-Baselines3's PPO with its learner on the device, and the compiled environments of Upswing on the host behind
    its VecEnv: its own would make the environments the whole of what is measured."""

    def __init__(self, recipe: Recipe, device: torch.device):
        if importlib.util.find_spec("stable_baselines3") is None:
            raise MissingExtra("stable-baselines3", "bench", "Measuring Stable-Baselines3")
        from stable_baselines3 import PPO
        from stable_baselines3.common.logger import Logger

        from upswing.bench.gpu.sb3_env import NativeVecEnv

        env = NativeVecEnv(recipe.env, recipe.n_envs)
        self.model = PPO(
            "MlpPolicy", env, n_steps=recipe.n_steps, batch_size=recipe.batch_size, n_epochs=recipe.n_epochs,
            gamma=recipe.gamma, gae_lambda=recipe.gae_lambda, learning_rate=recipe.learning_rate, device=device,
            policy_kwargs={"net_arch": list(recipe.net_arch)},
        )  # fmt: skip
        self.model.set_logger(Logger(None, []))
        _, self.callback = self.model._setup_learn(10**9)

    def collect(self) -> None:
        """A rollout."""
        model: Any = self.model
        model.collect_rollouts(model.env, self.callback, model.rollout_buffer, model.n_steps)

    def update(self, rollout: Any) -> None:
        """Learn from it."""
        self.model.train()


CONTESTANTS: dict[str, Callable[[Recipe, torch.device], Contestant]] = {
    "Upswing": upswing,
    "Upswing, compile = true": upswing_compiled,
    "Upswing, capture = off": upswing_eager,
    "plain loop, eager (as CleanRL)": plain,
    "plain loop, torch.compile (as LeanRL, without graphs)": plain_compiled,
    "Stable-Baselines3": StableBaselines3,
}


class Images:
    """Upswing's learner on Atari-shaped observations that were made up: there is no environment, so only updates count."""

    def __init__(self, recipe: Recipe, device: torch.device, **settings: Any):
        given: dict[str, Any] = {"vectorization": "serial", "policy": "CnnPolicy", "policy_kwargs": {}}
        self.ours = Ours(dataclasses.replace(recipe, env=_Pictures), device, **(given | settings))  # type: ignore[arg-type]
        self.rollout = self.ours.collect()

    def collect(self) -> Any:
        """Always the same rollout."""
        return self.rollout

    def update(self, rollout: Any) -> Any:
        """Learn from it."""
        return self.ours.update(rollout)


def _Pictures() -> Any:
    """An environment that shows four frames of 84 × 84 noise and takes six actions."""
    import gymnasium

    class Pictures(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
        action_space = gymnasium.spaces.Discrete(6)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.steps, self.noise = 0, self.np_random.integers(0, 256, (4, 84, 84), np.uint8)
            return self.noise, {}

        def step(self, action: Any) -> Any:
            self.steps += 1
            return np.roll(self.noise, self.steps), float(action == 0), self.steps % 50 == 0, False, {}

    return Pictures()
