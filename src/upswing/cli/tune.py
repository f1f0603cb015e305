"""upswing tune: a search for good settings."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import rich_click as click

from upswing.cli.borrowed import BORROWED
from upswing.cli.options import CONTEXT, field_options
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

    from upswing.cores import usable_cores
    from upswing.lab.tuning import run_tune
    from upswing.lab.tuning_screen import TuningView, print_tuned
    from upswing.view.words import language

    lang, as_json = language(options.pop("lang")), options.pop("as_json")
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    folder = _existing(env, options) if options["resumed"] else _new(env, env_flag, options)
    with TuningView(console, lang, options["trials"]) as view:
        tuned = run_tune(
            folder,
            options["trials"],
            n_jobs=options["jobs"] or usable_cores(),
            n_fresh=options["fresh_seeds"],
            trusted=options["trust_code"] or not options["resumed"],
            watcher=view,
        )
    print_tuned(tuned, console, lang)
    if as_json:
        print_json(dataclasses.asdict(tuned))
    return 130 if tuned.stopped else 0


def _existing(env: str | None, options: dict[str, Any]) -> Path:
    """The folder of the search to go on with. Raises ConfigError where another is described as well."""
    if env is not None or options["search"]:
        raise ConfigError("--resume goes on with a search as it is: leave out the environment and --search.")
    return Path(options["resumed"])


def _new(env: str | None, env_flag: str | None, options: dict[str, Any]) -> Path:
    """The folder of the new search that the command line asks for. Raises ConfigError."""
    from upswing.envs.registry import env_name
    from upswing.lab.tuning import SEARCHED, new_tune

    config = chosen_from(env, env_flag, options).config
    names = [name.strip().replace("-", "_") for name in (options["search"] or ",".join(SEARCHED)).split(",")]
    name = config.name or f"tune-{env_name(config.env)}-{time.strftime('%Y%m%d-%H%M%S')}"
    return new_tune(Path(config.out_dir).expanduser() / name, config, names, options["seeds_per_trial"])


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
        click.RichOption(
            ["--lang"], metavar="en|zh", panel=OUTPUT, help="Language; by default UPSWING_LANG or the locale's."
        ),
        *(BorrowedOption(name) for name in BORROWED),
    ],
    context_settings=CONTEXT,
)
