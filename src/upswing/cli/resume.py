"""upswing resume: go on with a run."""

from __future__ import annotations

from typing import Any

import rich_click as click

from upswing.cli.doctor import DOCTOR_OPTIONS, doctor_hooks
from upswing.cli.options import CONTEXT
from upswing.cli.output import VIEW_OPTIONS, Output, find_run, trust_option
from upswing.config import WORDS, coerce


def _resume(run: str | None, total_timesteps: str | None, engine: str | None, trust_code: bool, **options: Any) -> int:
    """Continue RUN exactly where it stopped, as if it had never been interrupted.

    RUN is the folder of a run; by default the newest one in runs/.
    """
    output = Output.taken_from(options)
    watching = doctor_hooks(options, output.lang)
    budget = coerce("total_timesteps", total_timesteps) if total_timesteps is not None else None
    folder = find_run(run)
    with output.view(folder) as view:
        from upswing.training import resume as go_on

        result = go_on(folder, [*watching, view], total_timesteps=budget, engine=engine, trusted=trust_code)
    return output.finish(result)


resume = click.RichCommand(
    name="resume",
    callback=_resume,
    context_settings=CONTEXT,
    help=_resume.__doc__,
    short_help="Continue a run exactly where it stopped.",
    params=[
        click.RichArgument(["run"], required=False, metavar="RUN", help="The folder of a run."),
        click.RichOption(
            ["--total-timesteps", "--total_timesteps"],
            metavar="N",
            help="A larger budget than the run's own; schedules keep their original horizon.",
        ),
        click.RichOption(
            ["--engine"],
            type=click.Choice(WORDS["engine"].choices or ()),
            help="Train on with this engine; by default the one that the run is set to.",
        ),
        trust_option(),
        *DOCTOR_OPTIONS,
        *VIEW_OPTIONS,
    ],
)
