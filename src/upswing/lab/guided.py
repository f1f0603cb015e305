"""The guided labs: each a small study with a question, a prediction, and an explanation from the study's own numbers.

What a lab does is declared here; what it says is in guides/en.toml and guides/zh.toml. A text may speak of the study's
settings as {first}, {last}, {best} and {worst}, each with the facts of `facts_of`: {worst.label}, {best.kl}; {failed} are
all that failed, with their scores.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from upswing.errors import ConfigError
from upswing.lab.design import Point, combinations, points, varied
from upswing.lab.judging import mean
from upswing.lab.running import new_study
from upswing.lab.study_record import DONE, FAILED, SUSPECTED, StudyRecord
from upswing.presets import preset
from upswing.run.records import read_metrics
from upswing.view.numbers import count, number, rate

GUIDES = Path(__file__).parent / "guides"
BEST, WORST = "best", "worst"
COMMA = {"en": ", ", "zh": "、"}

QUICK: dict[str, Any] = {"checkpoint_freq": 0, "n_eval_episodes": 20}
PUSH: dict[str, Any] = {**QUICK, "total_timesteps": 256_000, "eval_freq": 25_600}
POLE: dict[str, Any] = {
    **QUICK,
    "n_envs": 8,
    "n_steps": 128,
    "batch_size": 256,
    "n_epochs": 4,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "learning_rate": 1e-3,
    "clip_range": 0.2,
    "total_timesteps": 65_536,
    "eval_freq": 8_192,
}

FACTS = {
    "kl": "train/approx_kl",
    "clip": "train/clip_fraction",
    "entropy": "train/entropy_loss",
    "ev": "train/explained_variance",
    "std": "train/std",
    "value_loss": "train/value_loss",
    "fps": "time/fps",
    "collect_s": "time/collect_s",
    "update_s": "time/update_s",
}
"""Short names of the metrics that a lab may show and its texts may use."""


@dataclass(frozen=True)
class Lab:
    """A guided study."""

    env: str
    vary: tuple[str, tuple[Any, ...]]
    settings: Mapping[str, Any]
    asks: str  # BEST or WORST: which setting the prediction is about
    shows: tuple[str, ...]  # facts shown beside the score
    reference: Any = None  # the value that others are measured against; by default the first
    match: str | None = None
    controls: tuple[Any, ...] = ()  # the values that get a control
    seeds: int = 3


def _push(name: str, *values: Any, asks: str = WORST, shows: tuple[str, ...], **more: Any) -> Lab:
    settings = {**PUSH, **more.pop("settings", {})}
    return Lab("PushBlock-v0", (name, values), settings, asks, shows, **more)


def _pole(name: str, *values: Any, asks: str = WORST, shows: tuple[str, ...], **more: Any) -> Lab:
    settings = {**POLE, **more.pop("settings", {})}
    return Lab("CartPole-v1", (name, values), settings, asks, shows, **more)


LABS: dict[str, Lab] = {
    "num_envs": _push(
        "n_envs",
        256,
        512,
        1280,
        2048,
        shows=("batch", "value_loss"),
        match="gradient_steps",
        controls=(2048,),
        settings={"total_timesteps": 192_000, "eval_freq": 19_200},  # the control takes eight times as many
    ),
    "num_steps": _push("n_steps", 8, 16, 64, 128, shows=("batch", "value_loss", "jitter"), reference=16),
    "total_timesteps": _push(
        "total_timesteps",
        64_000,
        128_000,
        256_000,
        512_000,
        asks=BEST,
        shows=("value_loss", "jitter"),
        reference=256_000,
    ),
    "clip_range": _push("clip_range", 0.01, 0.2, 2.0, shows=("kl", "clip"), reference=0.2, settings={"n_epochs": 10}),
    "gae_lambda": _pole("gae_lambda", 0.0, 0.9, 0.95, 1.0, shows=("ev", "value_loss"), reference=0.95),
    "gamma": _push("gamma", 0.0, 0.8, 0.95, 0.999, shows=("ev", "value_loss"), reference=0.8),
    "ent_coef": _push("ent_coef", 0.0, 0.01, 0.1, 1.0, shows=("std", "entropy"), reference=0.0),
    "learning_rate": _push("learning_rate", 3e-5, 2e-3, 3e-2, shows=("kl", "clip", "ev"), reference=2e-3),
    "batch_size": _push(
        "batch_size", 100, 400, 1600, 6400, shows=("kl", "fps"), match="gradient_steps", controls=(1600,)
    ),
    "n_epochs": _push("n_epochs", 1, 4, 20, shows=("kl", "clip", "fps"), reference=4, settings={"n_minibatches": 32}),
    "slow_update": _pole(
        "n_epochs", 20, 5, 1, shows=("collect_s", "update_s", "fps"), match="gradient_steps", controls=(1,)
    ),
}


def lab_called(name: str) -> Lab:
    """The lab called `name`. Raises ConfigError."""
    if name not in LABS:
        raise ConfigError(f"There is no lab {name!r}: choose one of {', '.join(LABS)}.")
    return LABS[name]


@cache
def guide(lang: str) -> Mapping[str, Any]:
    """All texts of the labs in `lang`: `words`, and a table for each lab."""
    return tomllib.loads((GUIDES / f"{lang}.toml").read_text(encoding="utf-8"))


def lab_points(lab: Lab) -> list[Point]:
    """The settings of `lab`: its environment's preset with the lab's own settings on top."""
    name, values = varied(*lab.vary)

    def configure(row: Mapping[str, Any]) -> Any:
        return preset(lab.env, **{**lab.settings, **row})

    return points(combinations({name: values}), configure)


def begin(lab: Lab, folder: str | Path, seed: int = 0) -> StudyRecord:
    """The new study of `lab` in the new folder `folder`."""
    made = lab_points(lab)
    by_value = {point.values[next(iter(point.values))]: point.label for point in made}
    reference = None if lab.reference is None else by_value[lab.reference]
    only = [by_value[value] for value in lab.controls]
    return new_study(folder, made, range(seed, seed + lab.seeds), match=lab.match, reference=reference, only=only)


def outcome(lab: Lab, study: StudyRecord) -> str:
    """The label of the setting that did best, or worst, as the lab asks; controls apart. The mean score decides."""
    labels = [s.label for s in study.settings if s.control_of is None and study.scores(s.label)]
    if not labels:
        raise ConfigError("No run of this lab has finished, so there is nothing to explain.")
    return (max if lab.asks == BEST else min)(labels, key=lambda label: mean(study.scores(label)))


def explained(lab: Lab, name: str, study: StudyRecord, folder: str | Path, lang: str) -> list[str]:
    """What happened, in sentences, with the study's own numbers."""
    texts = guide(lang)[name]
    plain = [s for s in study.settings if s.control_of is None and study.scores(s.label)]
    ranked = sorted(plain, key=lambda s: mean(study.scores(s.label)))
    facts = {s.label: facts_of(study, s.label, folder) for s in plain}
    named = {"first": plain[0], "last": plain[-1], "worst": ranked[0], "best": ranked[-1]}
    values: dict[str, Any] = {key: facts[setting.label] for key, setting in named.items()}
    bad = [f"{s.label} ({facts[s.label].score})" for s in plain if s.verdict in (FAILED, SUSPECTED)]
    values["failed"] = COMMA[lang].join(bad)
    return [texts["found" if bad else "even"].format(**values), texts["why"].format(**values)]


