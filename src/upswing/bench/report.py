"""The outcome of a comparison as a Markdown page and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from upswing.bench.measure import Outcome
from upswing.bench.sections import SECTIONS
from upswing.run.versions import machine, versions

NAMES = {"upswing": "Upswing", "sb3": "Stable-Baselines3", "sbx": "SBX"}
HEAD = (
    "| recipe | trainer | steps/s | Upswing is | collect : update | matrix rate in update | memory | time to return |"
)


def page(outcomes: Sequence[Outcome], figures: dict[str, Any], sgemm_flops: float, command: str) -> str:
    """Markdown with a row for each contestant on each recipe, and a section for each of the `figures`."""
    about = machine()
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{command}` on {about['cpu']}, {about['cores']} cores, {about['platform']}; "
        f"one-thread sgemm at 1024³: {sgemm_flops / 1e9:.0f} GFLOP/s.",
        "",
        *(_table(outcomes) if outcomes else ()),
        *(line for name, found in figures.items() for line in SECTIONS[name](found)),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions().items() if version) + ".",
        "",
    ]
    return "\n".join(lines)


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    """The comparison, with what its columns mean."""
    return [
        "Trainers take turns on each recipe (A B A B …), each in a process of its own, at its own defaults: rivals "
        "with one thread for arithmetic, Stable-Baselines3 on the CPU as its documentation advises, Upswing with more than "
        "one for large minibatches and for simulators where that measures faster. Steps per second count collect and update time; the "
        "first iteration is a warm-up. Figures are medians over rounds; a ratio is taken round by round, with its "
        "smallest and largest value. *Matrix rate in update* is the useful arithmetic of the update per second, as a "
        "share of the sgemm rate that the same process reaches right afterwards on one thread. *Time to return* is collect "
        "and update time until the mean return of an iteration's episodes passed the threshold.",
        "",
        HEAD,
        "|---|---|---|---|---|---|---|---|",
        *(_row(outcome, outcomes) for outcome in outcomes),
        "",
        "Recipes: " + "; ".join(_about(outcome) for outcome in outcomes if outcome.contestant == "upswing") + ".",
        "",
    ]


def as_json(outcomes: Sequence[Outcome], figures: dict[str, Any], sgemm_flops: float) -> dict[str, Any]:
    """Every figure, for machines."""
    rows = [
        {
            "recipe": outcome.recipe.name,
            "contestant": outcome.contestant,
            "steps_per_second": float(np.median(outcome.speeds())),
            "ratio": None if (other := _ours(outcome, outcomes)) is None else _ratios(other, outcome),
            "timings": list(outcome.timings),
        }
        for outcome in outcomes
    ]
    about = {"sgemm_flops": sgemm_flops, "machine": machine(), "versions": versions()}
    return about | {"results": rows, "figures": figures}


def _row(outcome: Outcome, outcomes: Sequence[Outcome]) -> str:
    ours = _ours(outcome, outcomes)
    ratio = "" if ours is None else "{:.1f}× ({:.1f} to {:.1f})".format(*_ratios(ours, outcome))
    collect, update = outcome.median("collect_s") or 0.0, outcome.median("update_s") or 0.0
    env_s = outcome.median("env_s")
    split = f"{100 * collect / (collect + update):.0f} : {100 * update / (collect + update):.0f}"
    if env_s is not None:
        split += f" (environment {100 * env_s / (collect + update):.0f})"
    share = f"{100 * outcome.ceiling_share('update'):.0f} %" if outcome.contestant == "upswing" else ""
    reached = outcome.median("to_threshold_s")
    wanted = outcome.recipe.threshold
    to_return = "" if wanted is None else f"{wanted:g}: " + ("not reached" if reached is None else f"{reached:.2f} s")
    return (
        f"| {outcome.recipe.name} | {NAMES[outcome.contestant]} | {np.median(outcome.speeds()):,.0f} | {ratio} | {split} | "
        f"{share} | {outcome.median('peak_memory_mb'):.0f} MB | {to_return} |"
    )


def _ours(outcome: Outcome, outcomes: Sequence[Outcome]) -> Outcome | None:
    """Upswing's outcome on the same recipe, where `outcome` is another's."""
    if outcome.contestant == "upswing":
        return None
    return next((o for o in outcomes if o.recipe == outcome.recipe and o.contestant == "upswing"), None)


def _ratios(ours: Outcome, theirs: Outcome) -> tuple[float, float, float]:
    """Median, smallest and largest ratio."""
    ratios = ours.ratios_to(theirs)
    return float(np.median(ratios)), float(ratios.min()), float(ratios.max())


def _about(outcome: Outcome) -> str:
    recipe = outcome.recipe
    return (
        f"*{recipe.name}* {recipe.env}, {recipe.n_envs} × {recipe.n_steps} steps, batch {recipe.batch_size}, "
        f"{recipe.n_epochs} epochs, {'×'.join(map(str, recipe.net_arch))} {recipe.activation_fn} ({recipe.about})"
    )
