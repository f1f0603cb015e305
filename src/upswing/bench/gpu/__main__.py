"""Measure on a GPU, and write the page.

make bench-gpu                                                     all; about half an hour
python -m upswing.bench.gpu --only cartpole --rounds 3 -o page.md  recipes whose name begins so
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from upswing.bench.gpu.contestants import CONTESTANTS, Contestant, Images, Ours
from upswing.bench.gpu.measure import Measured, ceilings, measure
from upswing.bench.gpu.page import LEARNER_ONLY, page
from upswing.bench.recipes import Recipe
from upswing.errors import ConfigError, UserError

TASKS = {"cartpole": "CartPole-v1", "pendulum": "Pendulum-v1", "pushblock": "PushBlock-v0"}
IMAGES = Recipe("images, NatureCNN", "84×84×4", 128, 128, 4096, 4, 0, 0, about=LEARNER_ONLY)
MANISKILL = ("PushCube-v1", "PickCube-v1")

Makers = dict[str, Callable[[Recipe, torch.device], Contestant]]


def vector_recipes(n_envs: Sequence[int] = (4096, 32_768), n_steps: int = 32) -> list[Recipe]:
    """CartPole, Pendulum and PushBlock, narrow and wide, with few and many environments: 4 minibatches, 4 epochs."""
    return [
        Recipe(
            f"{name}, {n:,} × {n_steps}, {width}×{width}", env, n, n_steps, n * n_steps // 4, 4, 0, 0,
            net_arch=(width, width),
        )
        for name, env in TASKS.items() for n in n_envs for width in (64, 256)
    ]  # fmt: skip


def everything() -> list[tuple[Recipe, Makers]]:
    """Each recipe and who trains it."""
    found: list[tuple[Recipe, Makers]] = [(recipe, dict(CONTESTANTS)) for recipe in vector_recipes()]
    pictures: Makers = {
        "Upswing": lambda recipe, device: Images(recipe, device),
        "Upswing, amp = bf16": lambda recipe, device: Images(recipe, device, amp="bf16"),
        "Upswing, capture = off": lambda recipe, device: Images(recipe, device, capture="off"),
    }
    found.append((IMAGES, pictures))
    if importlib.util.find_spec("mani_skill") is not None:
        simulated: Makers = {
            "Upswing": lambda recipe, device: Ours(recipe, device),
            "Upswing, capture = off": lambda recipe, device: Ours(recipe, device, capture="off"),
        }
        found += [
            (Recipe(f"{env}, 2,048 × 16", env, 2048, 16, 1024, 8, 0, 0, net_arch=(256, 256, 256)), simulated)
            for env in MANISKILL
        ]
    return found


def require_gpu() -> torch.device:
    """The GPU. Raises ConfigError where torch finds none."""
    if not torch.cuda.is_available():
        raise ConfigError("make bench-gpu measures a GPU, and torch finds none here: see upswing info.")
    return torch.device("cuda", torch.cuda.current_device())


def run(
    device: torch.device, chosen: Sequence[tuple[Recipe, Makers]], rounds: int, seconds: float, **sizes: Any
) -> tuple[list[Measured], dict[str, float]]:
    """Every figure of the `chosen` recipes, and the device's limits."""
    limits = ceilings(device, **sizes)
    found = []
    for recipe, makers in chosen:
        found += measure(recipe, makers, device, rounds, seconds, lambda line: print(line, file=sys.stderr, flush=True))
    return found, limits


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="upswing.bench.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="recipes whose name begins so")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each contestant's turn")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    try:
        device = require_gpu()
        chosen = [each for each in everything() if each[0].name.lower().startswith(asked.only.lower())]
        found, limits = run(device, chosen, asked.rounds, asked.seconds)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    text = page(torch.cuda.get_device_name(device), found, limits, asked.rounds)
    if asked.output is not None:
        asked.output.write_text(text)
    print(text if asked.output is None else f"Written: {asked.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