def facts_of(study: StudyRecord, label: str, folder: str | Path) -> SimpleNamespace:
    """What is known about a setting, as short texts: label, score, iterations, gradient_steps, batch, pool, evaluations,
    wall, jitter and the metrics of FACTS, medians over the last half of each run, means over seeds."""
    derived, runs = study.setting(label).derived, [r for r in study.runs_of(label) if r.state == DONE]
    columns = [read_metrics(Path(folder) / run.run_dir) for run in runs]
    known = {name: number(mean(_late(columns, tag))) for name, tag in FACTS.items()}
    known["fps"] = rate(mean(_late(columns, FACTS["fps"])))
    return SimpleNamespace(
        label=label,
        score=number(mean(study.scores(label))),
        iterations=count(derived["iterations"]),
        gradient_steps=count(derived["gradient_steps"]),
        batch=count(derived["batch_size"]),
        pool=count(derived["pool"]),
        evaluations=count(mean([run.costs.evaluations or 0 for run in runs])),
        wall=f"{mean([run.costs.wall_time_s or 0.0 for run in runs]):.1f} s",
        jitter=number(mean([j for c in columns if np.isfinite(j := jitter(c.get("train/value_loss", np.array([]))))])),
        **known,
    )


def _late(columns: Sequence[Mapping[str, np.ndarray]], tag: str) -> list[float]:
    """The median of the last half of the metric `tag`, for each run that has it."""
    found = []
    for each in columns:
        values = each.get(tag, np.array([]))
        values = values[len(values) // 2 :]
        if np.isfinite(values).any():
            found.append(float(np.nanmedian(values)))
    return found


def jitter(values: np.ndarray) -> float:
    """The relative spread of `values` [U] around their trend over the last half: NaN where there are under six.

    The median absolute difference between neighbours, over √2 · 0.6745 (so that it is σ for independent normal noise on
    a slow trend), relative to the median.
    """
    late = values[len(values) // 2 :]
    late = late[np.isfinite(late)]
    if len(late) < 6:
        return float("nan")
    sigma = float(np.median(np.abs(np.diff(late)))) / (np.sqrt(2.0) * 0.6745)
    return sigma / max(abs(float(np.median(late))), 1e-12)


def curves(study: StudyRecord, folder: str | Path, against: str) -> dict[str, list[tuple[float, float]]]:
    """The mean evaluation score of each setting's runs over `against` (a metric's tag), by label; lines for a chart."""
    tag = "eval/success_once" if study.score == "success_once" else "eval/mean_reward"
    found: dict[str, list[tuple[float, float]]] = {}
    for setting in study.settings:
        lines = []
        for run in study.runs_of(setting.label):
            columns = read_metrics(Path(folder) / run.run_dir) if run.state == DONE else {}
            if tag in columns and against in columns:
                keep = np.isfinite(columns[tag])
                lines.append(np.stack([columns[against][keep], columns[tag][keep]]))
        if lines:
            n = min(line.shape[1] for line in lines)
            middle = np.mean([line[:, :n] for line in lines], axis=0)
            untrained = [getattr(r, _UNTRAINED[tag]) for r in study.runs if getattr(r, _UNTRAINED[tag]) is not None]
            start = [(0.0, float(np.mean(untrained)))] if untrained else []
            found[setting.label] = [*start, *zip(middle[0].tolist(), middle[1].tolist(), strict=True)]
    return found


_UNTRAINED = {"eval/success_once": "untrained_success", "eval/mean_reward": "untrained_reward"}
