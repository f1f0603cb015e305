"""The training loop: collect, update, record, and let the hooks speak."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from signal import Signals

from upswing.agent import Agent
from upswing.config import Derived, TrainConfig, check, derive, warnings
from upswing.engine.contract import Engine
from upswing.engine.group import Group, joined_group
from upswing.engine.make import make_engine, take_notices, thread_limit
from upswing.envs.contract import VectorEnv
from upswing.envs.registry import env_name
from upswing.errors import INTERRUPTED, TERMINATED, ConfigError, TrainingDiverged
from upswing.evaluation import load_config
from upswing.hooks import Hook, HookCalls, Request, Result, RunInfo
from upswing.keeping import Checkpointer, Evaluator, Recorder, restore, return_to, save, score_metrics, start_from
from upswing.progress import Progress, advance, after_request, hyper_at, make_record, schedules
from upswing.ranks import leads
from upswing.run.background import Background
from upswing.run.directory import RunDirectory, create_run, find_run, open_run, write_config
from upswing.run.signals import StopSignal
from upswing.seeds import spawn_seeds

SIGNAL_EXITS = {"SIGINT": INTERRUPTED, "SIGTERM": TERMINATED}


@dataclass
class Training:
    """A training that can be continued: what it was asked to do, its engine, and how far it has come."""

    config: TrainConfig
    derived: Derived
    engine: Engine
    agent: Agent
    notices: list[str]  # choices made and warnings, a sentence each
    started: float  # time.perf_counter() when this process began with it
    run: RunDirectory | None = None  # None: nothing is written
    group: Group = field(default_factory=Group)  # the processes that train together
    progress: Progress = field(default_factory=Progress)
    begun_at: Progress = field(default_factory=Progress)  # where this process began
    saved: tuple[int, bool, bool] | None = None  # steps at the last checkpoint, and whether it was the best, or kept
    writer: Background = field(default_factory=Background)  # of checkpoints


def train(config: TrainConfig, hooks: Sequence[Hook] = (), *, trusted: bool = True) -> Result:
    """What a training by `config` ended with. It is written to a new run folder in `config.out_dir`.

    `hooks` take part (see hooks.py). `trusted=False` refuses `module:Class` settings, for a config that a file brought.
    """
    training = prepare(config, trusted=trusted)
    with closing(training.engine):
        config = training.config
        if not training.group.leads:
            return _follow(training)
        with create_run(config.out_dir, config.name, env_name(config.env), config.seed) as training.run:
            write_config(training.run, config, engine=training.engine.name, derived=asdict(training.derived))
            return _to_the_end(training, hooks)


def resume(
    run_dir: str | Path,
    hooks: Sequence[Hook] = (),
    *,
    total_timesteps: int | None = None,
    engine: str | None = None,
    trusted: bool = True,
) -> Result:
    """What the continued training of `run_dir` ended with: exactly as if it had never stopped, where its environment
    can be restored. `total_timesteps` above the original extends it; schedules keep their original horizon. `engine`
    goes on with another one: weights, statistics and optimiser are the same files for both."""
    with open_run(run_dir) if leads() else RunDirectory(find_run(run_dir)) as run:
        config = load_config(run, trusted=trusted)
        config = config if engine is None else replace(config, engine=engine)
        training = prepare(config, trusted=trusted, fresh=False)
        with closing(training.engine):
            training.run = run
            restore(training)
            if total_timesteps is not None:
                training.derived = _extended(training, total_timesteps)
            return _to_the_end(training, hooks) if training.group.leads else _follow(training)


def prepare(config: TrainConfig, env: VectorEnv | None = None, *, trusted: bool = True, fresh: bool = True) -> Training:
    """A training that is ready to begin: environments, policy and engine made, nothing written yet.

    `env` takes the place of the environments that `config` names. Without `fresh`, checkpoint_path is not read: the
    weights come from elsewhere.
    """
    started = time.perf_counter()
    config = check(config)
    group = joined_group(config.device)
    seeds = spawn_seeds(config.seed, config.n_envs)
    engine, notices = make_engine(config, seeds, env, trusted=trusted, group=group)
    agent = Agent(engine.policy, engine.normalizer)
    notices = [*warnings(config), *notices]
    training = Training(config, derive(config), engine, agent, notices, started, group=group)
    if fresh and config.checkpoint_path is not None:
        start_from(training, config.checkpoint_path)
    return training


def learn(training: Training, hooks: Sequence[Hook], signal: StopSignal | None = None) -> str | None:
    """Why training stopped before its budget, or None. Goes on from where `training` stands.

    Without `signal` Ctrl-C is Python's own KeyboardInterrupt, at once.
    """
    engine, config, plan = training.engine, training.config, schedules(training.config)
    calls = HookCalls(hooks)
    stop = None
    with thread_limit(config, engine.env.observation_space):
        calls.on_start(_info(training))
        while stop is None and training.progress.iteration < training.derived.iterations:
            rollout = engine.collect(calls.on_step)
            calls.on_notices(take_notices(engine.env))
            calls.on_rollout(rollout, engine.num_timesteps)
            hyper = hyper_at(config, plan, training.progress)
            stats = engine.update(rollout, hyper, calls.on_epoch)
            training.progress = advance(training.progress, config, plan, rollout, stats, _elapsed(training))
            record = make_record(training.progress, hyper, rollout, stats, _speed(training))
            request = _asked(calls.on_iteration(record, training.agent), signal, training.group)
            training.progress = after_request(training.progress, request, record | dict(request.metrics))
            stop = request.stop
            if request.return_to is not None:
                return_to(training, request.return_to)
            if request.checkpoint or request.best:
                save(training, best=request.best, kept=request.keep)
    return stop


def _asked(request: Request, signal: StopSignal | None, group: Group) -> Request:
    """What the hooks' `request` and the signals received ask for together; the same in all processes of a group."""
    if signal is not None:
        stop = request.stop or (Signals(signal.received).name if signal.received else None)
        request = replace(request, stop=stop, checkpoint=signal.take_checkpoint_request() or request.checkpoint)
    return request if group.size == 1 else Request(**group.lead(asdict(request)))


