"""upswing plan: what settings imply, before any compute is spent."""

from __future__ import annotations

from typing import Any

import rich_click as click

from upswing.cli.borrowed import BORROWED
from upswing.cli.options import CONTEXT, field_options
from upswing.cli.output import OUTPUT, print_json
from upswing.cli.train import SETTINGS_OPTIONS, BorrowedOption, TrainCommand, chosen_from


def _plan(env: str | None, env_flag: str | None, **options: Any) -> int:
    """Show what a training of ENV with these settings comes to, and what is wrong with them, without training it.

    Takes the same settings as [cyan]upswing train[/]. Trains for about a second to measure the speed, unless
    [cyan]--no-measure[/].
    """
    from upswing.doctor.plan import plan as make_plan
    from upswing.view.words import language

    lang = language(options.pop("lang"))
    as_json, measured_too, length = options.pop("as_json"), options.pop("measure"), options.pop("episode_length")
    chosen = chosen_from(env, env_flag, options)
    measured, unmeasured = None, ""
    if measured_too:
        measured, unmeasured = _measured(chosen.config)
    known: dict[str, Any] = {"episode_length": length}
    if measured is not None:
        known |= {
            "n_parameters": measured.n_parameters,
            "observation_size": measured.observation_size,
            "steps_per_second": measured.steps_per_second,
        }
    made = make_plan(chosen.config, **known)
    if as_json:
        print_json({**made.to_json(lang), "notices": [*chosen.notices, *([unmeasured] if unmeasured else [])]})
        return made.exit_code
    from rich.console import Console

    from upswing.doctor.render.planned import print_plan

    console = Console(highlight=False)
    print_plan(made, console, lang, measured)
    for notice in (*chosen.notices, *([unmeasured] if unmeasured else [])):
        console.print(f" · {notice}", style="color(244)")
    return made.exit_code


def _measured(config: Any) -> tuple[Any, str]:
    """A short measurement of `config`; None and the reason where its environment cannot be made here."""
    from upswing.doctor.measure import measure
    from upswing.errors import UserError

    try:
        return measure(config), ""
    except UserError as error:
        return None, f"Speed and memory were not measured: {error}"


plan = TrainCommand(
    name="plan",
    callback=_plan,
    help=_plan.__doc__,
    epilog="Exit codes: 0 nothing above a remark, 10 warnings, 20 errors, 2 wrong usage.",
    short_help="Show what settings come to, and what is wrong with them, before training.",
    params=[
        click.RichArgument(["env"], required=False, metavar="ENV", help="A Gymnasium id, or module:EnvId."),
        click.RichOption(["--env", "env_flag"], metavar="ENV", hidden=True),
        *field_options(),
        *(option for option in SETTINGS_OPTIONS if option.name != "write_config"),
        click.RichOption(["--json", "as_json"], is_flag=True, panel=OUTPUT, help="Print the plan as one line of JSON."),
        click.RichOption(
            ["--lang"], metavar="en|zh", panel=OUTPUT, help="Language; by default UPSWING_LANG or the locale's."
        ),
        click.RichOption(
            ["--measure/--no-measure"],
            default=True,
            panel=OUTPUT,
            help="Train for about a second to measure the speed.",
        ),
        click.RichOption(
            ["--episode-length"],
            type=click.FloatRange(1),
            metavar="STEPS",
            panel=OUTPUT,
            help="How long episodes get, where the environment does not tell.",
        ),
        *(BorrowedOption(name) for name in BORROWED),
    ],
    context_settings=CONTEXT,
)
