"""How anything outside the algorithm takes part in a training: evaluation, checkpoints, views, callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upswing.config import Derived, TrainConfig
from upswing.engine.contract import EpochView, Rollout, StepView

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
    changes: Mapping[str, Any] = field(default_factory=dict)  # hyperparameters that hooks have changed so far


@dataclass(frozen=True)
class Request:
    """What a hook asks of the training after an iteration."""

    stop: str | None = None  # why
    checkpoint: bool = False
    keep: bool = False  # keep that checkpoint until another is kept
    best: bool = False  # the policy as it is now is the best so far: checkpoint it as such
    metrics: Mapping[str, float | None] = field(default_factory=dict)  # to add to this iteration's record
    changes: Mapping[str, Any] = field(default_factory=dict)  # hyperparameters of the updates to come: see progress.py
    return_to: int | None = None  # take up the weights, statistics and optimiser of the checkpoint of this step again
    notices: tuple[str, ...] = ()  # sentences for the user, which every hook hears


def merge_requests(requests: list[Request]) -> Request:
    """One request that asks for all of `requests`: the first stop, and the later of contradicting changes."""
    return Request(
        stop=next((r.stop for r in requests if r.stop is not None), None),
        checkpoint=any(r.checkpoint for r in requests),
        keep=any(r.keep for r in requests),
        best=any(r.best for r in requests),
        metrics={tag: value for r in requests for tag, value in r.metrics.items()},
        changes={name: value for r in requests for name, value in r.changes.items()},
        return_to=next((r.return_to for r in requests if r.return_to is not None), None),
        notices=tuple(sentence for r in requests for sentence in r.notices),
    )


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

    def on_notice(self, sentence: str) -> None:
        """Called when something happened during training that a user should know, such as a worker's restart."""

    def on_step(self, view: StepView) -> bool | None:
        """Called after each step of all environments; False asks for a stop after this rollout."""

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> bool | None:
        """Called after each rollout, before its update; False asks for a stop after the update."""

    def on_epoch(self, view: EpochView) -> bool | None:
        """Called after each pass over the batch; False ends this update's epochs."""

    def on_iteration(self, record: Record, agent: Agent) -> Request | None:
        """Called after each update, with its metrics and the policy as it now is."""

    def on_end(self, result: Result) -> None:
        """Called once, after everything is saved."""


class HookCalls:
    """Several hooks as the loop calls them; remembers which of them asked for a stop meanwhile."""

    def __init__(self, hooks: Sequence[Hook]):
        self.hooks = hooks
        self.stop: str | None = None
        self.on_step = self._on_step if _overridden(hooks, "on_step") else None
        self.on_epoch = self._on_epoch if _overridden(hooks, "on_epoch") else None

    def on_start(self, info: RunInfo) -> None:
        """Tell every hook what is known at the start."""
        for hook in self.hooks:
            hook.on_start(info)

    def on_notices(self, sentences: Sequence[str]) -> None:
        """Tell every hook what happened."""
        for sentence in sentences:
            for hook in self.hooks:
                hook.on_notice(sentence)

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        """Show every hook the rollout."""
        for hook in self.hooks:
            self._note(hook, hook.on_rollout(rollout, num_timesteps))

    def on_iteration(self, record: Record, agent: Agent) -> Request:
        """What the hooks ask for together. Metrics a hook gives are added to `record` for the hooks after it."""
        requests = [Request(stop=self.stop)]
        for hook in self.hooks:
            request = hook.on_iteration(record, agent) or Request()
            record.update(request.metrics)
            requests.append(request)
        merged = merge_requests(requests)
        self.on_notices(merged.notices)
        return merged

    def _on_step(self, view: StepView) -> None:
        for hook in self.hooks:
            self._note(hook, hook.on_step(view))

    def _on_epoch(self, view: EpochView) -> bool:
        answers = [hook.on_epoch(view) for hook in self.hooks]  # every hook sees every epoch
        return False not in answers

    def _note(self, hook: Hook, answer: bool | None) -> None:
        if answer is not None and not answer:  # NumPy's False too
            self.stop = self.stop or f"{type(hook).__name__} asked for a stop"


def _overridden(hooks: Sequence[Hook], method: str) -> bool:
    return any(getattr(type(hook), method) is not getattr(Hook, method) for hook in hooks)
