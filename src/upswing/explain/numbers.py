"""A run's own numbers beside a page: what its settings come to, how a metric has gone, what the doctor has found.

Read from config.json, metrics.jsonl and findings.jsonl alone, so also from runs that have crashed or still go on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from upswing.config import SCHEDULED, WORDS, Derived, TrainConfig, derive, read_config
from upswing.explain.facts import written
from upswing.explain.pages import page
from upswing.explain.source import labels
from upswing.metrics import METRICS
from upswing.run.directory import find_run
from upswing.run.records import FINDINGS, read_metrics, read_records
from upswing.schedules import parse_schedule
from upswing.view.numbers import count, number, percent

Rows = dict[str, str]


@dataclass(frozen=True)
class Run:
    """What is read of a run, and the labels of the language it is told in."""

    config: TrainConfig
    derived: Derived
    columns: dict[str, np.ndarray]  # by tag, NaN where undefined
    findings: list[dict[str, Any]]
    said: dict[str, str]

    def known(self, tag: str) -> np.ndarray:
        """The recorded values of `tag`, without the undefined ones."""
        values = self.columns.get(tag, np.array([]))
        return values[np.isfinite(values)]


def own_numbers(run_dir: str | os.PathLike[str], topic: str, lang: str) -> Rows:
    """Labels and texts about `topic` in the run at `run_dir`, in reading order.

    Raises StorageError where it is not a run, ConfigError where its settings cannot be read.
    """
    run = _read(run_dir, lang)
    if topic in WORDS:
        return _of_setting(run, topic)
    if topic in METRICS:
        return _of_metric(run, topic)
    entry = page(topic, lang)
    if entry.kind == "rules":
        return _of_rule(run, topic, entry.related)
    given = run.config.env_kwargs.get(topic)
    return {run.said["value"]: written(given) if given is not None else run.said["not_set"]}


def clipped_share(kl: float, clip_range: float) -> float:
    """The clip fraction that goes with a KL of `kl` where log-ratios are Gaussian, N(-kl, 2·kl)."""
    if kl <= 0 or clip_range <= 0:
        return 0.0 if clip_range > 0 else 1.0
    sigma = math.sqrt(2.0 * kl)
    above = 1.0 - _normal_cdf((math.log1p(clip_range) + kl) / sigma)
    below = _normal_cdf((math.log1p(-clip_range) + kl) / sigma) if clip_range < 1.0 else 0.0
    return above + below


def _read(run_dir: str | os.PathLike[str], lang: str) -> Run:
    root = find_run(run_dir)
    config = TrainConfig(**read_config(root))
    findings = read_records(Path(root) / FINDINGS)
    return Run(config, derive(config), read_metrics(root), findings, labels(lang)["numbers"])


# settings


def _of_setting(run: Run, topic: str) -> Rows:
    rows = {run.said["value"]: written(getattr(run.config, topic))}
    rows |= _SETTINGS.get(topic, lambda run: {})(run)
    if topic in SCHEDULED and len(run.known(f"train/{topic}")):
        now = run.known(f"train/{topic}")
        rows[f"train/{topic}"] = f"{number(now[0])} → {number(now[-1])}"
    for tag in page(topic, "en").related:
        if tag in METRICS and len(run.known(tag)):
            rows.setdefault(tag, _short(run, tag))
    return rows


def _sizes(run: Run) -> Rows:
    derived, config, said = run.derived, run.config, run.said
    rows = {
        said["rollout"]: f"{config.n_envs} × {config.n_steps} = {count(derived.pool)}",
        said["iterations"]: _progress(run, derived.iterations, run.known("time/iterations")),
        said["batch"]: count(derived.batch_size),
        said["minibatches"]: count(derived.n_minibatches),
        said[
            "per_iteration"
        ]: f"{config.n_epochs} × {derived.n_minibatches} = {config.n_epochs * derived.n_minibatches}",
        said["gradient_steps"]: _progress(run, derived.gradient_steps, run.known("train/gradient_steps")),
    }
    if derived.pool % derived.batch_size:
        rows[said["last_batch"]] = count(derived.pool % derived.batch_size)
    return rows


def _progress(run: Run, planned: int, done: np.ndarray) -> str:
    return run.said["done"].format(planned=count(planned), done=count(done[-1])) if len(done) else count(planned)


def _reach(run: Run) -> Rows:
    config = run.config
    rows = {
        run.said["horizon"]: _steps(1.0 - config.gamma),
        run.said["reach"]: _steps(1.0 - config.gamma * config.gae_lambda),
    }
    return rows | _episode(run)


def _episode(run: Run) -> Rows:
    lengths = run.known("rollout/ep_len_mean")
    if not len(lengths):
        return {}
    length = float(lengths[-1])
    return {
        run.said["episode"]: f"{length:.1f}",
        run.said["share_of_episode"]: f"{run.config.n_steps / length:.2f}",
        run.said["episodes_per_rollout"]: f"{run.derived.pool / length:.1f}",
    }


def _steps(per_step: float) -> str:
    return f"{1.0 / per_step:.1f}" if per_step > 0 else "∞"


def _evaluations(run: Run) -> Rows:
    done = run.known("eval/mean_reward")
    return {
        run.said["evaluations"]: _progress(run, run.derived.n_evaluations, np.array([len(done)])),
        run.said["steps_between"]: count(run.derived.eval_freq),
    }


def _kl_limit(run: Run) -> Rows:
    return _stops(run) if run.config.target_kl is not None else {}


def _stops(run: Run) -> Rows:
    stopped = run.known("train/kl_stopped")
    return {run.said["stopped"]: _share(run, stopped > 0)} if len(stopped) else {}


_SETTINGS: dict[str, Callable[[Run], Rows]] = {
    **dict.fromkeys(
        ("n_envs", "n_epochs", "batch_size", "n_minibatches", "total_timesteps", "rollout_rounding"), _sizes
    ),
    **dict.fromkeys(("gamma", "gae_lambda"), _reach),
    **dict.fromkeys(("eval_freq", "n_eval_episodes", "n_eval_envs", "early_stop_reward"), _evaluations),
    "n_steps": lambda run: _sizes(run) | _episode(run) | _reach(run),
    "target_kl": _kl_limit,
    "stats_window_size": _episode,
}


# metrics


def _of_metric(run: Run, tag: str) -> Rows:
    said, values = run.said, run.known(tag)
    if not len(values):
        return {tag: said["not_recorded"]}
    window = max(1, min(len(values), max(10, len(values) // 20)))
    rows = {
        said["updates"]: count(len(values)),
        said["first"]: number(values[0]),
        said["median"]: number(float(np.median(values))),
        said["last"]: number(float(np.median(values[-window:]))),
        said["range"]: f"{number(values.min())} … {number(values.max())}",
    }
    if len(values) >= 8:
        rows |= _course(run, values[-max(8, len(values) // 4) :])
    return rows | _outside(run, tag) | _METRICS.get(tag, lambda run: {})(run)


def _course(run: Run, values: np.ndarray) -> Rows:
    """Where the last values tend, and how much they scatter around that."""
    half = len(values) // 2
    before, after = float(np.median(values[:half])), float(np.median(values[half:]))
    jitter = _jitter(values)
    doubt = max(2.5 * jitter / math.sqrt(half), 0.01 * max(abs(before), abs(after)))
    word = "flat" if abs(after - before) <= doubt else "rising" if after > before else "falling"
    return {
        run.said["trend"]: f"{run.said[word]}  ({number(before)} → {number(after)})",
        run.said["jitter"]: f"± {number(jitter)}",
    }


def _jitter(values: np.ndarray) -> float:
    """A robust standard deviation around the trend: from the differences of neighbours."""
    steps = np.diff(values)
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / math.sqrt(2.0))


def _outside(run: Run, tag: str) -> Rows:
    """How many updates lie below and above the usual band: this run's own, where its target_kl or ε decides it."""
    band, values = METRICS[tag].band, run.columns[tag]
    if band is None or band.low is None or band.high is None:
        return {}
    low, high = np.full(len(values), band.low), np.full(len(values), band.high)
    if tag == "train/approx_kl" and run.config.target_kl is not None:
        low, high = low * 0.0 + 0.5 * run.config.target_kl, high * 0.0 + 2.0 * run.config.target_kl
    if tag == "train/clip_fraction":
        low, high = (np.array([clipped_share(kl, clip) for clip in _clips(run, len(values))]) for kl in _BAND_KL)
    seen = np.isfinite(values)
    return {
        run.said["below"].format(end=_end(run, low)): _share(run, (values < low)[seen]),
        run.said["above"].format(end=_end(run, high)): _share(run, (values > high)[seen]),
    }


