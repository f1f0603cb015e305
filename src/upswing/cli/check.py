"""upswing check: what to mend in an environment."""

from __future__ import annotations

from typing import Any

import rich_click as click

from upswing.cli.options import CONTEXT, DIM
from upswing.cli.output import print_json

MARKS = {"error": ("✘", "bold red"), "warn": ("▲", "bold yellow"), "info": ("·", "cyan")}


def _check(
    env: str, env_kwargs: tuple[str, ...], steps: int, seed: int, as_json: bool, lang: str | None, strict: bool
) -> int:
    """Look at the environment ENV as a type checker looks at a program, and say what to mend.

    Makes it, plays it with random actions, and compares: spaces, shapes, dtypes, seeds, how episodes end, scales of
    observations, rewards and actions, NaN, speed, and whether worker processes can have it.
    """
    from upswing.checkup.look import check as look
    from upswing.checkup.texts import sentence
    from upswing.cli.settings import keywords
    from upswing.view.words import language

    chosen = language(lang)
    report = look(env, keywords("env_kwargs", env_kwargs), steps, seed)
    if as_json:
        found = [
            {"name": finding.name, "severity": finding.severity, "sentence": sentence(finding, chosen), **finding.facts}
            for finding in report.findings
        ]
        print_json({"env": report.env, "exit_code": report.exit_code, "findings": found, **report.measured})
    else:
        _print(report, chosen)
    return 10 if strict and report.findings and report.exit_code == 0 else report.exit_code


def _print(report: Any, lang: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from upswing.checkup.texts import TEXTS, measured_line, sentence

    console = Console(highlight=False)
    console.print(Text(report.env, style="bold"))
    if report.measured:
        spaces = f"{report.measured['observation_space']} → {report.measured['action_space']}"
        console.print(Text(f"{spaces}\n{measured_line(report.measured, lang)}", style=DIM))
    for finding in report.findings:
        mark, style = MARKS[finding.severity]
        named = (f"{TEXTS[lang][finding.severity]} ", style)
        console.print(Text.assemble((f"{mark} ", style), named, sentence(finding, lang)))
    if not report.findings:
        console.print(Text.assemble(("✔ ", "bold green"), TEXTS[lang]["fine"]))


check = click.RichCommand(
    name="check",
    callback=_check,
    context_settings=CONTEXT,
    help=_check.__doc__,
    epilog="Exit codes: 0 nothing above a remark, 10 warnings, 20 errors, 2 wrong usage.",
    short_help="Look at an environment and say what to mend in it.",
    params=[
        click.RichArgument(["env"], metavar="ENV", help="A Gymnasium id, module:EnvId, or module:Class."),
        click.RichOption(
            ["--env-kwargs"], multiple=True, metavar="KEY=VALUE", help="Keyword arguments for the environment."
        ),
        click.RichOption(
            ["--steps"],
            type=click.IntRange(10),
            metavar="N",
            default=2000,
            help="Random steps to play, at most, for 5 seconds.",
            show_default=True,
        ),
        click.RichOption(
            ["--seed"], type=click.IntRange(0), metavar="N", default=0, help="Seed of it all.", show_default=True
        ),
        click.RichOption(["--strict"], is_flag=True, help="Exit with 10 for remarks too."),
        click.RichOption(["--json", "as_json"], is_flag=True, help="Print the report as one line of JSON."),
        click.RichOption(["--lang"], metavar="en|zh", help="Language; by default UPSWING_LANG or the locale's."),
    ],
)
