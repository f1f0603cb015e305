"""Count how often a study of two equal settings is called "no difference".

    python -m scripts.no_difference [--studies 100] [--seeds 5] [--timesteps 4096]

Trains two groups of CartPole-v1 with the same settings and different seeds, short enough that their returns differ, and
compares them as `upswing compare` does; for every study anew. Prints the count.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from rich.progress import track

from upswing import preset
from upswing.errors import UserError
from upswing.lab.compare import compare
from upswing.many import train_many

QUIET = {"eval_freq": 10**9, "n_eval_episodes": 10, "checkpoint_freq": 0}


def claim(folder: Path, study: int, n_seeds: int, timesteps: int) -> str:
    """What the comparison of two groups with equal settings says, trained in `folder`."""
    configs = [
        preset(
            "CartPole-v1",
            seed=(2 * study + group) * n_seeds + i,
            total_timesteps=timesteps,
            out_dir=str(folder / f"group{group}"),
            name=f"seed{i}",
            **QUIET,
        )
        for group in (0, 1)
        for i in range(n_seeds)
    ]
    for result in train_many(configs):
        if isinstance(result, UserError):
            raise result
    found = compare([str(folder / "group0"), str(folder / "group1")]).pairs[0].claim
    shutil.rmtree(folder)
    return found


def main() -> None:
    """Train, compare, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--timesteps", type=int, default=4096)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = Counter(
            claim(Path(folder) / str(study), study, asked.seeds, asked.timesteps)
            for study in track(range(asked.studies), "Studies")
        )
    print(f"{counts['no_difference']} of {asked.studies} studies of two equal settings: no difference. {dict(counts)}")


if __name__ == "__main__":
    main()
