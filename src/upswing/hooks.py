"""How anything outside the algorithm takes part in a training: evaluation, checkpoints, views, callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upswing.config import Derived, TrainConfig
from upswing.engine.contract import EpochView, StepView

if TYPE_CHECKING:
    from upswing.agent import Agent

Record = dict[str, float | int | None]
"""One iteration's metrics by tag (see metrics.py), None where undefined."""


@dataclass(frozen=True)
class RunInfo:
    """What is known when a training starts."""

    run_dir: str
    config: TrainConfig
    derived: Derived
    engine: str  # "torch" or "native"
    environment: str  # VectorEnv.description
    device: str
    n_parameters: int
    notices: tuple[str, ...]  # choices made and warnings, a sentence each
    start_timesteps: int = 0  # above 0 when resumed


@dataclass(frozen=True)
class Request:
    """What a hook asks of the training after an iteration."""

    stop: str | None = None  # why
    checkpoint: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)  # hyperparameters of the updates to come


@dataclass(frozen=True)
class Result:
    """What a training ended with."""

    run_dir: str
    total_timesteps: int
    steps_per_second: float  # over collect and update time
    mean_reward: float | None  # deterministic evaluation of the final policy
    best_mean_reward: float | None
    train_time_s: float  # collect and update
    wall_time_s: float  # everything: start-up, compilation, evaluation, saving
    iterations: int
    stopped: str | None = None  # why it ended before its budget
    exit_code: int = 0


class Hook:
    """Takes part in a training: override what you need. Overriding on_step costs a Python call per step."""

    def on_start(self, info: RunInfo) -> None:
        """Called once, before the first rollout."""

    def on_step(self, view: StepView) -> bool | None:
        """Called after each step of all environments; False asks for a stop after this rollout."""

    def on_rollout(self, num_timesteps: int) -> bool | None:
        """Called after each rollout, before its update; False asks for a stop after the update."""

    def on_epoch(self, view: EpochView) -> bool | None:
        """Called after each pass over the batch; False ends this update's epochs."""

    def on_iteration(self, record: Record, agent: Agent) -> Request | None:
        """Called after each update, with its metrics and the policy as it now is."""

    def on_end(self, result: Result) -> None:
        """Called once, after everything is saved."""
