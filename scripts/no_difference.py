"""Count how often a study of two equal settings is called "no difference".

    python -m scripts.no_difference [--studies 100] [--seeds 5] [--timesteps 4096] [--record FILE] [--minutes M]

Trains two groups of CartPole-v1 with the same settings and different seeds, short enough that their returns differ, and
compares them as `upswing compare` does; for every study anew. Prints the count. With `--record` each study's claim is
a line of FILE, and studies that are there already are not done again; `--minutes` stops after that time, so that a
later call goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
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


def recorded(file: Path | None, of: dict[str, int]) -> dict[int, str]:
    """The claims in `file` by study, of those that were done with the seeds and steps of `of`."""
    if file is None or not file.is_file():
        return {}
    rows = [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()]
    return {row["study"]: row["claim"] for row in rows if all(row[name] == value for name, value in of.items())}


def main() -> None:
    """Train, compare, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--timesteps", type=int, default=4096)
    parser.add_argument("--record", type=Path, metavar="FILE")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    asked = parser.parse_args()
    began, of = time.monotonic(), {"seeds": asked.seeds, "timesteps": asked.timesteps}
    claims = recorded(asked.record, of)
    left = [study for study in range(asked.studies) if study not in claims]
    for study in track(left, "Studies"):
        if time.monotonic() - began > 60 * asked.minutes:
            break
        with tempfile.TemporaryDirectory() as folder:
            claims[study] = claim(Path(folder) / str(study), study, asked.seeds, asked.timesteps)
        if asked.record is not None:
            with asked.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"study": study, **of, "claim": claims[study]}) + "\n")
    counts = Counter(claims[study] for study in range(asked.studies) if study in claims)
    print(f"{counts['no_difference']} of {counts.total()} studies of two equal settings: no difference. {dict(counts)}")


if __name__ == "__main__":
    main()
