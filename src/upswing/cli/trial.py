"""upswing try: does the doctor's remedy help this run?"""

from __future__ import annotations

import rich_click as click

from upswing.cli.options import CONTEXT
from upswing.cli.output import print_json, trust_option


def _try(
    run: str,
    code: str,
    seeds: int,
    updates: int | None,
    change: str | None,
    as_json: bool,
    lang: str | None,
    trust_code: bool,
) -> int:
    """Try the remedy that the doctor names for finding CODE of RUN against an untouched control.

    Both begin with the last checkpoint before the finding began, or from the start where there is none, and train in
    pairs with the same seeds. The remedy is confirmed where the number that the finding is about moves as predicted, and
    the return is not shown to be lower. The run itself is only read.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from upswing.config import derive
    from upswing.lab.texts.trial_words import TRIAL_WORDS
    from upswing.lab.trial import make_plan, try_remedy
    from upswing.lab.trial_screen import screen, trial_json
    from upswing.view.words import language

    chosen = language(lang)
    plan = make_plan(run, code.strip().upper(), change, updates, trusted=trust_code)
    total = seeds * sum(-(-plan.steps // derive(config).pool) for config in (plan.control, plan.remedy))
    columns = (TextColumn(TRIAL_WORDS[chosen]["title"]), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        trial = try_remedy(plan, seeds, lambda: bar.advance(task), trusted=trust_code)
    if as_json:
        print_json(trial_json(trial, chosen))
    else:
        Console(highlight=False).print(screen(trial, chosen))
    return 0 if trial.confirmed else 10


trial = click.RichCommand(
    name="try",
    callback=_try,
    context_settings=CONTEXT,
    help=_try.__doc__,
    epilog="Exit codes: 0 confirmed, 10 not confirmed, 1 it cannot be tried, 2 wrong usage, 4 the run cannot be read.",
    short_help="Try a remedy against an untouched control.",
    params=[
        click.RichArgument(["run"], metavar="RUN", help="The folder of a run."),
        click.RichArgument(["code"], metavar="CODE", help="A finding of upswing doctor, such as P01."),
        click.RichOption(["--seeds"], type=click.IntRange(3, 100), default=3, show_default=True, help="Pairs."),
        click.RichOption(
            ["--updates"],
            type=click.IntRange(1),
            metavar="N",
            help="How long each trains, in updates of the control; by default a quarter of the run, at least 20.",
        ),
        click.RichOption(
            ["--change"], metavar="NAME=VALUE", help="Try this change instead of the doctor's, such as n_epochs=4."
        ),
        click.RichOption(["--json", "as_json"], is_flag=True, help="Print the outcome as one line of JSON."),
        click.RichOption(["--lang"], metavar="en|zh", help="Language; by default UPSWING_LANG or the locale's."),
        trust_option(),
    ],
)
