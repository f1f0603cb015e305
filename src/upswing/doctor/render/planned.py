"""A plan in a terminal and as JSON."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from upswing.doctor.diagnose import Diagnosis
from upswing.doctor.measure import Measured
from upswing.doctor.plan import Plan
from upswing.doctor.render.structured import card_json, plain
from upswing.doctor.render.terminal import WIDEST, panel
from upswing.doctor.render.worded import card_words, claim
from upswing.doctor.texts import Texts, fill, texts
from upswing.view.lines import ACCENT, DIM, GOOD, STRONG
from upswing.view.numbers import UNKNOWN, count, duration, number, rate


def plan_json(plan: Plan, lang: str) -> dict[str, Any]:
    """The plan's numbers and findings."""
    derived = plan.derived
    diagnosis = Diagnosis(plan.case, plan.cards, (), (), ())
    return {
        "env": plan.config.env if isinstance(plan.config.env, str) else getattr(plan.config.env, "__name__", "?"),
        "iterations": derived.iterations,
        "gradient_steps": derived.gradient_steps,
        "evaluations": plan.evaluations,
        "evaluations_before_first_update": plan.evaluations_before_first_update,
        "total_timesteps": derived.total_timesteps,
        "pool": derived.pool,
        "batch_size": derived.batch_size,
        "n_minibatches": derived.n_minibatches,
        "n_parameters": plan.n_parameters,
        "samples_per_parameter": plain(plan.samples_per_parameter),
        "weight_travel": plain(plan.travel),
        "horizon": plain(plan.horizon),
        "gae_horizon": plain(plan.gae_horizon),
        "n_steps": plan.config.n_steps,
        "episode_length": plain(plan.episode_length),
        "rollouts_per_episode": plain(plan.rollouts_per_episode),
        "memory_mb": plain(plan.memory_mb),
        "expected_s": plain(plan.expected_s),
        "exit_code": plan.exit_code,
        "findings": [card_json(diagnosis, card, lang) for card in plan.cards],
        "notes": list(plan.notes),
    }


def print_plan(plan: Plan, console: Console, lang: str, measured: Measured | None = None) -> None:
    """Show `plan`."""
    said, width = texts(lang), min(console.width, WIDEST)
    env = plan.config.env if isinstance(plan.config.env, str) else getattr(plan.config.env, "__name__", "?")
    parts: list[RenderableType] = [
        Text.assemble((" Upswing ", ACCENT), (said.plan["title"], STRONG), (f"  {env}", DIM)),
        Text(""),
        Padding(figures(plan, said, measured), (0, 1)),
        Text(""),
    ]
    parts += [panel(card_words(plan.case, card, lang), said, width) for card in plan.warnings]
    if not plan.warnings:
        parts.append(Text.assemble((" ✔ ", GOOD), (said.plan["fine"], STRONG)))
    remarks = [
        Text.assemble((f"{c.code} ", "cyan"), claim(c.finding, said)) for c in plan.cards if c not in plan.warnings
    ]
    shown = remarks or [Text(note, style=DIM) for note in plan.notes if not plan.warnings]
    parts += [Padding(Text.assemble("· ", line), (0, 1)) for line in shown]
    console.print(Group(*parts), width=width)


def figures(plan: Plan, said: Texts, measured: Measured | None) -> RenderableType:
    """Every number with what it is made of."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="left", style="cyan", no_wrap=True)
    table.add_column(justify="right", style=STRONG, no_wrap=True)
    table.add_column(style=DIM)
    for key, value, values in rows(plan, measured):
        label, _, variant = key.partition(":")
        table.add_row(said.plan[label], value, fill(said.plan[variant or f"{label}_note"], values))
    return table


def rows(plan: Plan, measured: Measured | None) -> list[tuple[str, str, dict[str, Any]]]:
    """Key of the text, value, and what its note is filled with; "key:note" where another note applies."""
    config, derived = plan.config, plan.derived
    rounded = "total" if config.rollout_rounding == "up" else "total:total_note_down"
    found: list[tuple[str, str, dict[str, Any]]] = [
        (
            "iterations",
            count(derived.iterations),
            {"pool": count(derived.pool), "n_envs": count(config.n_envs), "n_steps": count(config.n_steps)},
        ),
        (
            "gradient_steps",
            count(derived.gradient_steps),
            {
                "n_epochs": config.n_epochs,
                "n_minibatches": count(derived.n_minibatches),
                "batch_size": count(min(derived.batch_size, derived.pool)),
            },
        ),
        ("travel", number(plan.travel), {}),
        (rounded, count(derived.total_timesteps), {}),
        (
            "evaluations" if derived.eval_freq else "evaluations:evaluations_end",
            count(plan.evaluations),
            {"freq": count(derived.eval_freq)},
        ),
        ("horizon", _steps(plan.horizon), {"gae": _steps(plan.gae_horizon), "n_steps": count(config.n_steps)}),
    ]
    if plan.episode_length:
        found.append(("episode", count(plan.episode_length), {"rollouts": number(plan.rollouts_per_episode)}))
    if plan.n_parameters:
        found.append(("parameters", count(plan.n_parameters), {"ratio": number(plan.samples_per_parameter)}))
    if plan.memory_mb:
        found.append(("memory", f"{count(plan.memory_mb)} MB", {}))
    if plan.expected_s and measured:
        values = {
            "fps": rate(measured.steps_per_second),
            "engine": measured.engine,
            "collect": short(measured.collect_s),
            "update": short(measured.update_s),
        }
        found.append(("time", duration(plan.expected_s), values))
    return found


def short(seconds: float) -> str:
    """A duration that may be far below a second."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1.0 else duration(seconds)


def _steps(value: float) -> str:
    return UNKNOWN if not math.isfinite(value) else count(value) if value >= 10 else f"{value:.1f}"
