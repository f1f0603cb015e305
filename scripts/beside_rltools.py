"""Upswing beside RLtools, in turns, on RLtools' own PPO recipe for Pendulum-v1.

    python -m scripts.beside_rltools --python /path/to/venv/bin/python     # one that has RLtools: see docs/environments.md
    python -m scripts.beside_rltools --rounds 9 --output docs/rltools.md

RLtools is a C++ library; its Python package compiles a training for each recipe and environment. It needs its own virtual
environment, since it refuses to run beside torch, with Intel's MKL, without which it is several times slower:

    python3.11 -m venv rltools && rltools/bin/pip install 'rltools[mkl]' gymnasium

Four are measured, A B C D A B C D …: RLtools and Upswing through the same Python environment (Gymnasium's Pendulum-v1
with actions from -1 to 1, which RLtools asks for, and without Gymnasium's checks), Upswing with its compiled
environment, and, for orientation, Upswing through Python in this process alone. Evaluation is off; compiling and the
first iterations are not counted. The recipe is what RLtools does by default: 64 environments, 64 steps, minibatches of
64, 10 epochs, two hidden layers of 64 with ReLU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

N_ENVS, N_STEPS, ITERATIONS, WARM_UP = 64, 64, 40, 4
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
RLTOOLS, PYTHON, SERIAL, COMPILED = "rltools", "upswing-python", "upswing-serial", "upswing-compiled"
NAMES = {
    RLTOOLS: "RLtools, environment in Python",
    PYTHON: "Upswing, the same environment, every core",
    SERIAL: "Upswing, the same environment, one process",
    COMPILED: "Upswing, compiled environment",
}


def pendulum() -> Any:
    """Gymnasium's Pendulum-v1 as RLtools takes it."""
    import gymnasium
    from gymnasium.wrappers import RescaleAction

    return RescaleAction(gymnasium.make("Pendulum-v1", disable_env_checker=True), -1.0, 1.0)


def rltools(seed: int) -> float:
    """RLtools' environment steps per second."""
    from rltools import PPO

    def seeded() -> Any:
        env = pendulum()
        env.reset(seed=seed)
        return env

    ppo = PPO(seeded, interface_name="upswing_bench", enable_evaluation=False, STEP_LIMIT=ITERATIONS + 1)
    state, start = ppo.State(seed), 0.0
    for i in range(ITERATIONS):
        if i == WARM_UP:
            start = time.perf_counter()
        state.step()
    return (ITERATIONS - WARM_UP) * N_ENVS * N_STEPS / (time.perf_counter() - start)


def upswing(seed: int, kind: str) -> float:
    """Upswing's environment steps per second."""
    from upswing.config import TrainConfig
    from upswing.hooks import Hook
    from upswing.training import learn, prepare

    class Clock(Hook):
        seconds = 0.0

        def on_iteration(self, record, agent):
            if record["time/iterations"] > WARM_UP:
                self.seconds += record["time/collect_s"] + record["time/update_s"]

    how = {PYTHON: "auto", SERIAL: "serial", COMPILED: "native"}[kind]
    config = TrainConfig(
        env="Pendulum-v1" if kind == COMPILED else pendulum,
        vectorization=how,
        threads=os.cpu_count() if kind == PYTHON else 1,
        n_envs=N_ENVS,
        n_steps=N_STEPS,
        batch_size=64,
        n_epochs=10,
        learning_rate=1e-3,
        policy_kwargs={"net_arch": [64, 64], "activation_fn": "relu"},
        total_timesteps=ITERATIONS * N_ENVS * N_STEPS,
        seed=seed,
    )
    training, clock = prepare(config), Clock()
    try:
        learn(training, [clock])
    finally:
        training.engine.close()
    return (ITERATIONS - WARM_UP) * N_ENVS * N_STEPS / clock.seconds


def measured(kind: str, seed: int, python: str) -> float:
    """Steps per second of `kind` in a process of its own."""
    command = [python if kind == RLTOOLS else sys.executable, os.path.abspath(__file__), "--one", kind, str(seed)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{kind} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def table(speeds: dict[str, list[float]]) -> list[str]:
    """A row for each trainer: its speed, and how many times as fast as RLtools, round by round."""
    lines = ["| trainer | steps/s, median (all) | times RLtools, median (lowest to highest) |", "|---|---|---|"]
    for kind, own in speeds.items():
        ratios = np.array(own) / np.array(speeds[RLTOOLS])
        every = ", ".join(f"{speed:,.0f}" for speed in own)
        low, middle, high = ratios.min(), np.median(ratios), ratios.max()
        lines.append(f"| {NAMES[kind]} | {np.median(own):,.0f} ({every}) | {middle:.2f} ({low:.2f} to {high:.2f}) |")
    return lines


def page(speeds: dict[str, list[float]], rltools_version: str) -> str:
    """What was measured, as a page of the documentation."""
    from upswing.run.versions import machine, versions

    about = machine()
    known = {"rltools": rltools_version} | versions()
    lines = [
        "# Beside RLtools",
        "",
        f"Written by `python -m scripts.beside_rltools --rounds {len(speeds[RLTOOLS])} --output docs/rltools.md` on "
        f"{about['cpu']}, {about['cores']} cores. RLtools' default recipe on Pendulum-v1: {N_ENVS} environments × {N_STEPS} "
        "steps, minibatches of 64, 10 epochs, two hidden layers of 64 with ReLU. The trainers take turns, each in a process "
        "of its own; compiling and the first iterations are not counted.",
        "",
        *table(speeds),
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in known.items() if version) + ".",
        "",
    ]
    return "\n".join(lines)


def version_of_rltools(python: str) -> str:
    """The version that the interpreter `python` has."""
    code = "from importlib.metadata import version; print(version('rltools'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure, print a table, and write it where that is wanted."""
    parser = argparse.ArgumentParser(description="Upswing beside RLtools on Pendulum-v1.")
    parser.add_argument("--python", default="rltools/bin/python", help="the interpreter that has RLtools")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a Markdown file, such as docs/rltools.md")
    parser.add_argument("--one", nargs=2, metavar=("WHO", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        who, seed = arguments.one
        print(json.dumps(rltools(int(seed)) if who == RLTOOLS else upswing(int(seed), who)))
        return
    if not os.access(arguments.python, os.X_OK):
        sys.exit(f"{arguments.python} is not there: see the top of scripts/beside_rltools.py.")
    speeds: dict[str, list[float]] = {kind: [] for kind in NAMES}
    for seed in range(arguments.rounds):
        for kind, measured_so_far in speeds.items():
            measured_so_far.append(measured(kind, seed, arguments.python))
            print(f"round {seed + 1}, {kind}: {measured_so_far[-1]:,.0f} steps/s", flush=True)
    print("", *table(speeds), sep="\n")
    if arguments.output:
        arguments.output.write_text(page(speeds, version_of_rltools(arguments.python)))


if __name__ == "__main__":
    main()
