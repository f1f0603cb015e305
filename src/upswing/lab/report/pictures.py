"""The plots of a report as PNG files, drawn by matplotlib: one file a metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from upswing.doctor.texts import fill
from upswing.lab.compare import Comparison
from upswing.lab.report.curves import Curves, Panel, panels
from upswing.lab.report.page import name_of
from upswing.lab.texts import comparison_texts
from upswing.run.disk import storage_errors
from upswing.view.figure import COLOURS, plain_axes

CHINESE = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "SimHei")  # fmt: skip
"""Fonts that have Chinese letters; where none is installed, pictures speak English."""


def write_pictures(comparison: Comparison, folder: Path, lang: str) -> Iterator[Path]:
    """The PNG files in `folder`, one a plot, while they are written. Raises StorageError."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    font = chinese_font() if lang == "zh" else None
    words = comparison_texts("zh" if font else "en")
    with storage_errors(f"Writing {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context({"font.family": [font, "DejaVu Sans"], "axes.unicode_minus": False} if font else {}):
        for panel in panels(comparison):
            figure, axis = plt.subplots(figsize=(8, 4.2), constrained_layout=True)
            draw(axis, comparison, panel, words)
            target = folder / f"{panel.tag.replace('/', '-')}.png"
            try:
                with storage_errors(f"Writing {target}"):
                    figure.savefig(target, dpi=140)
            finally:
                plt.close(figure)
            yield target


def draw(axis: Any, comparison: Comparison, panel: Panel, words: Mapping[str, str]) -> None:
    """`panel` on `axis`: bands, runs, marks, and a legend where there are several settings."""
    for curves in panel.curves:
        _draw_setting(axis, comparison, curves)
    plain_axes(axis, f"{words[f'panel_{panel.key}']} · {name_of(comparison)}")
    axis.set_xlabel(words["axis"], fontsize=9)
    if panel.logarithmic:
        axis.set_yscale("log")
    if len(comparison.rows) > 1:
        axis.legend(frameon=False, fontsize=8, loc="best", title=fill(words["runs"], {"n": len(comparison.gathered.members)}), title_fontsize=8)  # fmt: skip


def _draw_setting(axis: Any, comparison: Comparison, curves: Curves) -> None:
    row = comparison.rows[curves.setting]
    colour = COLOURS[curves.setting % len(COLOURS)]
    if len(curves.runs) > 1:
        axis.fill_between(curves.steps, curves.band.low, curves.band.high, color=colour, alpha=0.15, linewidth=0)
        for run in curves.runs:
            axis.plot(curves.steps, run, color=colour, alpha=0.25, linewidth=0.8)
    style = "--" if row.setting.control_of else "-"
    marker = "o" if len(curves.steps) == 1 else None
    axis.plot(curves.steps, curves.band.value, style, marker=marker, color=colour, linewidth=1.8, label=row.label)
    for mark in curves.marks:
        axis.axvline(mark.step, color=colour, linestyle=":", linewidth=1)
        axis.annotate(
            mark.code, (mark.step, 1), xycoords=("data", "axes fraction"), fontsize=7, color=colour, va="bottom"
        )


def chinese_font() -> str | None:
    """The first installed font that has Chinese letters; None where there is none."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CHINESE if name in installed), None)
