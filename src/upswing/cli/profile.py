"""upswing profile: where the time goes, and what makes it faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from upswing.cli.borrowed import BORROWED
from upswing.cli.options import CONTEXT, field_options
from upswing.cli.output import OUTPUT, print_json
from upswing.cli.train import SETTINGS_OPTIONS, BorrowedOption, TrainCommand, chosen_from


def _profile(env: str | None, env_flag: str | None, **options: Any) -> int:
    """Measure where the time of a training goes, say what would make it faster, predict by how much, and measure that.

    ENV is an environment, with the same settings as for [cyan]upswing train[/]; the folder of a run, whose settings are
    then meant; or another framework's log, of which a slow update can only be suspected.
    """
    from rich.console import Console

    from upswing.view.words import language

    lang, as_json, console = language(options.pop("lang")), options.pop("as_json"), Console(highlight=False)
    if env is not None and Path(env).exists():
        if not (Path(env) / "config.json").is_file():
            return _suspect(env, lang, as_json, console)
        options["config_file"], env = env, None
    chosen = chosen_from(env, env_flag, options)
    from upswing.lab.speed import as_json as values
    from upswing.lab.speed import profile as measure
    from upswing.lab.speed_screen import screen

    with Console(stderr=True).status("…"):
        found = measure(chosen.config)
    if as_json:
        print_json(values(found))
    else:
        console.print(screen(found, lang, str(chosen.config.env)))
    return 10 if found.split.codes else 0


def _suspect(path: str, lang: str, as_json: bool, console: Any) -> int:
    """What another framework's log tells of its speed: at most a suspicion."""
    from upswing.doctor.diagnose import diagnose
    from upswing.doctor.render.worded import claim
    from upswing.doctor.texts import fill, texts
    from upswing.lab.texts.speed_words import SPEED_WORDS

    words = SPEED_WORDS[lang]
    every = [f for card in diagnose(path).cards for f in (card.finding, *card.symptoms)]
    slow = [finding for finding in every if finding.code in ("F01", "F02")]
    said = [fill(words["suspected"], {"claim": claim(finding, texts(lang))}) for finding in slow] or [words["no_split"]]
    if as_json:
        print_json({"suspected": [finding.code for finding in slow], "measured": False, "said": said})
    else:
        for sentence in said:
            console.print(f" {sentence}")
    return 10 if slow else 0


profile = TrainCommand(
    name="profile",
    callback=_profile,
    help=_profile.__doc__,
    epilog="Exit codes: 0 nothing stands out, 10 a part takes most of the time, 2 wrong usage.",
    short_help="Measure where the time goes, and what makes it faster.",
    params=[
        click.RichArgument(["env"], required=False, metavar="ENV|RUN", help="An environment, a run, or a log."),
        click.RichOption(["--env", "env_flag"], metavar="ENV", hidden=True),
        *field_options(),
        *(option for option in SETTINGS_OPTIONS if option.name != "write_config"),
        click.RichOption(["--json", "as_json"], is_flag=True, panel=OUTPUT, help="Print one line of JSON."),
        click.RichOption(
            ["--lang"], metavar="en|zh", panel=OUTPUT, help="Language; by default UPSWING_LANG or the locale's."
        ),
        *(BorrowedOption(name) for name in BORROWED),
    ],
    context_settings=CONTEXT,
)
