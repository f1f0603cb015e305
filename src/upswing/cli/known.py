"""upswing envs, presets, info and selftest: what there is, and whether it works."""

from __future__ import annotations

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from upswing.cli.options import CONTEXT, DIM, written
from upswing.errors import UserError
from upswing.presets import PRESETS, RL_ZOO


@click.command(context_settings=CONTEXT, short_help="List the environments that can be trained.")
@click.argument("pattern", required=False, metavar="FILTER")
def envs(pattern: str | None) -> None:
    """List the registered Gymnasium environments, those whose name contains FILTER.

    A star marks those that have a preset. Environments of other packages appear when the package registers itself
    with Gymnasium; module:EnvId imports the module first.
    """
    from upswing.cli.worlds import families

    console = Console(highlight=False)
    found = families(pattern or "")
    if not found:
        raise UserError(f"No environment's name contains {pattern!r}: upswing envs lists all of them.")
    for family in found:
        console.print(Text.assemble((family.title, "bold"), (f"  {family.missing}" if family.missing else "", DIM)))
        for name in family.ids:
            mark = ("★ ", "cyan") if name in PRESETS else "  "
            console.print(Text.assemble("  ", mark, (name, DIM if family.missing else "")))


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
    console.print(Text(f"{preset.source}. Expected return {preset.expected:g} ({preset.expected_from}). {preset.note}"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for name, value in preset.settings.items():
        table.add_row(Text("--" + name.replace("_", "-"), style="cyan"), written(value))
    console.print(table)


def _list_presets(console: Console) -> None:
    table = Table(box=None, header_style=DIM, padding=(0, 2, 0, 0))
    for title in ("environment", "steps", "expected return"):
        table.add_column(title, justify="left" if title == "environment" else "right")
    for name, preset in PRESETS.items():
        table.add_row(name, f"{preset.total_timesteps:,}", f"{preset.expected:g}")
    console.print(table)
    console.print(Text(f"From {RL_ZOO}; upswing presets ENV shows one, with its source.", style=DIM))
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
