"""A remedy on trial: one change against an untouched control, from the same policy, with the same seeds.

    a checkpoint before the onset, or the start ─┬─► control: the run's own settings  ─┐  × seeds, in pairs
                                                 └─► remedy: the same, but ONE change ─┘
        confirmed: the mechanism's number moves as predicted, and the return is not shown to be worse

Both arms of a pair have the same weights, the same environments' seeds and the same random numbers to begin with, and
take the same number of environment steps. All is kept in memory; the run is only read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from upswing.agent import Agent
from upswing.config import TrainConfig, check, coerce, derive
from upswing.doctor.diagnose import Diagnosis, diagnose
from upswing.doctor.findings import Change
from upswing.doctor.mechanisms import RETURN, Mechanism, mechanism_of, values_of
from upswing.doctor.observe import ACTION_SATURATION, DORMANT_UNITS, OBS_STD_MAX, observed
from upswing.doctor.stats import median
from upswing.engine.contract import Rollout
from upswing.errors import UserError
from upswing.evaluation import load_config
from upswing.hooks import Hook, Record, Request
from upswing.lab.paired import Paired, paired
from upswing.many import side_by_side
from upswing.progress import Progress
from upswing.run.checkpoint import checkpoint_steps, load_checkpoint
from upswing.seeds import later_seeds, spawn_seeds
from upswing.training import learn, prepare

LEAST_UPDATES, JUDGED = 20, slice(5, 20)  # the mechanism is judged by the sixth to the twentieth update
WHOLE = ("normalize_obs", "normalize_reward", "policy")  # weights made under another value mean something else
NOT_TRIED = {
    "total_timesteps": "a longer run is not a fork: go on with upswing resume RUN --total-timesteps N",
    "eval_freq": "it changes what is seen of a training, not the training",
    "vectorization": "it changes the speed alone: measure it with upswing plan",
}
LOOKED = (ACTION_SATURATION, DORMANT_UNITS, OBS_STD_MAX)

Tick = Callable[[], None]


@dataclass(frozen=True)
class Plan:
    """What is tried."""

    run: str
    code: str
    change: Change
    start: int | None  # the checkpoint that both arms begin with; None: both are trained from the start
    onset: int | None
    whole: bool  # the change cannot be made to a trained policy
    updates: int  # of the control
    control: TrainConfig
    remedy: TrainConfig

    @property
    def steps(self) -> int:
        """Environment steps that each arm takes."""
        return self.updates * derive(self.control).pool


@dataclass(frozen=True)
class Arm:
    """What one training of one arm showed."""

    mechanism: float  # median over JUDGED
    score: float  # mean return of the episodes that ended in its second half; without any, the mean reward of a step
    curve: tuple[float, ...]  # the return over its updates


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    plan: Plan
    mechanism: Mechanism
    control: tuple[Arm, ...]
    remedy: tuple[Arm, ...]
    moved: Paired  # the mechanism's number, remedy less control; of its logarithms where `as_ratio`
    gained: Paired  # the return, remedy less control
    as_ratio: bool = False

    @property
    def as_predicted(self) -> bool:
        """Whether the mechanism's number differs in the predicted direction, beyond its interval."""
        return self.moved.low > 0 if self.mechanism.direction > 0 else self.moved.high < 0

    @property
    def outcome(self) -> str:
        """The return of the remedy: "better", "worse", or "even" where no difference is shown."""
        return "better" if self.gained.low > 0 else "worse" if self.gained.high < 0 else "even"

    @property
    def confirmed(self) -> bool:
        """Whether the remedy did what it was to do. A code that has no number but the return needs a better one."""
        return self.as_predicted and self.outcome != "worse"


