"""What was measured on a GPU, as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from upswing.bench.gpu.measure import Measured
from upswing.bench.recipes import flops_per_step
from upswing.run.versions import versions

INPUTS_OUTPUTS = {"CartPole-v1": (4, 2), "Pendulum-v1": (3, 1), "PushBlock-v0": (10, 2)}
LEARNER_ONLY = "the learner alone"  # what such a recipe says about itself
EXPLAINED = """Contestants take turns on each recipe (A B A B …) on the same device. Figures are medians over rounds; a ratio is taken
round by round, with its smallest and largest value. *Learner only* counts the update alone. *GPU busy* is the driver's
`utilization.gpu` during updates. *Matrix rate* is the useful arithmetic of the update per second, as a share of the float32
rate below. The plain loop is a PPO of this repository in the manner of single-file implementations, on the same environments;
compiled it stands for LeanRL without CUDA graphs. Stable-Baselines3 has its learner on the device and compiled environments on
the host. Each has 5 iterations to warm up."""


def page(device: str, found: Sequence[Measured], limits: dict[str, float], rounds: int) -> str:
    """The whole page."""
    lines = [
        "# Benchmarks on a GPU",
        "",
        f"Written by `make bench-gpu` on one {device}, {rounds} rounds.",
        "",
        EXPLAINED,
        "",
        "| recipe | trainer | steps/s | learner only | Upswing is | GPU busy | matrix rate | memory |",
        "|---|---|---|---|---|---|---|---|",
        *(row(each, found, limits) for each in found),
        "",
        "## The device's limits",
        "",
        "| what | rate |",
        "|---|---|",
        f"| products of 4096² matrices in float32 | {limits['matmul_float32'] / 1e12:.1f} TFLOP/s |",
        f"| the same in bf16 | {limits['matmul_bf16'] / 1e12:.1f} TFLOP/s |",
        f"| copying, read and written | {limits['copy'] / 1e9:.0f} GB/s |",
        f"| launching one small operation | {limits['launch'] * 1e6:.1f} µs |",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions().items() if version) + ".",
        "",
    ]
    return "\n".join(lines)


def row(each: Measured, found: Sequence[Measured], limits: dict[str, float]) -> str:
    """A contestant's line."""
    about = f"| {each.recipe.name} | {each.contestant} |"
    if each.missing:
        return f"{about} not measured: {each.missing} | | | | | |"
    whole = "" if each.recipe.about == LEARNER_ONLY else f"{np.median(each.speeds()):,.0f}"
    busy = "" if each.busy is None else f"{100 * each.busy:.0f} %"
    memory = "" if each.memory_mb is None else f"{each.memory_mb:,.0f} MB"
    return (
        f"{about} {whole} | {np.median(each.speeds(learner_only=True)):,.0f} | {_ratio(each, found)} | {busy} | "
        f"{_matrix_share(each, limits)} | {memory} |"
    )


def _ratio(each: Measured, found: Sequence[Measured]) -> str:
    ours = next((m for m in found if m.recipe == each.recipe and m.contestant == "Upswing"), None)
    if ours is None or ours is each or ours.missing:
        return ""
    ratios = ours.speeds() / each.speeds()
    return f"{np.median(ratios):.1f}× ({ratios.min():.1f} to {ratios.max():.1f})"


def _matrix_share(each: Measured, limits: dict[str, float]) -> str:
    if each.recipe.env not in INPUTS_OUTPUTS:
        return ""
    _, update = flops_per_step(each.recipe, *INPUTS_OUTPUTS[each.recipe.env])
    return f"{100 * update * np.median(each.speeds(learner_only=True)) / limits['matmul_float32']:.0f} %"
