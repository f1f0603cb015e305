"""What is measured: a recipe is a task with hyperparameters that every contestant can be given."""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One comparison. `steps` is how far Upswing trains, `rival_steps` how far the slower ones do."""

    name: str
    env: str
    n_envs: int
    n_steps: int
    batch_size: int
    n_epochs: int
    steps: int
    rival_steps: int
    gamma: float = 0.99
    gae_lambda: float = 0.95
    learning_rate: float = 3e-4
    net_arch: tuple[int, ...] = (64, 64)
    activation_fn: str = "tanh"
    python_env: bool = False  # the plain Gymnasium class, although there is a compiled one
    threshold: float | None = None  # a return to be reached; then the time until it is measured too
    about: str = ""

    @property
    def pool(self) -> int:
        """Transitions in a rollout."""
        return self.n_envs * self.n_steps


RECIPES = (
    Recipe(
        "cartpole-default", "CartPole-v1", 1, 2048, 64, 10, 204_800, 40_960, threshold=475.0,
        about="Stable-Baselines3's default hyperparameters",
    ),
    Recipe(
        "cartpole-zoo", "CartPole-v1", 8, 32, 256, 20, 204_800, 20_480, 0.98, 0.8, 1e-3, threshold=475.0,
        about="RL-Zoo's sizes, learning rate held constant",
    ),
    Recipe("cartpole-wide", "CartPole-v1", 64, 128, 1024, 4, 655_360, 81_920, about="many environments"),
    Recipe(
        "cartpole-python", "CartPole-v1", 1, 2048, 64, 10, 102_400, 10_240, python_env=True,
        about="the defaults through Gymnasium's own Python class",
    ),
    Recipe(
        "pendulum", "Pendulum-v1", 4, 1024, 64, 10, 163_840, 16_384, 0.9, 0.95, 1e-3, threshold=-200.0,
        about="RL-Zoo's sizes, without state-dependent exploration",
    ),
    Recipe("halfcheetah-1", "HalfCheetah-v5", 1, 2048, 64, 10, 40_960, 6_144, about="the defaults on MuJoCo"),
    Recipe(
        "halfcheetah-8", "HalfCheetah-v5", 8, 512, 256, 10, 163_840, 12_288,
        about="MuJoCo eight times, on all cores: rivals in several processes",
    ),
    Recipe(
        "halfcheetah-8-python", "HalfCheetah-v5", 8, 512, 256, 10, 81_920, 12_288, python_env=True,
        about="the same through Gymnasium's own Python class",
    ),
    Recipe(
        "lunarlander", "LunarLander-v3", 16, 1024, 64, 4, 81_920, 32_768, 0.999, 0.98, about="RL-Zoo's sizes on Box2D"
    ),
    Recipe(
        "rltools-pendulum-python", "Pendulum-v1", 64, 64, 64, 10, 163_840, 16_384, 0.9, 0.95, 1e-3,
        activation_fn="relu", python_env=True, about="RLtools' own recipe through Python Gymnasium",
    ),
    Recipe(
        "rltools-pendulum", "Pendulum-v1", 64, 64, 64, 10, 163_840, 16_384, 0.9, 0.95, 1e-3, activation_fn="relu",
        about="RLtools' own recipe with the compiled environment",
    ),
)  # fmt: skip


def flops_per_step(recipe: Recipe, n_inputs: int, n_outputs: int) -> tuple[float, float]:
    """Floating-point operations per environment step of collecting and of updating, for separate actor and critic.

    With M multiply-adds of one forward pass of both networks, collecting costs 2M; each of E epochs costs a forward
    and a backward pass, 6M, less the gradient of the inputs, which nobody needs: 2 · 2 · d·h.
    """
    sizes = (n_inputs, *recipe.net_arch)
    hidden = sum(a * b for a, b in itertools.pairwise(sizes))
    multiply_adds = 2 * hidden + sizes[-1] * (n_outputs + 1)
    return 2.0 * multiply_adds, recipe.n_epochs * (6.0 * multiply_adds - 4.0 * n_inputs * sizes[1])
