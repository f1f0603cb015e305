"""Curves of one or several runs as a picture, drawn by matplotlib from their records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from upswing.errors import StorageError
from upswing.metrics import METRICS
from upswing.run.directory import find_run
from upswing.run.records import STEP, read_metrics

PANELS = (
    ("rollout/ep_rew_mean", "return"),
    ("train/approx_kl", "approx_kl"),
    ("train/clip_fraction", "clip_fraction"),
    ("train/explained_variance", "explained_variance"),
    ("train/entropy_loss", "entropy_loss"),
    ("time/fps", "steps per second"),
)
COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2", "#ca8a04", "#4b5563")
_INK, _PALE, _GRID, _BAND = "#1f2937", "#6b7280", "#e5e7eb", "#dcfce7"


def draw_runs(runs: Sequence[str | Path], output: str | Path) -> Path:
    """The picture file `output` (.png, .svg or .pdf), with a panel for each main metric and a curve for each run.

    Dots in the first panel are evaluations; a green stripe is the healthy band that metrics.py states. Raises
    StorageError where a run has no records yet.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = {find_run(run).name: _columns(run) for run in runs}
    figure, axes = plt.subplots(2, 3, figsize=(13, 6.4), constrained_layout=True)
    for axis, (tag, title) in zip(axes.flat, PANELS, strict=True):
        _panel(axis, tag, title, columns)
    if len(columns) > 1:
        handles, names = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    else:
        figure.suptitle(next(iter(columns)), color=_INK, fontsize=11)
    figure.supxlabel("environment steps", fontsize=9, color=_PALE)
    target = Path(output)
    try:
        figure.savefig(target, dpi=130)
    except (OSError, ValueError) as error:
        raise StorageError(f"{target} cannot be written: {error}") from None
    finally:
        plt.close(figure)
    return target


def _columns(run: str | Path) -> dict[str, np.ndarray]:
    columns = read_metrics(run)
    if not columns:
        raise StorageError(f"{run} has no records yet: wait for its first iteration.")
    return columns


def _panel(axis: Any, tag: str, title: str, columns: dict[str, dict[str, np.ndarray]]) -> None:
    band = METRICS[tag].band
    if band is not None and band.low is not None and band.high is not None:
        axis.axhspan(band.low, band.high, color=_BAND, zorder=0)
    for i, (name, metrics) in enumerate(columns.items()):
        colour = COLOURS[i % len(COLOURS)]
        steps, values = metrics[STEP], metrics.get(tag)
        if values is not None:
            axis.plot(steps, values, color=colour, linewidth=1.4, label=name)
        score = metrics.get("eval/mean_reward")
        if tag == "rollout/ep_rew_mean" and score is not None:
            axis.plot(steps, score, "o", color=colour, markersize=4, markeredgecolor="white")
            axis.set_title("● evaluations", loc="right", fontsize=8, color=_PALE)
    plain_axes(axis, title)


def plain_axes(axis: Any, title: str) -> None:
    """Give `axis` its title, a pale grid, and steps in thousands; no frame."""
    axis.set_title(title, loc="left", fontsize=10, color=_INK)
    axis.grid(color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8, colors=_INK, length=0)
    axis.xaxis.set_major_formatter(lambda x, _: _thousands(x))
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)


def _thousands(x: float) -> str:
    """500, 20k, 1.5M."""
    factor, unit = (1e6, "M") if abs(x) >= 1e6 else (1e3, "k") if abs(x) >= 1e3 else (1, "")
    return f"{x / factor:g}{unit}"
