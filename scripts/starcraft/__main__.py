"""Train on the stand-in, and hold the final policy against the scripted agent. No figure is a StarCraft result.

python -m scripts.starcraft
python -m scripts.starcraft --map CollectMineralShards --total-timesteps 100000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scripts.starcraft.install import ROOT, install
from scripts.starcraft.rules import RADIUS

EPISODES, SCREEN, MINIMAP = 10, 16, 8
PLAYED = 8  # steps of the game between decisions where scores are compared: the mini-games' own
RECIPES: dict[str, dict[str, Any]] = {
    # A random policy that decides every 8 steps sends the marine elsewhere long before it arrives, so that no order
    # looks better than another; every 24, an order to the beacon is worth five times one to elsewhere.
    "MoveToBeacon": {
        "env_kwargs": {"step_mul": 24, "actions": ["no_op", "select_army", "Move_screen"]},
        "policy_kwargs": {"n_channels": [8, 16], "features_dim": 64},
        "learning_rate": 3e-3,
        "gamma": 0.9,
    }
}


def main() -> None:
    """Train, play, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", choices=tuple(RADIUS), default="MoveToBeacon")
    parser.add_argument("--total-timesteps", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out-dir", default=str(ROOT / "runs" / "standin"))
    parser.add_argument("--resume", metavar="RUN", help="go on with a training that was stopped")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SC2PATH"] = str(install(Path(folder) / "standin"))
        result = _train(asked)
        if result.stopped is not None:
            sys.exit(f"{result.stopped}: go on with python -m scripts.starcraft --resume {result.run_dir}")
        score = _played(result.run_dir)
        scripted = _scripted(asked.map)
    print(
        f"On the stand-in's {asked.map}: final policy {score.mean_reward:.1f} ± {score.std_reward:.1f} over {EPISODES} "
        f"episodes after {result.total_timesteps} steps in {result.wall_time_s:.0f} s; scripted agent "
        f"{np.mean(scripted):.1f} ± {np.std(scripted):.1f}; that is "
        f"{100 * score.mean_reward / np.mean(scripted):.0f} % of it."
    )


def _train(asked: argparse.Namespace) -> Any:
    """The Result of the training that is `asked` for."""
    from upswing.hooks import Hook
    from upswing.presets import preset
    from upswing.training import resume, train

    class Progress(Hook):
        def on_iteration(self, record, agent):  # type: ignore[no-untyped-def]
            if int(record["time/iterations"]) % 10 == 0:
                steps, entropy = record["time/total_timesteps"], -record["train/entropy_loss"]
                print(f"{steps} steps: return {record['rollout/ep_rew_mean']}, entropy {entropy:.2f}", flush=True)

    if asked.resume:
        return resume(asked.resume, [Progress()])
    recipe = RECIPES.get(asked.map, {})
    sizes = {"screen_size": SCREEN, "minimap_size": MINIMAP}
    settings = recipe | {"env_kwargs": sizes | recipe.get("env_kwargs", {}), "total_timesteps": asked.total_timesteps}
    return train(
        preset(asked.map, **settings, n_eval_episodes=1, eval_freq=0, seed=asked.seed, out_dir=asked.out_dir),
        [Progress()],
    )


def _played(run: str) -> Any:
    """What the final policy of `run` scores with a decision every PLAYED steps, as the scripted agent."""
    from upswing.envs.make import make_vector_env
    from upswing.evaluation import evaluate, load_agent

    agent, config, _ = load_agent(run, "latest")
    env = make_vector_env(replace(config, env_kwargs=config.env_kwargs | {"step_mul": PLAYED}), 1, evaluation=True)
    try:
        return evaluate(agent, env, EPISODES, [100])
    finally:
        env.close()


def _scripted(name: str) -> list[float]:
    """The scripted agent's scores; in a process of its own, since PySC2 is only imported there."""
    program = (
        f"import json; from scripts.starcraft.play import scores; "
        f"print(json.dumps(scores({name!r}, range(100, {100 + EPISODES}), {SCREEN})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
