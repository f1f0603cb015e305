"""How long the parts of an iteration take on a device, and what the device could do at most."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from upswing.bench.gpu.contestants import Contestant
from upswing.bench.recipes import Recipe
from upswing.errors import UserError

WARM_UP = 5  # iterations: graphs are captured in the fourth


@dataclass
class Measured:
    """A contestant's figures on a recipe; a round an entry."""

    recipe: Recipe
    contestant: str
    collect_s: list[float] = field(default_factory=list)  # of an iteration, medians
    update_s: list[float] = field(default_factory=list)
    busy: float | None = None  # share of the time in which the GPU computed, in updates; None where it cannot be told
    memory_mb: float | None = None
    missing: str = ""  # why there are no figures

    def speeds(self, learner_only: bool = False) -> np.ndarray:
        """Environment steps per second, a round an entry."""
        collect = np.zeros(len(self.update_s)) if learner_only else np.array(self.collect_s)
        return self.recipe.pool / (collect + np.array(self.update_s))


def measure(
    recipe: Recipe,
    contestants: dict[str, Callable[[Recipe, torch.device], Contestant]],
    device: torch.device,
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> list[Measured]:
    """The figures of each contestant on `recipe`: they take turns, round by round, about `seconds` each."""
    found, ready = [], []
    for name, make in contestants.items():
        result = Measured(recipe, name)
        found.append(result)
        _forget_peak(device)
        try:
            contestant = make(recipe, device)
            for _ in range(WARM_UP):
                contestant.update(contestant.collect())
        except (UserError, torch.OutOfMemoryError) as error:
            result.missing = str(error).splitlines()[0]
            continue
        result.memory_mb = _peak_mb(device)
        ready.append((contestant, result))
    for k in range(rounds):
        for contestant, result in ready:
            _one_round(contestant, result, device, seconds)
            tell(f"{recipe.name}, round {k + 1} of {rounds}, {result.contestant}: {result.speeds()[-1]:,.0f} steps/s")
    for contestant, result in ready:
        rollout = contestant.collect()
        with _watched(device) as seen:
            until = time.perf_counter() + 2 * seconds
            while time.perf_counter() < until:
                contestant.update(rollout)
            wait(device)
        result.busy = seen()
    return found


def _one_round(contestant: Contestant, result: Measured, device: torch.device, seconds: float) -> None:
    collect: list[float] = []
    update: list[float] = []
    until = time.perf_counter() + seconds
    while not update or time.perf_counter() < until:
        wait(device)
        start = time.perf_counter()
        rollout = contestant.collect()
        wait(device)
        between = time.perf_counter()
        contestant.update(rollout)
        wait(device)
        collect.append(between - start)
        update.append(time.perf_counter() - between)
    result.collect_s.append(float(np.median(collect)))
    result.update_s.append(float(np.median(update)))


def wait(device: torch.device) -> None:
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _watched(device: torch.device) -> Iterator[Callable[[], float | None]]:
    """While inside, the driver is asked ten times a second how busy the GPU is; gives the mean, None where it cannot say."""
    shares: list[float] = []
    program, over = shutil.which("nvidia-smi"), threading.Event()

    def ask() -> None:
        query = [
            str(program),
            "--query-gpu=utilization.gpu",
            "--format=csv,noheader,nounits",
            f"--id={device.index or 0}",
        ]
        while not over.wait(0.1):
            done = subprocess.run(query, capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip().isdigit():
                shares.append(float(done.stdout) / 100.0)

    asking = threading.Thread(target=ask, daemon=True)
    if device.type == "cuda" and program is not None:
        asking.start()
    try:
        yield lambda: float(np.mean(shares)) if shares else None
    finally:
        over.set()
        if asking.is_alive():
            asking.join()


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mb(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def ceilings(device: torch.device, size: int = 4096, megabytes: int = 1024) -> dict[str, float]:
    """What the device could do at most: operations per second of matrix products, bytes per second copied (read and
    written), and seconds to launch one small operation by itself."""
    found: dict[str, float] = {}
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        c = torch.empty_like(a)
        found[f"matmul_{name}"] = 2.0 * size**3 / _seconds(partial(torch.mm, a, b, out=c), device)
    source = torch.zeros(megabytes * 2**18, dtype=torch.float32, device=device)
    target = torch.zeros_like(source)
    found["copy"] = 2.0 * source.numel() * 4 / _seconds(lambda: target.copy_(source), device)
    small = torch.zeros(1, device=device)

    def many() -> None:
        for _ in range(1000):
            small.add_(1.0)

    found["launch"] = _seconds(many, device) / 1000
    return found


def _seconds(work: Callable[[], Any], device: torch.device, n: int = 10) -> float:
    """Seconds of one `work`: the best of several stretches."""
    best = np.inf
    for _ in range(4):
        wait(device)
        start = time.perf_counter()
        for _ in range(n):
            work()
        wait(device)
        best = min(best, (time.perf_counter() - start) / n)
    return float(best)
