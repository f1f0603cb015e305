"""Contestants in turns on one machine: A B A B …, each a process of its own, so that a drift of speed meets all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from upswing.bench.recipes import Recipe, flops_per_step
from upswing.errors import UserError

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SGEMM_SIZE = 1024


@dataclass(frozen=True)
class Outcome:
    """A contestant's figures on a recipe: one entry a round, in the order in which they were measured."""

    recipe: Recipe
    contestant: str
    timings: tuple[dict[str, Any], ...]

    def speeds(self) -> np.ndarray:
        """Environment steps per second of collect and update time, one a round."""
        return np.array([t["steps"] / (t["collect_s"] + t["update_s"]) for t in self.timings])

    def median(self, key: str) -> float | None:
        """The median of a figure over the rounds, None where a round has none."""
        values = [t[key] for t in self.timings]
        return None if any(value is None for value in values) else float(np.median(values))

    def ratios_to(self, other: Outcome) -> np.ndarray:
        """How many times as fast as `other`, round by round."""
        return self.speeds() / other.speeds()

    def ceiling_share(self, part: str) -> float:
        """Share of the machine's matrix rate that "collect" or "update" reaches: useful operations per second of it."""
        timing = self.timings[0]
        collect, update = flops_per_step(self.recipe, timing["n_inputs"], timing["n_outputs"])
        work = collect if part == "collect" else update
        shares = [work * t["steps"] / t[f"{part}_s"] / t["sgemm_flops"] for t in self.timings]
        return float(np.median(shares))


def compare(
    recipes: Sequence[Recipe], contestants: Sequence[str], rounds: int, tell: Callable[[str], None]
) -> list[Outcome]:
    """The outcome of each contestant on each recipe; `tell` hears of each training as it ends."""
    outcomes = []
    for recipe in recipes:
        timings: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
        for seed in range(rounds):
            for name in contestants:
                timing = run_once(name, recipe, seed)
                timings[name].append(timing)
                speed = timing["steps"] / (timing["collect_s"] + timing["update_s"])
                tell(f"{recipe.name}, round {seed + 1} of {rounds}, {name}: {speed:,.0f} steps/s")
        outcomes += [Outcome(recipe, name, tuple(each)) for name, each in timings.items()]
    return outcomes


def run_once(contestant: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    """The timing of one training in a process of its own. Raises UserError where that fails."""
    return _last_line("upswing.bench.contestants", contestant, recipe.name, str(seed))


def figures(names: Sequence[str], rounds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """What figures.py measures under each of `names`, or cli/started.py under "start"; `tell` hears of each when done."""
    found: dict[str, Any] = {}
    for name in names:
        if name == "start":  # a process begins once
            found[name] = [_last_line("upswing.cli.started") for _ in range(rounds)]
        else:
            found[name] = _last_line("upswing.bench.figures", name, str(rounds))
        tell(f"{name}: measured")
    return found


def _last_line(module: str, *args: str) -> Any:
    """The JSON that `module`, run as a process of its own, ends with. Raises UserError where it fails."""
    command = [sys.executable, "-m", module, *args]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"Measuring {' '.join(args) or module} failed: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def sgemm_rate(seconds: float = 1.0) -> float:
    """Floating-point operations per second of a 1024 × 1024 × 1024 float32 product on one thread: the best of many."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SGEMM_SIZE, SGEMM_SIZE)).astype(np.float32) for _ in range(2))
    out, best, start = np.empty_like(a), np.inf, time.perf_counter()
    with threadpool_limits(1):
        while time.perf_counter() - start < seconds:
            before = time.perf_counter()
            np.dot(a, b, out)
            best = min(best, time.perf_counter() - before)
    return 2.0 * SGEMM_SIZE**3 / best
