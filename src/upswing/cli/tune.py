"""upswing tune: a search for good settings."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import rich_click as click

from upswing.cli.borrowed import BORROWED
from upswing.cli.options import CONTEXT, field_options, written
from upswing.cli.output import OUTPUT, print_json
from upswing.cli.train import SETTINGS_OPTIONS, BorrowedOption, TrainCommand, chosen_from
from upswing.errors import ConfigError

TUNE = "Search"

TUNE_OPTIONS = [
    click.RichOption(
        ["--trials"], type=click.IntRange(1), default=30, metavar="N", panel=TUNE, show_default=True,
        help="How many trials in all; those of an earlier call count.",
    ),
    click.RichOption(
        ["--search"], metavar="NAME,NAME,…", panel=TUNE,
        help="The settings to search, each in its usual range; by default learning_rate, n_steps, batch_size, n_epochs, "
        "gamma, gae_lambda, clip_range and ent_coef.",
    ),
    click.RichOption(
        ["--seeds-per-trial"], type=click.IntRange(1), default=1, metavar="N", panel=TUNE, show_default=True,
        help="Seeds that a trial's score is the mean of.",
    ),
    click.RichOption(
        ["--fresh-seeds"], type=click.IntRange(0), default=5, metavar="N", panel=TUNE, show_default=True,
        help="Seeds on which the winner and the settings that the search began with are measured at the end.",
    ),
    click.RichOption(["--jobs"], type=click.IntRange(1), metavar="N", panel=TUNE, help="Trials side by side; by default one a core."),
    click.RichOption(["--resume", "resumed"], metavar="FOLDER", panel=TUNE, help="Go on with the search in this folder."),
]  # fmt: skip


def _tune(env: str | None, env_flag: str | None, **options: Any) -> int:
    """Search for settings that train ENV well, with Optuna, and measure what the best is worth on fresh seeds.

    Takes the settings of [cyan]upswing train[/] for everything that is not searched. Needs the extra sweep. The search is
    a new folder in [cyan]--out-dir[/], with an SQLite file that Optuna's own tools read; best.toml there can be given to
    [cyan]upswing train --config[/].
    """
    from rich.console import Console

    from upswing.envs.registry import env_name
    from upswing.envs.workers import usable_cores
    from upswing.lab.tuning import SEARCHED, new_tune, run_tune

    as_json = options.pop("as_json")
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    if options["resumed"]:
        if env is not None or options["search"]:
            raise ConfigError("--resume goes on with a search as it is: leave out the environment and --search.")
        folder = Path(options["resumed"])
    else:
        config = chosen_from(env, env_flag, options).config
        names = [name.strip().replace("-", "_") for name in (options["search"] or ",".join(SEARCHED)).split(",")]
        name = config.name or f"tune-{env_name(config.env)}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder = new_tune(Path(config.out_dir).expanduser() / name, config, names, options["seeds_per_trial"])

    def tell(number: int, state: str, score: float | None) -> None:
        console.print(
            f"trial {number}: {state}" + ("" if score is None else f", return {score:.4g}"), style="color(244)"
        )

    trusted = options["trust_code"] or not options["resumed"]
    tuned = run_tune(
        folder,
        options["trials"],
        n_jobs=options["jobs"] or usable_cores(),
        n_fresh=options["fresh_seeds"],
        trusted=trusted,
        tell=tell,
    )
    _print(tuned, console)
    if as_json:
        print_json(dataclasses.asdict(tuned))
    return 130 if tuned.stopped else 0


def _print(tuned: Any, console: Any) -> None:
    """Print what a search came to."""
    from upswing.lab.statistics import interval

    console.print(f"{tuned.n_complete} trials complete, {tuned.n_pruned} ended early, {tuned.n_failed} failed.")
    if tuned.best_trial is None:
        console.print("No trial was completed, so there is no best one: raise --trials.")
    else:
        console.print(f"Best: trial {tuned.best_trial}, return {tuned.best_score:.4g} in its own trial.", style="bold")
        for name, value in tuned.values.items():
            share = f"  importance {tuned.importances[name]:.0%}" if name in tuned.importances else ""
            console.print(f"  {name} = {written(value)}{share}", markup=False)
        for label, scores in (("Best settings", tuned.fresh), ("Where it began", tuned.baseline)):
            if scores:
                found = interval(scores)
                console.print(
                    f"{label} on {len(scores)} fresh seeds: return {found.value:.4g} ({found.low:.4g} … {found.high:.4g})"
                )
        console.print(f"Train with it: upswing train --config {tuned.folder}/best.toml", markup=False)
    if tuned.stopped:
        console.print(f"Interrupted. Go on with: upswing tune --resume {tuned.folder}", style="yellow", markup=False)


tune = TrainCommand(
    name="tune",
    callback=_tune,
    help=_tune.__doc__,
    short_help="Search for good settings with Optuna.",
    params=[
        click.RichArgument(["env"], required=False, metavar="ENV", help="A Gymnasium id, or module:EnvId."),
        click.RichOption(["--env", "env_flag"], metavar="ENV", hidden=True),
        *TUNE_OPTIONS,
        *field_options(),
        *(option for option in SETTINGS_OPTIONS if option.name != "write_config"),
        click.RichOption(["--json", "as_json"], is_flag=True, panel=OUTPUT, help="End with one line of JSON."),
        *(BorrowedOption(name) for name in BORROWED),
    ],
    context_settings=CONTEXT,
)
