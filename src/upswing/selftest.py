"""Five tiny trainings with known answers: each isolates one part of the algorithm, so that a failure names it.

After Andy Jones, "Debugging RL, Without the Agonizing Pain" (2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from upswing.config import TrainConfig
from upswing.envs import probes
from upswing.training import Training, learn, prepare

TOLERANCE = 0.15


@dataclass(frozen=True)
class Probe:
    """A world with a known answer."""

    env: type
    checks: str  # the part of the algorithm that must work for it to pass
    values: dict[float, float]  # observation → value that the critic must find
    actions: dict[float, int]  # observation → action that the policy must find
    gamma: float = 0.5


@dataclass(frozen=True)
class Finding:
    """What one probe showed."""

    probe: str
    passed: bool
    sentence: str


PROBES = (
    Probe(probes.ConstantReward, "the value loss and the optimiser", {0.0: 1.0}, {}),
    Probe(probes.ObservedReward, "backpropagation through the critic", {1.0: 1.0, -1.0: -1.0}, {}),
    Probe(probes.DelayedReward, "discounting and advantage estimation", {0.0: 0.5, 1.0: 1.0}, {}),
    Probe(probes.ChosenReward, "the policy gradient", {0.0: 1.0}, {0.0: 1}),
    Probe(probes.MatchingReward, "the policy's use of observations", {1.0: 1.0, -1.0: 1.0}, {1.0: 1, -1.0: 0}),
)


def run_selftest(engine: str = "auto") -> Iterator[Finding]:
    """What each probe shows, one after the other, in the order in which failures should be mended."""
    for probe in PROBES:
        yield _try(probe, engine)


def _try(probe: Probe, engine: str) -> Finding:
    config = TrainConfig(
        env=probe.env,
        engine=engine,
        n_envs=4,
        n_steps=32,
        batch_size=64,
        n_epochs=8,
        gamma=probe.gamma,
        learning_rate=5e-3,
        ent_coef=0.003,
        total_timesteps=6_000,
        policy_kwargs={"net_arch": [16]},
        vectorization="serial",
    )
    training = prepare(config)
    try:
        learn(training, [])
        wrong = [*_wrong_values(probe, training), *_wrong_actions(probe, training)]
    finally:
        training.engine.close()
    name = probe.env.__name__
    if not wrong:
        return Finding(name, True, f"{name}: {probe.checks} work.")
    return Finding(name, False, f"{name}: {probe.checks} look broken: {'; '.join(wrong)}.")


def _wrong_values(probe: Probe, training: Training) -> Iterator[str]:
    yield from _differences(
        probe.values, lambda obs: float(training.engine.policy.predict_values(obs)[0]), "value", TOLERANCE
    )


def _wrong_actions(probe: Probe, training: Training) -> Iterator[str]:
    yield from _differences(
        probe.actions, lambda obs: float(training.engine.policy.get_distribution(obs).mode()[0]), "action", 0
    )


def _differences(
    expected: dict[float, float] | dict[float, int], found: Callable[[torch.Tensor], float], what: str, tolerance: float
) -> Iterator[str]:
    for seen, right in expected.items():
        with torch.no_grad():
            answer = found(torch.from_numpy(np.array([[seen]], np.float32)))
        if abs(answer - right) > tolerance:
            yield f"the {what} of observation {seen:g} is {answer:.2f} instead of {right:g}"
