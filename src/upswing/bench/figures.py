"""Figures of Upswing alone: how soon it has learned, several trainings at once, what threads bring.

Each is measured in a process of its own:

    python -m upswing.bench.figures FIGURE ROUNDS
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from upswing.bench.recipes import RECIPES

SEEDS = 10
TOGETHER, TOGETHER_STEPS = 8, 102_400
SHAPES = (  # batch size, hidden layers
    (64, (64, 64)),
    (256, (64, 64)),
    (1024, (64, 64)),
    (4096, (64, 64)),
    (64, (256, 256)),
    (1024, (256, 256)),
    (1024, (1024, 1024)),
)


def learning(rounds: int) -> dict[str, Any]:
    """Seconds of collect and update until an iteration's mean return passed 475, at Stable-Baselines3's defaults."""
    from upswing.bench.contestants import upswing

    recipe = dataclasses.replace(RECIPES[0], steps=TOGETHER_STEPS)
    timings = [upswing(recipe, seed) for seed in range(SEEDS)]
    return {"threshold": recipe.threshold, "seconds": [timing.to_threshold_s for timing in timings]}


def together(rounds: int) -> dict[str, Any]:
    """Seconds of one whole training and of eight by train_many, in turns; and how much two cores do at once."""
    from upswing.config import TrainConfig
    from upswing.many import train_many
    from upswing.training import train

    with tempfile.TemporaryDirectory() as folder:

        def config(seed: int) -> TrainConfig:
            return TrainConfig(env="CartPole-v1", seed=seed, total_timesteps=TOGETHER_STEPS, out_dir=folder)

        train(config(0))  # loads everything
        seconds = [
            (_seconds(lambda: train(config(0))), _seconds(lambda: train_many([config(s) for s in range(TOGETHER)])))
            for _ in range(rounds)
        ]
    return {"seconds": seconds, "two_at_once": two_at_once()}


def two_at_once() -> float:
    """How many times the products of one thread two threads multiply in the same time: 2 where cores are undisturbed."""
    from threadpoolctl import threadpool_limits

    def products(out: list[int], seconds: float = 1.0) -> None:
        a = np.ones((512, 512), np.float32)
        c, start, n = np.empty_like(a), time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            np.dot(a, a, c)
            n += 1
        out.append(n)

    alone: list[int] = []
    both: list[int] = []
    with threadpool_limits(1):
        products(alone)
        threads = [threading.Thread(target=products, args=(both,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(both) / alone[0]


def threads(rounds: int) -> dict[str, Any]:
    """Microseconds of a minibatch on one thread and on every core, in turns, for several batch sizes and networks."""
    import os

    from upswing.bench.minibatches import Minibatches
    from upswing.compiled.blas import one_blas_thread

    cores, rows = os.cpu_count() or 1, []
    with one_blas_thread():
        for batch_size, net_arch in SHAPES:
            contestants = [Minibatches(batch_size, net_arch, n) for n in (1, cores)]
            timed = np.array([[each.microseconds() for each in contestants] for _ in range(rounds)])
            rows.append({"batch_size": batch_size, "net_arch": net_arch, "microseconds": timed.tolist()})
    return {"cores": cores, "rows": rows}


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


FIGURES: dict[str, Callable[[int], dict[str, Any]]] = {
    "learning": learning,
    "together": together,
    "threads": threads,
}


def main() -> None:
    """Print one figure as JSON, as the last line."""
    name, rounds = sys.argv[1:]
    print(json.dumps(FIGURES[name](int(rounds))))


if __name__ == "__main__":
    main()
