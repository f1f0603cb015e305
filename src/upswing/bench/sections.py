"""What figures.py measured, in words and tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def learning(found: dict[str, Any]) -> list[str]:
    """Lines on the time to learn."""
    seconds, goal = found["seconds"], found["threshold"]
    reached = [s for s in seconds if s is not None]
    missed = len(seconds) - len(reached)
    said = f"not within the budget in {missed} of {len(seconds)} trainings; " if missed else ""
    middle = np.median([np.inf if s is None else s for s in seconds])
    return [
        "## Time to learn",
        "",
        f"CartPole-v1 at Stable-Baselines3's default hyperparameters, seeds 0 to {len(seconds) - 1}: the mean return of an "
        f"iteration's episodes passed {goal:g} after {middle:.2f} s of collect and update time (median), {said}"
        f"{min(reached, default=np.nan):.2f} s the soonest and {max(reached, default=np.nan):.2f} s the latest.",
        "",
    ]


def together(found: dict[str, Any]) -> list[str]:
    """Lines on several trainings at once."""
    one, many = np.array(found["seconds"]).T
    ratios = many / one
    return [
        "## Eight trainings at once",
        "",
        f"`train_many` with eight seeds of CartPole-v1 took {np.median(ratios):.2f} times as long as `train` with one "
        f"({ratios.min():.2f} to {ratios.max():.2f} over {len(ratios)} rounds in turns; medians {np.median(many):.2f} s and "
        f"{np.median(one):.2f} s), evaluations and files included. Two threads that multiplied matrices at once did "
        f"{found['two_at_once']:.2f} times the work of one.",
        "",
    ]


def start(found: list[dict[str, float]]) -> list[str]:
    """Lines on the time to the first update."""
    wait, imports = ([each[key] for each in found] for key in ("to_first_update_s", "imports_s"))
    return [
        "## From the command to the first update",
        "",
        f"`upswing train CartPole-v1` with its kernels on disk began its first update {np.median(wait):.2f} s after the "
        f"imports ({min(wait):.2f} to {max(wait):.2f} s in {len(wait)} processes), which took {np.median(imports):.1f} s "
        f"themselves.",
        "",
    ]


def threads(found: dict[str, Any]) -> list[str]:
    """A table of minibatch times on one thread and on all."""
    lines = [
        "## Threads",
        "",
        f"Microseconds of one minibatch step of separate actor and critic, on one thread and on {found['cores']}; medians "
        f"over rounds in turns. The numbers computed are the same to the last bit.",
        "",
        f"| batch | hidden layers | 1 thread | {found['cores']} threads | times as fast |",
        "|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        one, many = np.array(row["microseconds"]).T
        widths = "×".join(map(str, row["net_arch"]))
        ratios = one / many
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        lines.append(f"| {row['batch_size']} | {widths} | {np.median(one):,.0f} | {np.median(many):,.0f} | {spread} |")
    return [*lines, ""]


SECTIONS: dict[str, Callable[[Any], list[str]]] = {
    "learning": learning,
    "together": together,
    "start": start,
    "threads": threads,
}
