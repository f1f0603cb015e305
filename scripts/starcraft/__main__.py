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
from pathlib import Path

import numpy as np

from scripts.starcraft.install import ROOT, install
from scripts.starcraft.rules import RADIUS

EPISODES, SCREEN, MINIMAP = 10, 16, 8


def main() -> None:
    """Train, play, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", choices=tuple(RADIUS), default="MoveToBeacon")
    parser.add_argument("--total-timesteps", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out-dir", default=str(ROOT / "runs" / "standin"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SC2PATH"] = str(install(Path(folder) / "standin"))
        from upswing.hooks import Hook
        from upswing.presets import preset
        from upswing.training import train

        class Progress(Hook):
            def on_iteration(self, record, agent):  # type: ignore[no-untyped-def]
                if int(record["time/iterations"]) % 25 == 0:
                    print(f"{record['time/total_timesteps']} steps: return {record['rollout/ep_rew_mean']}", flush=True)

        config = preset(
            asked.map,
            env_kwargs={"screen_size": SCREEN, "minimap_size": MINIMAP},
            total_timesteps=asked.total_timesteps,
            n_eval_episodes=EPISODES,
            eval_freq=0,
            seed=asked.seed,
            out_dir=asked.out_dir,
        )
        result = train(config, [Progress()])
        scripted = _scripted(asked.map)
    assert result.mean_reward is not None
    print(
        f"On the stand-in's {asked.map}: final policy {result.mean_reward:.1f} over {EPISODES} episodes after "
        f"{result.total_timesteps} steps in {result.wall_time_s:.0f} s; scripted agent {np.mean(scripted):.1f} ± "
        f"{np.std(scripted):.1f}; that is {100 * result.mean_reward / np.mean(scripted):.0f} % of it."
    )


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
