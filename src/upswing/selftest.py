"""Five tiny trainings with known answers: each needs one more part of the algorithm, so the first failure names it.

After Andy Jones 2021, "Debugging Reinforcement Learning Systems".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from upswing.config import TrainConfig
from upswing.envs.probes import PROBES, Answer, Probe
from upswing.training import Training, learn, prepare

GAMMA = 0.5
TOLERANCE = 0.15  # of a value


@dataclass(frozen=True)
class Finding:
    """What one probe showed."""

    probe: str
    passed: bool
    sentence: str


def run_selftest(engine: str = "auto", seed: int = 0) -> Iterator[Finding]:
    """What each probe shows, in the order in which failures should be mended: a later one needs the earlier ones."""
    for probe in PROBES:
        yield _try(probe, engine, seed)


def _try(probe: type[Probe], engine: str, seed: int) -> Finding:
    config = TrainConfig(
        env=probe,
        engine=engine,
        seed=seed,
        n_envs=4,
        n_steps=32,
        batch_size=64,
        n_epochs=8,
        gamma=GAMMA,
        learning_rate=5e-3,
        total_timesteps=6_000,
        policy_kwargs={"net_arch": [16]},
        vectorization="serial",
    )
    training = prepare(config)
    try:
        learn(training, [])
        wrong = [fault for answer in probe.answers(GAMMA) for fault in _faults(training, answer)]
    finally:
        training.engine.close()
    if wrong:
        return Finding(probe.__name__, False, f"{probe.__name__} failed, which points to {probe.isolates}: {wrong[0]}.")
    return Finding(probe.__name__, True, f"{probe.__name__} passed.")


def _faults(training: Training, answer: Answer) -> Iterator[str]:
    """What the trained policy says wrongly to one observation."""
    obs = torch.from_numpy(np.array([[answer.obs]], np.float32))
    with torch.no_grad():
        distribution, values = training.engine.policy(obs)
    value, action = float(values[0]), int(distribution.mode()[0])
    if abs(value - answer.value) > TOLERANCE:
        yield f"the value of observation {answer.obs:g} is {value:.2f} instead of {answer.value:g}"
    if answer.action is not None and action != answer.action:
        yield f"the action for observation {answer.obs:g} is {action} instead of {answer.action}"
