"""Measure overlap, mixed precision and several processes, and write the figures into docs/scale.md.

    python -m scripts.scale                       all; about ten minutes of one core
    python -m scripts.scale overlap amp           some; the figures of the others stay
    python -m scripts.scale --keep runs/scale     trainings are kept there, so that a second call goes on

Whatever is compared takes turns, since a machine's speed changes: A B A B. The learning of overlap is judged by what
judges every comparison here, `upswing compare`.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from upswing import TrainConfig, train
from upswing.lab.compare import compare
from upswing.lab.pairs import LOWER
from upswing.run.records import read_metrics
from upswing.training import learn, prepare

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
SEEDS = 5
PROCESS_ROUNDS = 3


class SlowEnv(gymnasium.Wrapper):
    """CartPole-v1 as a slow simulator has it: each step lets the processor wait."""

    WAIT_S = 0.001

    def __init__(self):
        super().__init__(gymnasium.make("CartPole-v1"))

    def step(self, action: Any) -> Any:
        """Wait, then step."""
        time.sleep(self.WAIT_S)
        return self.env.step(action)


SLOW = TrainConfig(
    env=SlowEnv, engine="torch", vectorization="serial", n_envs=4, n_steps=64, batch_size=64, n_epochs=20, threads=1
)
TASKS = (
    TrainConfig(env="CartPole-v1", n_envs=8, n_steps=128, batch_size=256, learning_rate=1e-3, gamma=0.98, total_timesteps=24_576),
    TrainConfig(
        env="Pendulum-v1", n_envs=16, n_steps=128, batch_size=512, learning_rate=1e-3, gamma=0.9, normalize_reward=True,
        total_timesteps=61_440,
    ),
    TrainConfig(
        env="PushBlock-v0", n_envs=16, n_steps=100, batch_size=400, learning_rate=1e-3, gamma=0.9, total_timesteps=96_000,
    ),
)  # fmt: skip
NETWORKS = (("64×64", [64, 64]), ("256×256", [256, 256]), ("1024×1024", [1024, 1024]))


def iterations(config: TrainConfig, n: int) -> tuple[list[float], Any]:
    """Seconds of wall clock of each of `n` iterations after five that warm up, and the training, closed."""
    training = prepare(replace(config, total_timesteps=10**9))
    seconds = []
    try:
        training.derived = replace(training.derived, iterations=5)
        learn(training, [])
        for _ in range(n):
            training.derived = replace(training.derived, iterations=training.progress.iteration + 1)
            start = time.perf_counter()
            learn(training, [])
            seconds.append(time.perf_counter() - start)
    finally:
        training.engine.close()
    return seconds, training


def in_turns(configs: dict[str, TrainConfig], rounds: int, n: int) -> dict[str, np.ndarray]:
    """Median seconds of an iteration of each configuration, [rounds]; each has a turn in each round."""
    found: dict[str, list[float]] = {name: [] for name in configs}
    for k in range(rounds):
        for name, config in configs.items():
            found[name].append(float(np.median(iterations(config, n)[0])))
            print(f"round {k + 1} of {rounds}, {name}: {1000 * found[name][-1]:.1f} ms an iteration", flush=True)
    return {name: np.array(seconds) for name, seconds in found.items()}


def ratio(slow: np.ndarray, fast: np.ndarray) -> str:
    """How many times as fast, round by round: median and range."""
    ratios = slow / fast
    return f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


def overlap_speed(rounds: int = 5, n: int = 5) -> list[str]:
    """Lines on the wall clock of overlapped collection, where an update is short and where it is as long as the wait."""
    lines = [
        f"Four CartPoles that wait {1000 * SlowEnv.WAIT_S:.0f} ms in each step, 64 steps a rollout, batch 64, {SLOW.n_epochs} "
        f"epochs, one thread; {rounds} rounds in turns, {n} iterations each:",
        "",
        "| network | `collect` | wall clock of an iteration, median | times as fast as `sync` |",
        "|---|---|---|---|",
    ]
    for layers in ([64, 64], [512, 512]):
        base = replace(SLOW, policy_kwargs={"net_arch": layers})
        ways = {name: replace(base, collect=name) for name in ("sync", "overlap", "auto")}
        seconds = in_turns(ways, rounds, n)
        lines += [
            f"| {layers[0]}×{layers[1]} | `{name}` | {1000 * np.median(each):.0f} ms | "
            f"{ratio(seconds['sync'], each) if name != 'sync' else ''} |"
            for name, each in seconds.items()
        ]
    return [*lines, "", "At best, overlapping hides the whole of the shorter of the two: collecting, or updating."]


def overlap_learning(keep: Path) -> list[str]:
    """Lines on what overlapped collection costs in learning: trainings of both kinds, compared by `upswing compare`."""
    lines = [
        f"Three tasks, {SEEDS} seeds each, the torch engine; final scores as `upswing compare` reads them: the success rate "
        f"where the task has one, else the return; 95 % intervals:",
        "",
        "| task | steps | `sync` | `overlap` | difference | p | |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        ways = ("sync", "overlap")
        for seed in range(SEEDS):
            for way in ways:
                folder = keep / str(task.env) / way
                if not (folder / f"seed{seed}" / "done").exists():
                    _trained(replace(task, engine="torch", collect=way, threads=1, seed=seed), folder, f"seed{seed}")
        pair = compare([str(keep / str(task.env) / way) for way in ways]).pairs[0]
        verdict = "worse" if pair.claim == LOWER else "not shown to be worse"
        of = [
            f"{i.value:.2f} ({i.low:.2f} to {i.high:.2f})" for i in (pair.reference_final, pair.final, pair.difference)
        ]
        lines.append(
            f"| {task.env} | {task.total_timesteps:,} | {of[0]} | {of[1]} | {of[2]} | {pair.p:.2f} | {verdict} |"
        )
        print(lines[-1], flush=True)
    stale = [
        np.nanmedian(read_metrics(keep / str(t.env) / "overlap" / f"seed{s}")["train/ess"])
        for t in TASKS
        for s in range(SEEDS)
    ]
    lines += [
        "",
        f"The effective share of the samples (`train/ess`) was {min(stale):.3f} at least, by the medians of these trainings.",
    ]
    return lines


def _trained(config: TrainConfig, folder: Path, name: str) -> None:
    """Train into `folder`, once: a training that was cut off is begun anew."""
    shutil.rmtree(folder / name, ignore_errors=True)
    result = train(replace(config, out_dir=str(folder), name=name, eval_freq=0, n_eval_episodes=50, checkpoint_freq=0))
    if result.stopped is not None:
        raise SystemExit(f"{config.env}, {config.collect}, seed {config.seed} was stopped: call this again to go on.")
    (folder / name / "done").touch()
    print(f"{config.env}, {config.collect}, seed {config.seed}: {result.mean_reward:.2f}", flush=True)


def overlap(keep: Path) -> list[str]:
    """Both."""
    return [*overlap_speed(), "", *overlap_learning(keep)]


def amp(keep: Path) -> list[str]:
    """Lines on float32 against bf16 on this processor: `upswing profile`'s own measurement of a gradient step."""
    from upswing.lab.speed import amp_gain

    lines = [
        "CartPole-v1, minibatches of 256, one thread, gradient steps in turns; the median over five rounds or more, and their range:",
        "",
        "| network | bf16: times as fast as float32 | |",
        "|---|---|---|",
    ]
    for name, layers in NETWORKS:
        base = TrainConfig(
            env="CartPole-v1", engine="torch", n_envs=8, n_steps=64, batch_size=256, policy_kwargs={"net_arch": layers}
        )
        gain = amp_gain(base)
        lines.append(
            f"| {name} | {gain.factor:.2f} ({gain.low:.2f} to {gain.high:.2f}) | {'helps' if gain.helps else 'does not help'} |"
        )
        print(lines[-1], flush=True)
    return lines


