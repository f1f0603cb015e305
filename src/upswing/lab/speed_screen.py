"""A profile in a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from upswing.config import derive
from upswing.doctor.render.planned import short
from upswing.doctor.texts import fill
from upswing.lab.speed import Option, Profile, plain_changes
from upswing.lab.texts.speed_words import SPEED_WORDS
from upswing.view.lines import ACCENT, DIM, GOOD, ODD, STRONG
from upswing.view.numbers import UNKNOWN, count, percent

BAR = 30  # cells


def screen(found: Profile, lang: str, env: str) -> RenderableType:
    """The whole picture."""
    words, split, config = SPEED_WORDS[lang], found.split, found.config
    about = {
        "pool": count(derive(config).pool),
        "steps": count(found.gradient_steps),
        "uses": config.n_epochs,
        "engine": split.engine,
    }
    lines: list[RenderableType] = [
        Text.assemble((" Upswing ", ACCENT), (words["title"], STRONG), (f"  {env}", DIM)),
        Text(" " + fill(words["iteration"], about), style=DIM),
        Text(""),
        Padding(_split(found, words), (0, 1)),
    ]
    if split.gpu_memory_mb is not None:
        busy = UNKNOWN if split.gpu_busy is None else percent(split.gpu_busy)
        lines.append(Text(" " + fill(words["gpu"], {"busy": busy, "memory": count(split.gpu_memory_mb)})))
    lines.append(Text(""))
    shares = {"F01": split.update / split.total, "F02": split.env / split.total}
    for code in split.codes:
        lines.append(Text(" " + fill(words[code], {"share": percent(shares[code])}), style=f"bold {ODD}"))
    if not split.codes:
        lines.append(Text.assemble((" ✔ ", GOOD), (words["fine"], STRONG)))
    lines += [Text(" " + _about_amp(found, words), style=DIM)]
    if found.options:
        lines += [Text(""), Padding(_options(found, words), (0, 1)), Text(""), *_advice(found, words, env)]
    return Group(*lines)


def _about_amp(found: Profile, words: dict[str, str]) -> str:
    """Whether mixed precision would help."""
    if found.bf16 is None:
        return words["amp_native"]
    gain = found.bf16
    how = {"factor": f"{gain.factor:.2f}", "range": f"{gain.low:.2f}–{gain.high:.2f}"}
    return fill(words["amp_helps" if gain.helps else "amp_not"], how)


def _split(found: Profile, words: dict[str, str]) -> RenderableType:
    table, split = Table.grid(padding=(0, 2)), found.split
    for justify in ("left", "right", "right", "left"):
        table.add_column(justify=justify)
    for name in ("env", "policy", "advantages", "steps"):
        share = getattr(split, name) / split.total
        bar = Text("━" * round(BAR * share), style="cyan")
        table.add_row(Text(words[name], style="cyan"), short(getattr(split, name)), percent(share), bar)
    table.add_row(Text(words["total"], style=DIM), Text(short(split.total), style=STRONG), "", "")
    return table


def _options(found: Profile, words: dict[str, str]) -> RenderableType:
    table = Table(box=None, header_style=DIM, padding=(0, 2, 0, 0))
    for key, justify in (("change", "left"), ("predicted", "right"), ("measured", "right"), ("faster", "right")):
        table.add_column(words[key], justify=justify)  # type: ignore[arg-type]
    table.add_column(words["cost"])
    for option in found.options:
        predicted = UNKNOWN if option.predicted is None else short(option.predicted)
        table.add_row(
            Text(written(found, option), style="bold green"),
            predicted,
            short(option.measured.total),
            f"× {found.split.total / option.measured.total:.3g}",
            Text(_cost(found, option, words), style=DIM),
        )
    return table


def written(found: Profile, option: Option) -> str:
    """The change as `n_epochs 100 → 10`, one setting after another."""
    now: dict[str, Any] = {**vars(found.config), "batch_size": derive(found.config).batch_size}
    return ", ".join(f"{name} {now[name]} → {value}" for name, value in plain_changes(option.changes).items())


def _changes_learning(found: Profile, option: Option) -> bool:
    return (option.gradient_steps, option.uses) != (found.gradient_steps, found.config.n_epochs)


def _cost(found: Profile, option: Option, words: dict[str, str]) -> str:
    if not _changes_learning(found, option):
        return words["same"]
    return fill(words["learning"], {"steps": count(option.gradient_steps), "uses": option.uses})


def _advice(found: Profile, words: dict[str, str], env: str) -> list[RenderableType]:
    best = min(found.options, key=lambda option: option.measured.total)
    lines: list[RenderableType] = [Text(" " + fill(words["best"], {"change": written(found, best)}), style=STRONG)]
    if _changes_learning(found, best):
        flags = [f"--{name.replace('_', '-')} {value}" for name, value in plain_changes(best.changes).items()]
        command = f"upswing train {env} {' '.join(flags)}; upswing compare"
        lines.append(Text(" " + fill(words["unproven"], {"command": command})))
    return lines
