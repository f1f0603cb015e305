"""Searching for good settings: Optuna proposes, trainings answer, and what the best is worth is measured on fresh seeds.

    <folder>/tune.json     what is searched, with which budget
    <folder>/tune.db       Optuna's storage (SQLite): every trial, its curve, its score
    <folder>/trial-<n>/    the run folders
    <folder>/best.toml     the best settings found, all of them

The search space is each setting's usual range (config/fields.py). A trial ends early where its curve lies below the
median of the others', or where the doctor finds an error. The winner of many noisy trials looks better than it is, so
its score is measured again on seeds that no trial has seen, beside the settings that the search began with.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from upswing.agent import Agent
from upswing.config import FIELDS, WORDS, TrainConfig, check, coerce, config_to_json, derive, write_toml
from upswing.doctor.hook import DoctorHook
from upswing.errors import ConfigError, MissingExtra, StorageError, UserError
from upswing.hooks import Hook, Record, Request, Result
from upswing.many import train_many
from upswing.run.disk import json_bytes, read_json, replace_file, storage_errors
from upswing.schedules import parse_schedule

SEARCHED = ("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "ent_coef")
NEAR_ONE = ("gamma", "gae_lambda")  # searched by their distance from 1, in logarithms
LEAST_ITERATIONS = 10  # a rollout may be this share of the budget at most
SMALLEST = {"ent_coef": 1e-5}  # where the usual range begins at 0
TUNE, STORAGE, BEST = "tune.json", "tune.db", "best.toml"
FRESH = 10_000  # seeds of the last test: this far beyond the search's
PRUNED = "this curve is below the median of the others"


class Watcher(Protocol):
    """Who is told how a search goes."""

    def on_begin(self, env: str, names: list[str], done: int) -> None:
        """What is searched; `done` trials were done by an earlier call."""

    def on_trial(self, number: int, state: str, score: float | None, done: int) -> None:
        """A trial ended: complete, pruned or fail; `done` have by now."""

    def on_fresh(self, n: int) -> None:
        """The winner is measured on `n` fresh seeds."""


class NoWatcher:
    """Tells nobody."""

    def on_begin(self, env: str, names: list[str], done: int) -> None: ...

    def on_trial(self, number: int, state: str, score: float | None, done: int) -> None: ...

    def on_fresh(self, n: int) -> None: ...


@dataclass(frozen=True)
class Range:
    """Where a setting is searched."""

    low: float
    high: float
    log: bool
    whole: bool
    from_one: bool = False  # the range is of 1 - x


@dataclass(frozen=True)
class Tuned:
    """What a search came to."""

    folder: str
    best_trial: int | None
    best_score: float | None  # of its own trial: too good to be true
    values: dict[str, Any]  # the searched settings' values in the best trial
    importances: dict[
        str, float
    ]  # share of each setting in the variation of the score; empty where there are few trials
    fresh: list[float]  # the best settings' scores on fresh seeds
    baseline: list[float]  # the scores of the settings that the search began with, on the same seeds
    n_complete: int
    n_pruned: int
    n_failed: int
    stopped: bool


def space(config: TrainConfig, names: Sequence[str] = SEARCHED) -> dict[str, Range]:
    """The range of each setting: its usual one, n_steps at most a tenth of the budget. Raises ConfigError."""
    found = {}
    for name in names:
        word = WORDS.get(name)
        if word is None or word.sane is None:
            usual = ", ".join(field for field, each in WORDS.items() if each.sane)
            raise ConfigError(f"--search {name}: no usual range is known to search in; choose among {usual}.")
        low, high = word.sane
        if name == "n_steps":
            high = max(low, min(high, config.total_timesteps / (config.n_envs * LEAST_ITERATIONS)))
        if name in NEAR_ONE:
            found[name] = Range(max(1.0 - high, 1e-4), 1.0 - low, True, False, True)
        else:
            low = SMALLEST.get(name, low) if low == 0 else low
            whole = str(FIELDS[name].type).startswith("int")
            found[name] = Range(low, high, low > 0 and high / low >= 10, whole)
    return found


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """`config` with the searched `values`; a minibatch is at most a rollout, and batch_size replaces n_minibatches."""
    changed = dict(values)
    if "batch_size" in changed:
        pool = config.n_envs * changed.get("n_steps", config.n_steps)
        changed |= {"batch_size": min(changed["batch_size"], pool), "n_minibatches": None}
    return check(replace(config, **changed))


def values_of(config: TrainConfig, ranges: Mapping[str, Range]) -> dict[str, float]:
    """Where `config` itself lies in the search space, for the first trial: by name, as Optuna's parameters."""
    found = {}
    for name, where in ranges.items():
        value = derive(config).batch_size if name == "batch_size" else getattr(config, name)
        if isinstance(value, str):
            value = parse_schedule(value, name, name == "learning_rate").start
        value = 1.0 - value if where.from_one else value
        found[name] = min(max(value, where.low), where.high)
    return found