_BAND_KL = (0.0037, 0.0195)  # the KLs at which clip_fraction's band of 0.02 to 0.3 begins and ends at ε = 0.2


def _end(run: Run, ends: np.ndarray) -> str:
    return f"{ends[0]:.2g}" if np.ptp(ends) < 1e-3 else run.said["band_end"]


def _clips(run: Run, n: int) -> np.ndarray:
    """The ε in force at each of `n` updates: as recorded, else where its schedule starts."""
    start = parse_schedule(run.config.clip_range, "clip_range").start
    recorded = run.columns.get("train/clip_range", np.array([]))
    return np.where(np.isfinite(recorded), recorded, start) if len(recorded) == n else np.full(n, start)


def _implied_clip(run: Run) -> Rows:
    kls = run.columns.get("train/kl_update", np.array([]))
    shares = [clipped_share(kl, clip) for kl, clip in zip(kls, _clips(run, len(kls)), strict=True) if math.isfinite(kl)]
    rows = {run.said["implied"]: percent(float(np.median(shares)))} if shares else {}
    return rows | _kl_limit(run)


def _relative_loss(run: Run) -> Rows:
    loss, spread = (run.columns.get(tag, np.array([])) for tag in ("train/value_loss", "train/return_std"))
    if len(loss) != len(spread):
        return {}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = loss / spread**2
    ratio = ratio[np.isfinite(ratio)]
    return {run.said["relative"]: number(float(np.median(ratio)))} if len(ratio) else {}


