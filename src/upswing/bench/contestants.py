"""Who is measured: each trains one recipe once and says how long its parts took.

Run as a process of its own, so that neither memory nor threads are shared:

    python -m upswing.bench.contestants CONTESTANT RECIPE SEED
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from upswing.bench.measure import sgemm_rate
from upswing.bench.recipes import RECIPES, Recipe
from upswing.progress import peak_memory_mb


@dataclass
class Timing:
    """What one training took. The first iteration is a warm-up and not counted, except for `to_threshold_s`."""

    steps: int = 0
    collect_s: float = 0.0
    env_s: float | None = None
    update_s: float = 0.0
    peak_memory_mb: float = 0.0
    sgemm_flops: float = 0.0  # of a large matrix product in the same process right afterwards, per second
    to_threshold_s: float | None = None  # collect and update time until an iteration's mean return passed it
    n_inputs: int = 0
    n_outputs: int = 0
    _iterations: int = field(default=0, repr=False)
    _so_far_s: float = field(default=0.0, repr=False)

    def add(self, recipe: Recipe, collect_s: float, update_s: float, returns: list[float]) -> None:
        """Count one iteration."""
        self._iterations += 1
        self._so_far_s += collect_s + update_s
        passed = recipe.threshold is not None and returns and float(np.mean(returns)) > recipe.threshold
        if passed and self.to_threshold_s is None:
            self.to_threshold_s = self._so_far_s
        if self._iterations > 1:
            self.steps += recipe.pool
            self.collect_s += collect_s
            self.update_s += update_s


def upswing(recipe: Recipe, seed: int) -> Timing:
    """Upswing's timing."""
    from upswing.config import TrainConfig
    from upswing.hooks import Hook
    from upswing.training import learn, prepare

    timing = Timing(env_s=0.0)

    class Clock(Hook):
        returns: list[float]

        def on_rollout(self, rollout, num_timesteps):
            self.returns = [episode.ret for episode in rollout.episodes]

        def on_iteration(self, record, agent):
            timing.add(recipe, record["time/collect_s"], record["time/update_s"], self.returns)
            if timing.steps:
                timing.env_s += record["time/env_s"]

    config = TrainConfig(
        env=recipe.env,
        n_envs=recipe.n_envs,
        n_steps=recipe.n_steps,
        batch_size=recipe.batch_size,
        n_epochs=recipe.n_epochs,
        gamma=recipe.gamma,
        gae_lambda=recipe.gae_lambda,
        learning_rate=recipe.learning_rate,
        policy_kwargs={"net_arch": list(recipe.net_arch), "activation_fn": recipe.activation_fn},
        total_timesteps=recipe.steps,
        seed=seed,
    )
    training = prepare(_through_python(config) if recipe.python_env else config)
    try:
        learn(training, [Clock()])
        space = training.engine.env.action_space
        timing.n_inputs = int(np.prod(training.engine.env.observation_space.shape or ()))
        timing.n_outputs = int(getattr(space, "n", 0) or np.prod(space.shape or ()))
    finally:
        training.engine.close()
    return timing


def _through_python(config):
    """`config` with the environment as a function that makes it, for which no compiled one is looked up."""
    import dataclasses

    import gymnasium

    env_id = config.env
    return dataclasses.replace(config, env=lambda: gymnasium.make(env_id))


def stable_baselines3(recipe: Recipe, seed: int) -> Timing:
    """Stable-Baselines3's timing: DummyVecEnv, or SubprocVecEnv for MuJoCo; on the CPU, one thread, as it advises."""
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[recipe.activation_fn]
    return _sb3_like(PPO, recipe, seed, {"net_arch": list(recipe.net_arch), "activation_fn": activation}, device="cpu")


def sbx(recipe: Recipe, seed: int) -> Timing:
    """SBX's timing (Stable-Baselines3 in JAX)."""
    from flax import linen
    from sbx import PPO

    activation = {"tanh": linen.tanh, "relu": linen.relu}[recipe.activation_fn]
    return _sb3_like(PPO, recipe, seed, {"net_arch": list(recipe.net_arch), "activation_fn": activation})


def _sb3_like(ppo, recipe: Recipe, seed: int, policy_kwargs, **more) -> Timing:
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    timing = Timing()

    class Clocked(ppo):
        def collect_rollouts(self, env, callback, buffer, n_rollout_steps):
            start = time.perf_counter()
            self.ep_info_buffer.clear()  # what it holds afterwards finished in this rollout
            done = super().collect_rollouts(env, callback, buffer, n_rollout_steps)
            self.clock_s = time.perf_counter() - start
            return done

        def train(self):
            start = time.perf_counter()
            super().train()
            returns = [info["r"] for info in self.ep_info_buffer]
            timing.add(recipe, self.clock_s, time.perf_counter() - start, returns)

    parallel = recipe.n_envs > 1 and recipe.env.startswith("HalfCheetah")
    env = make_vec_env(recipe.env, recipe.n_envs, seed, vec_env_cls=SubprocVecEnv if parallel else DummyVecEnv)
    model = Clocked(
        "MlpPolicy",
        env,
        n_steps=recipe.n_steps,
        batch_size=recipe.batch_size,
        n_epochs=recipe.n_epochs,
        gamma=recipe.gamma,
        gae_lambda=recipe.gae_lambda,
        learning_rate=recipe.learning_rate,
        policy_kwargs=policy_kwargs,
        seed=seed,
        **more,
    )
    model._stats_window_size = 100_000  # no episode of a rollout is forgotten; SBX does not pass the argument on
    model.learn(recipe.rival_steps)
    env.close()
    return timing


CONTESTANTS: dict[str, tuple[Callable[[Recipe, int], Timing], str]] = {
    "upswing": (upswing, "upswing"),
    "sb3": (stable_baselines3, "stable_baselines3"),
    "sbx": (sbx, "sbx"),
}
"""Each contestant's function and the module that must be installed for it."""


def installed() -> list[str]:
    """The contestants that this installation can run."""
    return [name for name, (_, module) in CONTESTANTS.items() if importlib.util.find_spec(module)]


def main() -> None:
    """Print one contestant's timing of one recipe as JSON, as the last line."""
    name, recipe_name, seed = sys.argv[1:]
    recipe = next(recipe for recipe in RECIPES if recipe.name == recipe_name)
    timing = CONTESTANTS[name][0](recipe, int(seed))
    timing.peak_memory_mb = peak_memory_mb()
    timing.sgemm_flops = sgemm_rate(0.3)
    print(json.dumps({key: value for key, value in asdict(timing).items() if not key.startswith("_")}))


if __name__ == "__main__":
    main()
