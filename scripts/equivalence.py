"""Train the same recipes with both engines and write how their returns compare to docs/equivalence.md.

    make equivalence                      all tasks, five seeds each
    python -m scripts.equivalence CartPole-v1 --seeds 10

The engines draw different random numbers, so that trainings differ as two seeds do; their mean must not. Results are
kept in runs/equivalence/, so that a second call trains only what is missing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "runs" / "equivalence"
ENGINES = ("native", "torch")
EPISODES = 100


@dataclass(frozen=True)
class Task:
    """A recipe that both engines are given."""

    env: str
    total_timesteps: int
    settings: dict[str, Any] = field(default_factory=dict, hash=False)


TASKS = (
    Task("CartPole-v1", 40_000, {"n_envs": 8, "n_steps": 64, "batch_size": 256, "learning_rate": 1e-3, "gamma": 0.98}),
    Task(
        "Acrobot-v1", 200_000,
        {"n_envs": 16, "n_steps": 256, "batch_size": 512, "learning_rate": 1e-3, "normalize_obs": True},
    ),
    Task(
        "Pendulum-v1", 200_000,
        {
            "n_envs": 16, "n_steps": 256, "batch_size": 512, "learning_rate": 1e-3, "gamma": 0.9,
            "normalize_reward": True, "clip_range_vf": 0.2,
        },
    ),
    Task(
        "MountainCarContinuous-v0", 40_000,
        {
            "n_envs": 8, "n_steps": 128, "batch_size": 256, "n_epochs": 10, "learning_rate": "linear:1e-3", "ent_coef": 0.01,
            "normalize_obs": True, "normalize_reward": True, "policy_kwargs": {"log_std_init": 0.5, "share_trunk": True},
            "target_kl": 0.05,
        },
    ),
)  # fmt: skip


def train_one(job: tuple[Task, str, int]) -> None:
    """Train once and keep the final policy's score and the mean return of all episodes on the way."""
    import upswing
    from upswing.run.records import read_metrics

    task, engine, seed = job
    file = place(task, engine, seed)
    if file.exists():
        return
    config = upswing.TrainConfig(
        env=task.env,
        total_timesteps=task.total_timesteps,
        seed=seed,
        engine=engine,
        threads=1,
        eval_freq=0,
        checkpoint_freq=0,
        out_dir=str(RESULTS / "runs"),
        name=f"{file.stem}-{os.getpid()}",
        **task.settings,
    )
    result = upswing.train(config)
    returns = read_metrics(result.run_dir)["rollout/iteration_rew_mean"]
    score = upswing.evaluate_run(result.run_dir, which="latest", n_episodes=EPISODES)
    file.write_text(json.dumps({"final": score.mean_reward, "on_the_way": float(np.nanmean(returns))}))
    print(f"{task.env}, {engine}, seed {seed}: {score.mean_reward:.1f}", flush=True)


def place(task: Task, engine: str, seed: int) -> Path:
    """Where a training's outcome is kept."""
    return RESULTS / f"{task.env}-{task.total_timesteps}-{engine}-{seed}.json"


def outcomes(task: Task, what: str) -> list[np.ndarray]:
    """The figures `what` of both engines, by seed, as far as they were measured."""
    return [
        np.array(
            [
                json.loads(file.read_text())[what]
                for file in sorted(RESULTS.glob(place(task, engine, 0).stem[:-1] + "*"))
            ]
        )
        for engine in ENGINES
    ]


def interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """95 % interval of mean(a) - mean(b) for samples of unequal variance. Source: Welch 1947."""
    variances = np.array([x.var(ddof=1) / len(x) for x in (a, b)])
    if not variances.any():
        return float(a.mean() - b.mean()), float(a.mean() - b.mean())
    degrees = variances.sum() ** 2 / (variances**2 / [len(a) - 1, len(b) - 1]).sum()
    reach = stats.t.ppf(0.975, degrees) * np.sqrt(variances.sum())
    return float(a.mean() - b.mean() - reach), float(a.mean() - b.mean() + reach)


def row(task: Task, what: str, name: str) -> str:
    """One line of the table."""
    a, b = outcomes(task, what)
    low, high = interval(a, b)
    inside = "yes" if low <= 0.0 <= high else "**no**"
    each = " · ".join(f"{x.mean():.1f} ± {x.std(ddof=1):.1f}" for x in (a, b))
    return (
        f"| {task.env} | {task.total_timesteps:,} | {len(a)} | {name} | {each.split(' · ')[0]} | {each.split(' · ')[1]} | "
        f"{a.mean() - b.mean():+.1f} ({low:+.1f} to {high:+.1f}) | {inside} |"
    )


def tolerances() -> list[str]:
    """What the tests of the native engine state about their tolerances, from their own docstrings."""
    files = {
        "Gradients and figures of a minibatch": ("test_native_gradient.py", r"Tolerances\. (.*?)\n\"\"\""),
        "Parameters and moments": ("test_native_update.py", r"\"\"\"(After 12 clipped steps.*?)\"\"\""),
        "Whole updates": ("test_native_update.py", r"\"\"\"(Figures of a whole update.*?)\"\"\""),
    }
    lines = []
    for what, (name, pattern) in files.items():
        found = re.search(pattern, (ROOT / "tests" / "engine" / name).read_text(), re.DOTALL)
        assert found is not None, f"tests/engine/{name} no longer states its tolerances"
        lines.append(f"- {what} ({name}): {' '.join(found[1].split())}")
    return lines


def settings_of(task: Task) -> str:
    """The recipe in words."""
    return f"{task.env}: " + ", ".join(f"{name} {value}" for name, value in task.settings.items())


def write_page(tasks: list[Task]) -> Path:
    """docs/equivalence.md."""
    kinds = (("final", "final policy"), ("on_the_way", "mean while training"))
    lines = [
        "# Two engines, one meaning",
        "",
        "What the native engine computes is held to the torch engine and to float64 autograd by tests in `tests/engine`:",
        "",
        *tolerances(),
        "",
        "Over whole trainings the engines draw different random numbers, so single runs differ as two seeds do. The table "
        "compares their returns: of the final policy, evaluated deterministically over "
        f"{EPISODES} episodes, and the mean over all iterations of training; mean over seeds ± standard deviation between "
        "them, with Welch's 95 % interval of the difference (one interval in twenty misses 0 by chance). Written by `make equivalence` "
        f"({platform.machine()}, {os.cpu_count()} cores).",
        "",
        "| environment | steps | seeds | return | native | torch | difference (95 % interval) | 0 inside |",
        "|---|---|---|---|---|---|---|---|",
        *(row(task, what, name) for task in tasks for what, name in kinds),
        "",
        "Recipes, beside Stable-Baselines3's defaults: " + "; ".join(settings_of(task) for task in tasks) + ".",
        "",
    ]
    path = ROOT / "docs" / "equivalence.md"
    path.write_text("\n".join(lines))
    return path


def main() -> None:
    """Train what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env", nargs="*", help="tasks to train; by default all of them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    args = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    chosen = [task for task in TASKS if not args.env or task.env in args.env]
    jobs = [(task, engine, seed) for task in chosen for seed in range(args.seeds) for engine in ENGINES]
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        for _ in pool.imap_unordered(train_one, jobs):
            pass
    print(f"Written: {write_page([task for task in TASKS if all(len(x) > 1 for x in outcomes(task, 'final'))])}")


if __name__ == "__main__":
    main()
