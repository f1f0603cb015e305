"""The group of all commands, its help, and the exit codes."""

from __future__ import annotations

import rich_click as click
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from upswing import errors
from upswing.cli.bench import bench
from upswing.cli.check import check
from upswing.cli.compare import compare, report
from upswing.cli.doctor import doctor
from upswing.cli.explain import explain
from upswing.cli.known import envs, info, presets, selftest
from upswing.cli.lab import lab
from upswing.cli.options import CONTEXT, DIM
from upswing.cli.plan import plan
from upswing.cli.played import evaluate, plot, record, watch
from upswing.cli.profile import profile
from upswing.cli.resume import resume
from upswing.cli.study import study
from upswing.cli.train import train
from upswing.cli.trial import trial
from upswing.cli.tune import tune

PANELS = {
    "Train": (check, plan, profile, train, resume),
    "Experiment": (lab, study, compare, trial, report, tune),
    "Look at a run": (doctor, evaluate, watch, record, plot),
    "Find out": (explain, envs, presets, info, selftest, bench),
}


def exit_codes() -> dict[int, str]:
    """What each exit code means, as the errors themselves say."""
    meanings = {0: "done", 1: "it could not be done"}
    for kind in errors.UserError.__subclasses__():
        told = (kind.__doc__ or "").strip().split("\n")[0].rstrip(".")
        told = told[0].lower() + told[1:]
        before = meanings.get(kind.exit_code)
        meanings[kind.exit_code] = f"{before}; {told}" if before else told
    meanings[errors.INTERRUPTED] = "interrupted (Ctrl-C): saved, then stopped"
    meanings[errors.TERMINATED] = "terminated (SIGTERM): saved, then stopped"
    return dict(sorted(meanings.items()))


class App(click.RichGroup):
    """The group, with the exit codes below its help."""

    def format_epilog(self, ctx: click.RichContext, formatter: click.RichHelpFormatter) -> None:  # type: ignore[override]
        """Write the exit codes and the environment variables."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(justify="right", style="cyan")
        for code, meaning in exit_codes().items():
            table.add_row(str(code), meaning)
        table.add_section()
        formatter.write(Panel(table, title="Exit codes", title_align="left", border_style=DIM))
        formatter.write(Padding(Text(VARIABLES, style=DIM), (0, 1)))


VARIABLES = "UPSWING_DEBUG=1 shows where an error came from; UPSWING_LANG=zh speaks Chinese."


@click.group(cls=App, invoke_without_command=True, context_settings=CONTEXT)
@click.version_option(package_name="upswing", message="upswing %(version)s")
@click.pass_context
def app(ctx: click.Context) -> None:
    """PPO you can see through: it trains fast, tells you what is wrong, and shows that the cure works.

    Start with [cyan]upswing train CartPole-v1[/].
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for title, commands in PANELS.items():
    app.add_panel(click.RichCommandPanel(title, commands=[str(command.name) for command in commands]))
    for command in commands:
        app.add_command(command)
