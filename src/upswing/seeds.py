"""Independent seeds for everything random, spawned from the one seed of a run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Seeds(NamedTuple):
    """One seed a purpose."""

    policy: int  # initial weights
    engine: int  # action sampling and minibatch order
    envs: list[int] | None  # one a training environment; None: they keep their own
    evaluation: int  # base of every evaluation's environments


def spawn_seeds(seed: int, n_envs: int) -> Seeds:
    """Seeds that do not overlap between runs: counting up from `seed` would give runs 1, 2, 3 mostly the same
    environments, so they are spawned (NumPy, "Parallel random number generation")."""
    policy, engine, evaluation, envs = np.random.SeedSequence(seed).spawn(4)
    return Seeds(_one(policy), _one(engine), [_one(child) for child in envs.spawn(n_envs)], _one(evaluation))


def later_seeds(base: int, num_timesteps: int, n_envs: int) -> list[int]:
    """Seeds [n_envs] of environments that begin after `num_timesteps`: the same whenever that point is reached."""
    return [_one(child) for child in np.random.SeedSequence([base, num_timesteps]).spawn(n_envs)]


def _one(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1)[0])
