"""A small corpus of logs that Stable-Baselines3 wrote, healthy and with faults. Needs the extra `bench`."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

OUTCOME = "outcome.json"

RECIPES: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "steps": 40_000, "n_envs": 8, "n_steps": 64, "batch_size": 128, "n_epochs": 6, "gamma": 0.98, "gae_lambda": 0.9,
        "learning_rate": 1e-3,
    },
    "Pendulum-v1": {
        "steps": 60_000, "n_envs": 8, "n_steps": 256, "batch_size": 128, "n_epochs": 8, "gamma": 0.9, "gae_lambda": 0.95,
        "learning_rate": 2e-3,
    },
}  # fmt: skip
"""Recipes that learn, small enough for a program that takes a minute for them."""

HEALTHY_SEEDS, FAULTY_SEEDS = 5, 2


@dataclass(frozen=True)
class Sb3Fault:
    """A fault that Stable-Baselines3 is given: other settings, or another environment."""

    causes: frozenset[str]
    settings: Mapping[str, Any] | None = None
    factor: float = 1.0  # of the rewards
    widest: float = 1.0  # unit of the most badly scaled observation


def _of(causes: str, **how: Any) -> Sb3Fault:
    return Sb3Fault(frozenset(causes.split()), **how)


FAULTS: dict[str, Sb3Fault] = {
    "lr_high": _of("lr_high", settings={"learning_rate": 0.03}),
    "lr_low": _of("lr_low", settings={"learning_rate": 1e-5}),
    "gamma_low": _of("gamma_low", settings={"gamma": 0.5}),
    "ent_high": _of("ent_high", settings={"ent_coef": 1.0}),
    "adv_raw": _of("adv_raw", settings={"normalize_advantage": False}),
    "few_updates": _of("few_updates batch_large", settings={"n_steps": 1250, "batch_size": 2500}),
    "clip_small": _of("clip_small", settings={"clip_range": 0.005}),
    "critic_detached": _of("critic_untrained", settings={"vf_coef": 0.0}),
    "reward_large": _of("reward_large", factor=1e4),
    "obs_unscaled": _of("obs_scale", widest=1e3),
}


class _Spoiled(gymnasium.Wrapper):
    """An environment whose rewards and observations have the wrong units; `true` collects the real returns."""

    def __init__(self, env: gymnasium.Env, fault: Sb3Fault, true: list[float]):
        super().__init__(env)
        self.fault, self.true, self.total = fault, true, 0.0
        n = int(np.prod(env.observation_space.shape or (1,)))
        self.units = np.geomspace(1.0, fault.widest, n) if fault.widest != 1.0 else np.ones(n)
        if fault.widest != 1.0:
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (n,), np.float32)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**kwargs)
        self.total = 0.0
        return (obs * self.units).astype(np.float32), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.total += float(reward)
        if terminated or truncated:
            self.true.append(self.total)
        return (obs * self.units).astype(np.float32), float(reward) * self.fault.factor, terminated, truncated, info


def names() -> list[tuple[str, str, int]]:
    """(task, fault or "healthy", seed) of every training."""
    return [
        (env, fault, seed)
        for env in RECIPES
        for fault, seeds in (("healthy", HEALTHY_SEEDS), *((fault, FAULTY_SEEDS) for fault in FAULTS))
        for seed in range(seeds)
    ]


def done(folder: Path) -> list[tuple[str, str, int]]:
    """Those of `names` that are trained already."""
    return [which for which in names() if (folder / "sb3.{}.{}.{}".format(*which) / OUTCOME).is_file()]


def train_sb3(which: tuple[str, str, int], folder: Path) -> dict[str, Any]:
    """What a training of Stable-Baselines3 came to; its logs are in `folder`. One that is done is not done again."""
    env, name, seed = which
    path = folder / f"sb3.{env}.{name}.{seed}"
    if (path / OUTCOME).is_file():
        return json.loads((path / OUTCOME).read_text())
    shutil.rmtree(path, ignore_errors=True)
    outcome = _train(env, FAULTS.get(name, _of("")), seed, path)
    (path / OUTCOME).write_text(json.dumps(outcome))
    return outcome


def _train(env_id: str, fault: Sb3Fault, seed: int, path: Path) -> dict[str, Any]:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.logger import configure

    torch.set_num_threads(1)
    true: list[float] = []
    recipe: dict[str, Any] = {**RECIPES[env_id], **(fault.settings or {})}
    steps, n_envs = recipe.pop("steps"), recipe.pop("n_envs")
    make: Callable[[], gymnasium.Env] = lambda: _Spoiled(gymnasium.make(env_id), fault, true)  # noqa: E731
    envs = make_vec_env(make, n_envs, seed)
    model = PPO("MlpPolicy", envs, seed=seed, device="cpu", **recipe)
    model.set_logger(configure(str(path), ["csv", "tensorboard"]))
    with contextlib.suppress(ValueError):  # NaN in the policy: Stable-Baselines3's distributions refuse it
        model.learn(steps)
    envs.close()
    last = true[-max(10, len(true) // 10) :]
    return {"first": float(np.mean(true[: 2 * n_envs])), "final": float(np.mean(last)), "episodes": len(true)}