def make_plan(
    run: str | Path, code: str, change: str | None = None, updates: int | None = None, *, trusted: bool = True
) -> Plan:
    """What trying the remedy of the finding `code` of `run` means. `change`, "name=value", replaces the doctor's remedy.

    Raises UserError where the doctor does not find `code`, or where its remedy cannot be tried.
    """
    diagnosis, config = diagnose(run), load_config(str(run), trusted=trusted)
    onset = onset_of(diagnosis, code)
    wanted = _given(config, change) if change is not None else remedy_of(diagnosis, code)
    remedy = changed(config, wanted)
    whole = wanted.field.partition(".")[0] in (*WHOLE, "policy_kwargs")
    start = None
    if not whole:
        start = max((step for step in checkpoint_steps(run) if onset is None or step <= onset), default=None)
    wished = updates or max(LEAST_UPDATES, derive(config).iterations // 4)
    return Plan(str(run), code, wanted, start, onset, whole, wished, config, remedy)


def onset_of(diagnosis: Diagnosis, code: str) -> int | None:
    """The step since which `code` shows in a run. Raises UserError where it does not."""
    for card in diagnosis.cards:
        for finding in (card.finding, *card.symptoms):
            if finding.code == code:
                return finding.onset_step
    there = ", ".join(card.code for card in diagnosis.cards) or "nothing"
    raise UserError(f"The doctor does not find {code} in {diagnosis.series.name}; it finds {there}.")


def remedy_of(diagnosis: Diagnosis, code: str) -> Change:
    """The first change that the card with `code` asks for and that can be tried. Raises UserError where there is none."""
    card = next(c for c in diagnosis.cards if code in (c.code, *(s.code for s in c.symptoms)))
    usable = [change for change in card.changes if change.field not in NOT_TRIED]
    if usable:
        return usable[0]
    reasons = [f"{change.field}: {NOT_TRIED[change.field]}" for change in card.changes]
    raise UserError(
        f"{code} has no remedy to try" + (f" ({'; '.join(reasons)})" if reasons else "") + ": name one with --change."
    )


def _given(config: TrainConfig, text: str) -> Change:
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or name not in {field.name for field in dataclasses.fields(config)} or name in NOT_TRIED:
        raise UserError(f"--change {text!r} is not a setting to try: write for example --change learning_rate=1e-4.")
    return Change(name, getattr(config, name), coerce(name, value))


def changed(config: TrainConfig, change: Change) -> TrainConfig:
    """`config` with `change` made. Raises ConfigError where that is not allowed."""
    name, _, part = change.field.partition(".")
    value = {**config.policy_kwargs, part: change.new} if part else change.new
    settings: dict[str, Any] = {name: value}
    if name == "batch_size":
        settings["n_minibatches"] = None
    return check(replace(config, **settings))


def try_remedy(plan: Plan, n_seeds: int, tick: Tick = lambda: None, *, trusted: bool = True) -> Trial:
    """The trial of `plan` with `n_seeds` pairs, which train side by side; `tick` is called after every update."""
    mechanism, seeds = mechanism_of(plan.code), later_seeds(plan.control.seed, plan.start or 0, n_seeds)

    def job(config: TrainConfig, seed: int) -> Callable[[Hook], Arm]:
        return lambda stop: _arm(plan, replace(config, seed=seed), mechanism, [stop], tick, trusted)

    jobs = [job(config, seed) for seed in seeds for config in (plan.control, plan.remedy)]
    done: list[Arm] = []
    for arm in side_by_side(jobs):
        if isinstance(arm, UserError):
            raise arm
        done.append(arm)
    return judged(plan, mechanism, tuple(done[0::2]), tuple(done[1::2]))


def judged(plan: Plan, mechanism: Mechanism, control: tuple[Arm, ...], remedy: tuple[Arm, ...]) -> Trial:
    """What the arms, pair by pair, come to. Numbers that are all above 0, such as a KL, are compared by their ratio."""
    ours, theirs = ([arm.mechanism for arm in arms] for arms in (remedy, control))
    as_ratio = mechanism is not RETURN and min(*ours, *theirs) > 0
    moved = paired(np.log(ours).tolist(), np.log(theirs).tolist()) if as_ratio else paired(ours, theirs)
    gained = paired([arm.score for arm in remedy], [arm.score for arm in control])
    return Trial(plan, mechanism, control, remedy, moved, gained, as_ratio)


class _Watch(Hook):
    """Keeps the records of a training, and ends it after `steps` more environment steps."""

    def __init__(self, mechanism: Mechanism, config: TrainConfig, until: int, tick: Tick):
        self.looks, self.until, self.tick = mechanism.name in LOOKED, until, tick
        self.clip_obs = config.clip_obs if config.normalize_obs else None
        self.records: list[Record] = []
        self.ended: list[tuple[int, float]] = []  # iteration, return

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        """Remember the episodes that ended."""
        self.rollout = rollout
        self.ended += [(len(self.records), episode.ret) for episode in rollout.episodes]

    def on_iteration(self, record: Record, agent: Agent) -> Request | None:
        """Keep the record; stop at the end of the window."""
        if self.looks:
            record = {**record, **observed(self.rollout, agent.policy, self.clip_obs)}
        self.records.append(record)
        self.tick()
        return Request(stop="the trial is over") if int(record["time/total_timesteps"] or 0) >= self.until else None


def _arm(
    plan: Plan, config: TrainConfig, mechanism: Mechanism, hooks: Sequence[Hook], tick: Tick, trusted: bool
) -> Arm:
    """One training of one arm."""
    training = prepare(config, trusted=trusted, fresh=plan.start is None)
    with closing(training.engine):
        begin = 0
        if plan.start is not None:
            snapshot, _ = load_checkpoint(plan.run, plan.start)
            training.engine.restore(snapshot, environments=False)
            training.engine.reset(spawn_seeds(config.seed, config.n_envs).envs)
            training.engine.num_timesteps = begin = plan.start
            training.progress = _forked(Progress.from_json(snapshot.state["progress"]), plan, config)
        until = begin + plan.steps
        training.derived = derive(replace(config, total_timesteps=max(until, config.total_timesteps)))
        watch = _Watch(mechanism, config, until, tick)
        stop = learn(training, [watch, *hooks])
    if stop in ("SIGINT", "SIGTERM"):
        raise KeyboardInterrupt
    return _summed_up(watch, mechanism)


def _forked(progress: Progress, plan: Plan, config: TrainConfig) -> Progress:
    """The counters of an arm: the checkpoint's, without its episodes; the setting on trial is the arm's own."""
    changes = {name: value for name, value in progress.changes.items() if name != plan.change.field}
    iteration = progress.num_timesteps // derive(config).pool
    return replace(progress, recent=(), changes=changes, iteration=iteration, best_mean_reward=None)


def _summed_up(watch: _Watch, mechanism: Mechanism) -> Arm:
    records, half = watch.records, len(watch.records) // 2
    judged = values_of(mechanism, list(records[JUDGED]) or list(records))
    late = [ret for at, ret in watch.ended if at >= half]
    steps = [float(record["rollout/reward_mean"] or 0.0) for record in records]
    curve = [record[RETURN.name] for record in records]
    known = [float(value) for value in curve if value is not None]
    score = float(np.mean(late)) if late else float(np.mean(steps[half:]))
    if mechanism is RETURN:
        return Arm(score, score, tuple(known or steps))
    return Arm(median(judged), score, tuple(known or steps))