def new_tune(folder: str | Path, config: TrainConfig, names: Sequence[str], seeds_per_trial: int = 1) -> Path:
    """The new folder of a search. Raises ConfigError where it exists."""
    space(config, names)
    _optuna()
    target = Path(folder).expanduser()
    with storage_errors(f"Creating {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.mkdir()
        except FileExistsError:
            raise ConfigError(
                f"{target} exists already: choose another --name, or go on with --resume {target}."
            ) from None
        content = {"config": config_to_json(config), "search": list(names), "seeds_per_trial": seeds_per_trial}
        replace_file(target / TUNE, json_bytes(content))
    return target


def run_tune(
    folder: str | Path,
    n_trials: int,
    *,
    n_jobs: int = 1,
    n_fresh: int = 5,
    trusted: bool = False,
    watcher: Watcher | None = None,
) -> Tuned:
    """The search in `folder` after at least `n_trials` trials in all, and the test of its winner on `n_fresh` seeds.

    Can be called again after a kill: finished trials count, those that were running are begun anew. Raises
    UserError.
    """
    optuna, watcher = _optuna(), watcher or NoWatcher()
    folder = Path(folder).expanduser()
    config, names, per_trial = _read(folder, trusted)
    ranges = space(config, names)
    study = _study(optuna, folder, config)
    if not study.trials:
        study.enqueue_trial(values_of(config, ranges))  # the search is never worse than where it began
    watcher.on_begin(str(config.env), names, _ended(optuna, study))
    stopped = False
    while not stopped and (left := n_trials - _ended(optuna, study)) > 0:
        trials = [study.ask() for _ in range(min(left, n_jobs))]
        stopped = _batch(optuna, study, trials, config, ranges, per_trial, folder, n_jobs, trusted, watcher)
    return _tuned(optuna, study, config, ranges, folder, n_fresh, n_jobs, trusted, stopped, watcher)


def _batch(
    optuna: Any, study: Any, trials: list[Any], config: TrainConfig, ranges: Mapping[str, Range], per_trial: int,
    folder: Path, n_jobs: int, trusted: bool, watcher: Watcher,
) -> bool:  # fmt: skip
    """Train `trials` side by side and tell Optuna; whether a signal asked for a stop."""
    owner: dict[str | None, tuple[Any, int]] = {}  # by the name of a run
    jobs = []
    for trial in trials:
        made = with_values(config, _suggested(trial, ranges))
        for k in range(per_trial):
            name = f"trial-{trial.number}" + (f"-{k}" if per_trial > 1 else "")
            job = replace(made, out_dir=str(folder), name=name, seed=config.seed + k)
            owner[name] = (trial, k)
            jobs.append(job)
    results = train_many(
        jobs,
        lambda job: [DoctorHook(stop_on="error"), *([Pruner(owner[job.name][0])] if owner[job.name][1] == 0 else [])],
        n_threads=n_jobs,
        trusted=trusted,
    )
    stopped = any(_interrupted(result) for result in results)
    for i, trial in enumerate(trials):
        mine = results[i * per_trial : (i + 1) * per_trial]
        state, score = _verdict(mine)
        if state != "interrupted":
            states = {"complete": "COMPLETE", "pruned": "PRUNED", "fail": "FAIL"}
            study.tell(trial, score if state == "complete" else None, getattr(optuna.trial.TrialState, states[state]))
            watcher.on_trial(trial.number, state, score, _ended(optuna, study))
    return stopped


def _verdict(results: Sequence[Result | UserError]) -> tuple[str, float | None]:
    """How a trial ended, and its score: the mean over its seeds."""
    if any(_interrupted(result) for result in results):
        return "interrupted", None
    good = [r for r in results if isinstance(r, Result) and r.mean_reward is not None and math.isfinite(r.mean_reward)]
    if len(good) < len(results):
        return "fail", None
    early = [r for r in good if r.stopped and (r.stopped == PRUNED or r.stopped.startswith("the doctor found"))]
    score = sum(r.mean_reward or 0.0 for r in good) / len(good)
    return ("pruned" if early else "complete"), score


def _interrupted(result: Result | UserError) -> bool:
    if isinstance(result, Result):
        return result.exit_code != 0
    return str(result).startswith("Not begun")


class Pruner(Hook):
    """Tells Optuna every evaluation of a trial, and stops it where Optuna expects nothing of it."""

    def __init__(self, trial: Any):
        self.trial, self.looks = trial, 0

    def on_iteration(self, record: Record, agent: Agent) -> Request | None:
        """Report an evaluation; a stop where the curve is below the median of the others'."""
        score = record.get("eval/mean_reward")
        if score is None:
            return None
        self.trial.report(float(score), self.looks)
        self.looks += 1
        return Request(stop=PRUNED) if self.trial.should_prune() else None


def _tuned(
    optuna: Any, study: Any, config: TrainConfig, ranges: Mapping[str, Range], folder: Path, n_fresh: int, n_jobs: int,
    trusted: bool, stopped: bool, watcher: Watcher,
) -> Tuned:  # fmt: skip
    state = optuna.trial.TrialState
    counts = {each: sum(t.state == each for t in study.trials) for each in (state.COMPLETE, state.PRUNED, state.FAIL)}
    best = study.best_trial if counts[state.COMPLETE] else None
    values = {} if best is None else {name: _value(best.params[name], where) for name, where in ranges.items()}
    fresh: list[float] = []
    baseline: list[float] = []
    if best is not None:
        winner = with_values(config, values)
        (folder / BEST).unlink(missing_ok=True)
        write_toml(replace(winner, name=None, out_dir=TrainConfig.out_dir), folder / BEST)
        if not stopped and n_fresh:
            watcher.on_fresh(n_fresh)
            fresh = _scores(winner, "best", folder, n_fresh, n_jobs, trusted)
            baseline = _scores(config, "baseline", folder, n_fresh, n_jobs, trusted)
    return Tuned(
        str(folder),
        None if best is None else best.number,
        None if best is None else float(best.value),
        values,
        _importances(optuna, study),
        fresh,
        baseline,
        counts[state.COMPLETE],
        counts[state.PRUNED],
        counts[state.FAIL],
        stopped,
    )


def _scores(config: TrainConfig, name: str, folder: Path, n: int, n_jobs: int, trusted: bool) -> list[float]:
    """The final scores of `config` on `n` fresh seeds."""
    parent = folder / f"{name}-{len(list(folder.glob(name + '-*'))) + 1}"
    jobs = [replace(config, seed=config.seed + FRESH + k, out_dir=str(parent), name=f"seed{k}") for k in range(n)]
    results = train_many(jobs, n_threads=n_jobs, trusted=trusted)
    return [r.mean_reward for r in results if isinstance(r, Result) and r.mean_reward is not None]


def _importances(optuna: Any, study: Any) -> dict[str, float]:
    """Each setting's share in the variation of the score (PED-ANOVA, Watanabe et al. 2023, arXiv:2304.10255)."""
    done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    if len(done) < 8 or len({t.value for t in done}) < 3:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _suggested(trial: Any, ranges: Mapping[str, Range]) -> dict[str, Any]:
    found = {}
    for name, where in ranges.items():
        if where.whole:
            found[name] = trial.suggest_int(name, int(where.low), int(where.high), log=where.log)
        else:
            found[name] = _value(trial.suggest_float(name, where.low, where.high, log=where.log), where)
    return found


def _value(parameter: Any, where: Range) -> Any:
    return int(parameter) if where.whole else 1.0 - parameter if where.from_one else float(parameter)


def _ended(optuna: Any, study: Any) -> int:
    return sum(trial.state.is_finished() for trial in study.trials)


def _study(optuna: Any, folder: Path, config: TrainConfig) -> Any:
    """Optuna's study in `folder`; trials that a kill left running are put back into its queue."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            study_name="tune",
            storage=f"sqlite:///{(folder / STORAGE).resolve()}",
            sampler=optuna.samplers.TPESampler(seed=config.seed, constant_liar=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3),
            direction="maximize",
            load_if_exists=True,
        )
    import shutil

    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
        for left in folder.glob(f"trial-{trial.number}*"):
            shutil.rmtree(left, ignore_errors=True)
    return study


def _read(folder: Path, trusted: bool) -> tuple[TrainConfig, list[str], int]:
    from upswing.config import refuse_code

    if not (folder / TUNE).is_file():
        raise StorageError(f"{folder} is not a search, since it has no {TUNE}: give the folder of one.")
    content = read_json(folder / TUNE)
    try:
        settings = {name: coerce(name, value) for name, value in content["config"].items()}
        names, per_trial = list(content["search"]), int(content["seeds_per_trial"])
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{folder / TUNE} is damaged ({error}): begin the search again.") from None
    if not trusted:
        refuse_code(settings, folder)
    return check(TrainConfig(**settings)), names, per_trial


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtra("optuna", "sweep", "upswing tune") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
