"""upswing lab: guided experiments, one a setting."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import rich_click as click

from upswing.cli.options import CONTEXT
from upswing.cli.output import print_json
from upswing.errors import UserError


@click.command(context_settings=CONTEXT, short_help="Learn what a setting does, by an experiment of a minute.")
@click.argument("name", required=False, default="list", metavar="[LAB]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for a prediction.")
@click.option(
    "--predict", type=click.IntRange(1), metavar="N", help="Give the prediction here: the number of a setting."
)
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="The first seed.", show_default=True)
@click.option("--out-dir", default="runs", metavar="FOLDER", help="Where the study's folder goes.", show_default=True)
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Runs side by side; by default one a core.")
@click.option("--lang", metavar="en|zh", help="Language; by default UPSWING_LANG or the locale's.")
@click.option("--plain", is_flag=True, help="Print plain lines, in a terminal too.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON on stdout, as upswing study does.")
def lab(
    name: str,
    yes: bool,
    predict: int | None,
    seed: int,
    out_dir: str,
    jobs: int | None,
    lang: str | None,
    plain: bool,
    as_json: bool,
) -> int:
    """Pose a question about a setting, ask for a prediction, run the experiment, and explain what happened.

    LAB is one of those that [cyan]upswing lab list[/] shows, such as num_envs. Each takes under a minute on two cores.
    """
    from rich.console import Console

    from upswing.lab.guided import LABS, begin, lab_called, lab_points
    from upswing.lab.guided_view import ask, print_list, print_outcome
    from upswing.lab.judging import as_json as study_json
    from upswing.lab.running import Plan, run_study, unfinished
    from upswing.lab.watching import StudyView, print_study
    from upswing.view.words import language

    chosen = language(lang)
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    if name == "list":
        print_list(console, chosen, list(LABS))
        return 0
    name = name.replace("-", "_")
    asked = lab_called(name)
    labels = [point.label for point in lab_points(asked)]
    if predict is not None and predict > len(labels):
        raise UserError(f"--predict {predict} is no setting of this lab: give 1 to {len(labels)}.")
    given = labels[predict - 1] if predict is not None else (labels[0] if yes or not sys.stdin.isatty() else None)
    answer = ask(name, asked, labels, console, chosen, given)
    predicted = answer if predict is not None or given is None else None
    folder = Path(out_dir).expanduser() / f"lab-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    begin(asked, folder, seed)
    with StudyView(console, chosen, plain=plain) as view:
        finished = run_study(folder, Plan(n_jobs=jobs, doctor=False, lang=chosen), view)
    if unfinished(finished.study):
        print_study(finished.study, folder, console, chosen)
    else:
        print_outcome(name, asked, finished.study, folder, predicted, console, chosen)
    if as_json:
        print_json(study_json(finished.study, folder))
    return finished.exit_code
