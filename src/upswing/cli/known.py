"""upswing envs, presets, info and selftest: what there is, and whether it works."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import groupby

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from upswing.cli.options import CONTEXT, DIM, written
from upswing.errors import UserError
from upswing.presets import PRESETS, RL_ZOO, Preset

TITLES = {
    "classic_control": "Classic control",
    "box2d": "Box2D",
    "mujoco": "MuJoCo",
    "atari": "Atari",
    "maniskill": "ManiSkill",
    "toy_text": "Toy text",
    "jax": "JAX",
    "upswing": "Upswing's own",
}


@click.command(context_settings=CONTEXT, short_help="List the environments that can be trained.")
@click.argument("pattern", required=False, metavar="FILTER")
def envs(pattern: str | None) -> None:
    """List the environments that can be named, the latest version of each; with FILTER, those whose name contains it.

    A star marks those that have a preset. To train on an environment of one's own, write module:EnvId or module:Class.
    """
    from upswing.envs.registry import list_environments

    console = Console(highlight=False)
    found = [item for item in list_environments() if (pattern or "").lower() in item.id.lower()]
    if not found:
        raise UserError(f"No environment's name contains {pattern!r}: upswing envs lists all of them.")
    for kind, items in groupby(found, key=lambda item: item.kind):
        console.print(Text.assemble((TITLES.get(kind, kind), "bold"), (_what_is_missing(kind), DIM)))
        for item in items:
            mark = ("★ ", "cyan") if item.id in PRESETS else "  "
            console.print(Text.assemble("  ", mark, (item.id, "" if item.installed else DIM)))


def _what_is_missing(kind: str) -> str:
    """What has to be installed before environments of `kind` can be made; empty where nothing has."""
    from upswing.envs.registry import SIMULATORS

    simulator = next((s for s in SIMULATORS if s.kind == kind), None)
    if simulator is None or find_spec(simulator.package) is not None:
        return ""
    wanted = f"'upswing[{simulator.extra}]'" if simulator.extra else simulator.project
    return f"  needs pip install {wanted}"


@click.command(context_settings=CONTEXT, short_help="List the published recipes, or show one.")
@click.argument("env", required=False, metavar="ENV")
def presets(env: str | None) -> None:
    """List the presets: published recipes, used by default for their environments. With ENV, show one of them."""
    console = Console(highlight=False)
    if env is None:
        _list_presets(console)
        return
    if env not in PRESETS:
        raise UserError(f"There is no preset for {env}: upswing presets lists all of them.")
    preset = PRESETS[env]
    console.print(Text(env, style="bold"))
    console.print(Text(f"{preset.source}. Expected return {_expected(preset)} ({preset.expected_from}). {preset.note}"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for name, value in preset.settings.items():
        table.add_row(Text("--" + name.replace("_", "-"), style="cyan"), written(value))
    console.print(table)


def _expected(preset: Preset) -> str:
    return "unknown" if preset.expected is None else f"{preset.expected:g}"


def _list_presets(console: Console) -> None:
    table = Table(box=None, header_style=DIM, padding=(0, 2, 0, 0))
    for title in ("environment", "steps", "expected return"):
        table.add_column(title, justify="left" if title == "environment" else "right")
    for name, preset in PRESETS.items():
        table.add_row(name, f"{preset.total_timesteps:,}", _expected(preset))
    console.print(table)
    console.print(Text(f"Most from {RL_ZOO}; upswing presets ENV shows one, with its source.", style=DIM))
    console.print(Text("upswing train ENV uses it, --no-preset declines it.", style=DIM))


@click.command(context_settings=CONTEXT, short_help="Versions, threads, GPU and extras on this machine.")
def info() -> None:
    """Show versions, threads, the GPU that the driver sees and the one torch can use, and which extras are installed."""
    from upswing.cli.machine import Section, sections

    console = Console(highlight=False)

    def show(section: Section) -> None:
        console.print(Text(section.title, style="bold"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        for name, value in section.rows:
            table.add_row(Text(name, style=DIM), value)
        console.print(table)
        for advice in section.advice:
            console.print(Text(f"  → {advice}", style="cyan"))

    for section in sections():
        show(section)


@click.command(context_settings=CONTEXT, short_help="Train five tiny worlds with known answers.")
@click.option("--engine", type=click.Choice(["auto", "torch", "native"]), default="auto", help="Which engine to test.")
def selftest(engine: str) -> None:
    """Train five tiny worlds whose answers are known. A failure names the part of the algorithm that is broken."""
    from upswing.selftest import run_selftest

    failed = []
    for finding in run_selftest(engine):
        click.echo(f"{'✔' if finding.passed else '✘'} {finding.sentence}")
        if not finding.passed:
            failed.append(finding.probe)
    if failed:
        raise UserError(
            f"{len(failed)} of the five probes failed, {failed[0]} first: mend what it names before the others."
        )
