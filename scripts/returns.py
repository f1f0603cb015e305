"""Train every preset on several seeds and write what the final policies score to docs/returns.md.

    make returns                          all of them
    python -m scripts.returns CartPole-v1 --seeds 5

Each row is trained from scratch by its preset at the budget stated; the final policy (not the best one) is evaluated
as the preset evaluates. Results are kept in runs/returns/, so that a second call trains only what is missing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "runs" / "returns"
EPISODES = 100


@dataclass(frozen=True)
class Goal:
    """What a preset should reach, and what RL-Zoo publishes for Stable-Baselines3 at the same recipe."""

    env: str
    total_timesteps: int
    at_least: float
    published: str

    @property
    def name(self) -> str:
        """The environment's name in that of a file."""
        return self.env.replace("/", "-")


GOALS = (
    Goal("CartPole-v1", 100_000, 500.0, "500 ± 0 at 100k"),
    Goal("Acrobot-v1", 500_000, -90.0, "-73.5 ± 18 at 1M"),
    Goal("Pendulum-v1", 100_000, -200.0, "-172 ± 104 at 100k"),
    Goal("MountainCar-v0", 1_000_000, -120.0, "-110 ± 20 at 1M"),
    Goal("MountainCarContinuous-v0", 50_000, 85.0, "88 ± 2.6 at 20k"),
    Goal("LunarLander-v3", 1_000_000, 230.0, "242 ± 32 at 1M (v2)"),
    Goal("LunarLanderContinuous-v3", 1_000_000, 230.0, "271 ± 32 at 1M (v2)"),
    Goal("InvertedPendulum-v5", 1_000_000, 950.0, "not published for MuJoCo; CleanRL 963 ± 22 at 1M (v4)"),
    Goal("HalfCheetah-v5", 1_000_000, 4000.0, "5819 ± 664 at 1M (v3)"),
    Goal("Hopper-v5", 1_000_000, 2200.0, "2410 ± 10 at 1M (v3); CleanRL, whose recipe it is, 2383 ± 272 (v4)"),
    Goal("Walker2d-v5", 1_000_000, 2800.0, "3479 ± 822 at 1M (v3)"),
    Goal("Swimmer-v5", 1_000_000, 200.0, "282 ± 10 at 1M (v3)"),
    Goal("Ant-v5", 1_000_000, 1200.0, "1327 ± 452 at 1M (v3)"),
    Goal("BipedalWalker-v3", 5_000_000, 270.0, "288 ± 2.4 at 5M"),
    Goal("ALE/RoadRunner-v5", 150_000, 1000.0, "random play 11.5 (Mnih et al. 2015)"),
)


@dataclass(frozen=True)
class Score:
    """One seed's outcome."""

    env: str
    seed: int
    total_timesteps: int
    mean: float
    std: float
    train_time_s: float
    wall_time_s: float
    engine: str


def train_one(job: tuple[Goal, int]) -> Score | None:
    """The score of the final policy of one training; None, and nothing is kept, where a signal stopped it early."""
    import upswing

    goal, seed = job
    file = RESULTS / f"{goal.name}-{goal.total_timesteps}-{seed}.json"
    if file.exists():
        return Score(**json.loads(file.read_text()))
    name = f"{goal.name}-{seed}-{time.time_ns()}"
    config = upswing.preset(
        goal.env,
        seed=seed,
        total_timesteps=goal.total_timesteps,
        out_dir=str(RESULTS / "runs"),
        name=name,
        threads=1,
        eval_freq=goal.total_timesteps // 5,
        checkpoint_freq=0,
    )
    result = upswing.train(config)
    if result.stopped is not None:
        print(
            f"{goal.env} seed {seed}: stopped by {result.stopped} at {result.total_timesteps:,} steps, not kept",
            flush=True,
        )
        return None
    score = upswing.evaluate_run(result.run_dir, which="latest", n_episodes=EPISODES, seed=10_000 + seed)
    info = json.loads((Path(result.run_dir) / "config.json").read_text())
    outcome = Score(
        goal.env,
        seed,
        result.total_timesteps,
        score.mean_reward,
        score.std_reward,
        result.train_time_s,
        result.wall_time_s,
        info.get("engine", "torch"),
    )
    file.write_text(json.dumps(asdict(outcome)))
    print(f"{goal.env} seed {seed}: {outcome.mean:.1f} ± {outcome.std:.1f} in {outcome.wall_time_s:.0f} s", flush=True)
    return outcome


def saved_scores() -> dict[Goal, list[Score]]:
    """The scores of every goal that were ever measured at its budget, by seed."""
    found = {}
    for goal in GOALS:
        files = sorted(RESULTS.glob(f"{goal.name}-{goal.total_timesteps}-*.json"))
        scores = [Score(**json.loads(file.read_text())) for file in files]
        if scores:
            found[goal] = sorted(scores, key=lambda score: score.seed)
    return found


def row(goal: Goal, scores: list[Score]) -> str:
    """One line of the table."""
    means = np.array([s.mean for s in scores])
    met = "yes" if means.mean() >= goal.at_least else "**no**"
    seeds = ", ".join(f"{s.mean:.1f}" for s in scores)
    wall = f"{np.median([s.wall_time_s for s in scores]):.0f} s"
    return (
        f"| {goal.env} | {goal.total_timesteps:,} | {means.mean():.1f} ± {means.std():.1f} | {seeds} | "
        f"{goal.at_least:g} | {met} | {goal.published} | {scores[0].engine} | {wall} |"
    )


def write_table(done: dict[Goal, list[Score]]) -> Path:
    """docs/returns.md, with a row for each goal in `done`."""
    lines = [
        "# Returns",
        "",
        f"The final policy of each preset, evaluated over {EPISODES} episodes, by its most likely actions (Atari: by random draws): mean over seeds 0, 1, "
        "2 … ± the standard deviation between seeds. Published figures are those of "
        "Stable-Baselines3 in RL-Zoo, or as stated. Written by `make returns` on "
        f"{os.cpu_count()} cores ({platform.machine()}), several trainings side by side, one thread each.",
        "",
        "| environment | steps | mean over seeds | each seed | goal | met | published | engine | wall time, median |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row(goal, scores) for goal, scores in done.items()),
        "",
    ]
    path = ROOT / "docs" / "returns.md"
    path.write_text("\n".join(lines))
    return path


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env", nargs="*", help="presets to train; by default all of them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    args = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    goals = [g for g in GOALS if not args.env or g.env in args.env]
    jobs = [(goal, seed) for goal in goals for seed in range(args.seeds)]
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        stopped = sum(score is None for score in pool.imap_unordered(train_one, jobs))
    print(f"Written: {write_table(saved_scores())}")
    if stopped:
        raise SystemExit(f"{stopped} of {len(jobs)} trainings were stopped early: the same command trains them again.")


if __name__ == "__main__":
    main()