def _time_shares(run: Run) -> Rows:
    collect, update, env = (float(run.known(f"time/{name}_s").sum()) for name in ("collect", "update", "env"))
    if collect + update <= 0:
        return {}
    return {
        run.said["update_share"]: percent(update / (collect + update)),
        run.said["env_share"]: percent(env / (collect + update)),
    }


def _own_baseline(run: Run) -> Rows:
    fps = run.known("time/fps")
    if len(fps) < 20:
        return _time_shares(run)
    early, late = float(np.median(fps[: len(fps) // 10])), float(np.median(fps[-(len(fps) // 10) :]))
    return {run.said["last"]: f"{number(late)}, {run.said['same'].format(times=f'{late / early:.2f}')}"} | _time_shares(
        run
    )


_METRICS: dict[str, Callable[[Run], Rows]] = {
    "train/approx_kl": _implied_clip,
    "train/kl_update": _implied_clip,
    "train/clip_fraction": _implied_clip,
    "train/kl_stopped": _stops,
    "train/value_loss": _relative_loss,
    "time/fps": _own_baseline,
    **dict.fromkeys(("time/collect_s", "time/update_s", "time/env_s"), _time_shares),
    "rollout/ep_len_mean": _episode,
    "rollout/iteration_episodes": _episode,
    "train/gradient_steps": _sizes,
    "time/iterations": _sizes,
}


# rules


def _of_rule(run: Run, code: str, related: tuple[str, ...]) -> Rows:
    rows: Rows = {}
    for finding in run.findings:
        if finding.get("code") == code and finding.get("event", "began") == "began":
            step = finding.get("total_timesteps", finding.get("onset_step"))
            told = str(finding.get("claim") or finding.get("severity") or code)
            rows[run.said["found"].format(step=count(step) if isinstance(step, int | float) else "?")] = told
    if not rows:
        rows[run.said["not_found"]] = run.said["none_recorded"]
    rows |= _RULES.get(code, lambda run: {})(run)
    for name in related:
        if name in METRICS:
            rows[name] = _short(run, name)
        elif name in WORDS:
            rows[name] = written(getattr(run.config, name))
    return rows


_RULES: dict[str, Callable[[Run], Rows]] = {
    **dict.fromkeys(("S01", "S02", "S03"), _sizes),
    **dict.fromkeys(("F01", "F02"), _time_shares),
    "S05": _evaluations,
    "T02": _reach,
    "T03": _episode,
    "P03": _implied_clip,
    "P04": _implied_clip,
    "P06": _stops,
}


def _short(run: Run, tag: str) -> str:
    """Median, last value and trend of `tag` in one line; of a counter, the last value."""
    values, said = run.known(tag), run.said
    if not len(values):
        return said["not_recorded"]
    if METRICS[tag].aggregation == "count":
        return count(values[-1])
    told = [f"{said['median']} {number(float(np.median(values)))}", f"{said['last']} {number(values[-1])}"]
    if len(values) >= 8:
        told.append(_course(run, values[-max(8, len(values) // 4) :])[said["trend"]].split("  ")[0])
    return said["comma"].join(told)


def _share(run: Run, flags: np.ndarray) -> str:
    return run.said["of"].format(share=percent(float(flags.mean())), n=count(len(flags)))


def _normal_cdf(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