def _follow(training: Training) -> Result:
    """Train as one of a group whose first process evaluates, records and saves."""
    training.begun_at = training.progress
    with StopSignal():  # the first process hears it too, and says when to stop
        stop = learn(training, [])
    return _result(training, None, stop)


def _to_the_end(training: Training, hooks: Sequence[Hook]) -> Result:
    """Train with evaluation, records and checkpoints, and leave the run complete, whatever ends it."""
    training.begun_at = training.progress
    assert training.run is not None
    evaluator = Evaluator(training.config, training.progress.best_mean_reward)
    recorder = Recorder(training.run)
    every_hook = [evaluator, *hooks, recorder, Checkpointer()]
    with closing(evaluator), closing(recorder), closing(training.writer):
        try:
            with StopSignal() as signal:
                stop = learn(training, every_hook, signal)
        except TrainingDiverged:
            save(training)  # the engine kept the last finite weights
            raise
        best = False
        if stop not in SIGNAL_EXITS:  # a signal leaves no time for an evaluation
            score = evaluator.score(training.agent, training.progress.num_timesteps)
            best = evaluator.note_best(score)
            training.progress = after_request(training.progress, Request(best=best), score_metrics(score))
        save(training, best=best)
    result = _result(training, evaluator, stop)
    for hook in every_hook:
        hook.on_end(result)
    return result


def _extended(training: Training, total_timesteps: int) -> Derived:
    taken = training.progress.num_timesteps
    if total_timesteps <= taken:
        raise ConfigError(
            f"total_timesteps = {total_timesteps} is not beyond the {taken} steps that this run has already taken: "
            f"give a larger number."
        )
    return derive(replace(training.config, total_timesteps=total_timesteps))


def _elapsed(training: Training) -> float:
    return training.begun_at.elapsed_s + time.perf_counter() - training.started


def _speed(training: Training) -> float:
    """Environment steps per second of collect and update time, of this process."""
    steps = training.progress.num_timesteps - training.begun_at.num_timesteps
    seconds = training.progress.train_time_s - training.begun_at.train_time_s
    return steps / seconds if seconds > 0 else 0.0


def _info(training: Training) -> RunInfo:
    engine = training.engine
    return RunInfo(
        run_dir=str(training.run.path) if training.run else "",
        config=training.config,
        derived=training.derived,
        engine=engine.name,
        environment=engine.env.description,
        device=str(training.agent.device),
        n_parameters=sum(p.numel() for p in engine.policy.parameters()),
        notices=tuple(training.notices),
        start_timesteps=training.progress.num_timesteps,
        changes=training.progress.changes,
    )


def _result(training: Training, evaluator: Evaluator | None, stop: str | None) -> Result:
    progress = training.progress
    return Result(
        run_dir=str(training.run.path) if training.run else "",
        total_timesteps=progress.num_timesteps,
        steps_per_second=_speed(training),
        mean_reward=evaluator.scored[1].mean_reward if evaluator and evaluator.scored else None,
        best_mean_reward=progress.best_mean_reward,
        train_time_s=progress.train_time_s,
        wall_time_s=_elapsed(training),
        iterations=progress.iteration,
        stopped=stop,
        exit_code=SIGNAL_EXITS.get(stop or "", 0),
    )
