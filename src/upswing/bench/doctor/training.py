"""One training of the benchmark: recorded like any other run, with its fault, and with the true return beside."""

from __future__ import annotations

import dataclasses
import json
import shutil
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from upswing.agent import Agent
from upswing.bench.doctor.corpus import Run
from upswing.bench.doctor.faults import Fault
from upswing.bench.doctor.worlds import World
from upswing.config import TrainConfig
from upswing.doctor.observe import observed
from upswing.engine.contract import Rollout
from upswing.envs.contract import VectorEnv
from upswing.envs.make import make_vector_env
from upswing.envs.registry import env_name
from upswing.errors import TrainingDiverged
from upswing.hooks import Hook, Record, Request, RunInfo
from upswing.keeping import Evaluator, Recorder
from upswing.run.directory import create_run, write_config
from upswing.training import learn, prepare

OUTCOME = "outcome.json"
LAST_SHARE = 0.2  # of the budget: the episodes that end in it make the final return
LOOKS = 20  # into rollouts, as the doctor's hook takes them


def train_run(run: Run, folder: Path) -> dict[str, Any]:
    """What `run` came to: its final true return and speed. Its records are in `folder`/its name.

    A run that has an outcome is not trained again; what an interrupted one left is removed.
    """
    path = folder / run.name
    if (path / OUTCOME).is_file():
        return json.loads((path / OUTCOME).read_text())
    shutil.rmtree(path, ignore_errors=True)
    outcome = _train(run.config(), None if run.mended else run.fault, folder, run.name)
    (path / OUTCOME).write_text(json.dumps(outcome))
    return outcome


def _train(config: TrainConfig, fault: Fault | None, folder: Path, name: str) -> dict[str, Any]:
    world = _world(config, config.n_envs, fault)
    training = prepare(config, world)
    if fault is not None and fault.start is not None:
        fault.start(training.engine.policy)
    truth, figures = TrueReturns(world), Figures(training.derived.iterations)
    program = [fault.program()] if fault is not None and fault.program is not None else []
    evaluator = Evaluator(config)
    with closing(training.engine), create_run(folder, name, env_name(config.env), config.seed) as training.run:
        write_config(training.run, config, engine=training.engine.name, derived=asdict(training.derived))
        recorder = Recorder(training.run)
        evaluator.env = None if fault is None or fault.world is None else _world(config, evaluator.n_envs, fault, True)
        diverged = False
        with closing(evaluator), closing(recorder):
            try:
                learn(training, [truth, figures, evaluator, recorder, *program])
            except TrainingDiverged:
                diverged = True
    return {**truth.outcome(int(config.total_timesteps)), "diverged": diverged}


def _world(config: TrainConfig, n_envs: int, fault: Fault | None, evaluation: bool = False) -> VectorEnv:
    env = make_vector_env(config, n_envs, evaluation=evaluation)
    return env if fault is None or fault.world is None else fault.world(env)


class Figures(Hook):
    """What the doctor's hook sees in rollouts, at fixed iterations instead of by the clock."""

    def __init__(self, iterations: int):
        self.every = max(1, iterations // LOOKS)
        self.clip_obs: float | None = None
        self.rollout: Rollout | None = None
        self.seen = 0

    def on_start(self, info: RunInfo) -> None:
        """Note how observations are clipped."""
        self.clip_obs = info.config.clip_obs if info.config.normalize_obs else None

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        """Keep the rollout where its turn has come."""
        self.seen += 1
        self.rollout = rollout if self.seen % self.every == 0 else None

    def on_iteration(self, record: Record, agent: Agent) -> Request | None:
        """The figures as metrics."""
        if self.rollout is None:
            return None
        return Request(metrics=observed(self.rollout, agent.policy, self.clip_obs))


class TrueReturns(Hook):
    """The returns of the real environment, whatever a fault makes of them."""

    def __init__(self, world: VectorEnv):
        self.world = world if isinstance(world, World) else None
        self.steps: list[int] = []
        self.returns: list[float] = []
        self.seconds = 0.0
        self.taken = 0

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        """Take in the episodes that ended in the rollout."""
        if self.world is None:
            ended = [episode.ret for episode in rollout.episodes]
        else:
            ended, self.world.true_returns = self.world.true_returns, []
        self.returns += ended
        self.steps += [num_timesteps] * len(ended)
        self.taken = num_timesteps

    def on_iteration(self, record: Record, agent: Agent) -> None:
        """Take in the time."""
        self.seconds += float(record["time/collect_s"] or 0.0) + float(record["time/update_s"] or 0.0)

    def outcome(self, budget: int) -> dict[str, Any]:
        """The first and the final return, and the speed. A run that ended early counts with its last fifth."""
        steps, returns = np.array(self.steps), np.array(self.returns)
        last = returns[steps > (1.0 - LAST_SHARE) * max(self.taken, 1)] if len(returns) else returns
        return {
            "first": float(returns[:10].mean()) if len(returns) else None,
            "final": float(last.mean()) if len(last) else (float(returns[-1]) if len(returns) else None),
            "steps": self.taken,
            "steps_per_second": self.taken / self.seconds if self.seconds else 0.0,
        }


def with_changes(run: Run, changes: dict[str, Any]) -> Run:
    """`run` with `changes` of settings on top; a dotted name is one key of a table. n_minibatches yields to batch_size."""
    config, plain = run.config(), {}
    for name, value in changes.items():
        table, _, key = name.partition(".")
        plain[table] = {**getattr(config, table), key: value} if key else value
    if plain.get("batch_size") is not None:
        plain["n_minibatches"] = None
    return dataclasses.replace(run, changes=tuple(plain.items()))