def processes(keep: Path) -> list[str]:
    """Lines on one and two processes by torchrun: seconds of an update."""
    settings = shlex.split(
        "CartPole-v1 --no-preset --engine torch --vectorization serial --n-envs 16 --n-steps 64 --batch-size 1024 "
        "--n-epochs 10 --policy-kwargs net_arch=[512,512] --total-timesteps 8192 --eval-freq 0 --n-eval-episodes 1 "
        "--threads 1 --quiet"
    )
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for k in range(PROCESS_ROUNDS):
            for n in seconds:
                name = f"{n}-{k}"
                launch = f"{sys.executable} -m torch.distributed.run --nproc-per-node {n} -m upswing train".split()
                done = subprocess.run(
                    [*launch, *settings, "--out-dir", folder, "--name", name], env=os.environ | {"OMP_NUM_THREADS": "1"},
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode:
                    raise SystemExit(done.stderr[-2000:])
                metrics = read_metrics(Path(folder) / name)
                seconds[n].append(float(np.median(metrics["time/update_s"][2:])))
                print(
                    f"round {k + 1} of {PROCESS_ROUNDS}, {n} processes: {1000 * seconds[n][-1]:.0f} ms an update",
                    flush=True,
                )
    one, two = (np.array(each) for each in seconds.values())
    return [
        "CartPole-v1, 16 environments, 64 steps, one minibatch of 1,024, 10 epochs, two layers of 512, one thread a process, "
        f"{PROCESS_ROUNDS} rounds in turns:",
        "",
        "| processes | an update, median | times as fast |",
        "|---|---|---|",
        f"| 1 | {1000 * np.median(one):.0f} ms | |",
        f"| 2 | {1000 * np.median(two):.0f} ms | {ratio(one, two)} |",
        "",
        "That two processes make the update of one is a test (`tests/engine/test_group.py`).",
    ]


SECTIONS: dict[str, Callable[[Path], list[str]]] = {"overlap": overlap, "amp": amp, "processes": processes}


def write(name: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put `lines` between the page's markers for `name`."""
    begin, end = f"<!-- figures: {name} -->", f"<!-- end of figures: {name} -->"
    about = f"Measured by `python -m scripts.scale {name}` on {_machine()}."
    body = "\n".join([begin, about, "", *lines, end])
    text, n = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: body, page.read_text(), flags=re.S)
    assert n == 1, f"{page} has no place for {name}"
    page.write_text(text)


def _machine() -> str:
    from upswing.run.versions import machine

    about = machine()
    return f"{about['cores']} cores of {about['cpu']}, {time.strftime('%Y-%m-%d')}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--keep", type=Path, default=PAGE.parent.parent / "runs" / "scale")
    asked = parser.parse_args()
    for name in asked.sections or SECTIONS:
        write(name, SECTIONS[name](asked.keep))
        print(f"Written: {PAGE}, {name}")


if __name__ == "__main__":
    main()
