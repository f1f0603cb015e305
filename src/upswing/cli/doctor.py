"""upswing doctor: what is wrong with a run, and what to change. And the doctor's options for training."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from upswing.cli.options import CONTEXT
from upswing.cli.output import find_run, print_json
from upswing.errors import ConfigError, StorageError, UserError

if TYPE_CHECKING:
    from upswing.hooks import Hook

WATCH, BENCHMARK = "Doctor", "How often it is right"

DOCTOR_OPTIONS = [
    click.RichOption(
        ["--doctor/--no-doctor"],
        default=True,
        panel=WATCH,
        help="Watch the training and say what is wrong as soon as it shows; on by default.",
    ),
    click.RichOption(
        ["--stop-on"],
        metavar="error|warn|never",
        default="never",
        panel=WATCH,
        help="Save and stop as soon as the doctor finds something this grave.",
    ),
    click.RichOption(
        ["--autopilot"],
        is_flag=True,
        panel=WATCH,
        help="Apply remedies that are safe while it trains, one at a time, and take back what does not work.",
    ),
]
"""For commands that train."""

EXIT_CODES = "Exit codes: 0 nothing above a remark, 10 warnings, 20 errors, 1 unreadable, 2 wrong usage."


def doctor_hooks(options: dict[str, Any], lang: str | None) -> list[Hook]:
    """The doctor and the autopilot that a training's `options` ask for, which are removed from there."""
    watch, stop_on, autopilot = (options.pop(name) for name in ("doctor", "stop_on", "autopilot"))
    for flag, wanted in (("--stop-on", stop_on != "never"), ("--autopilot", autopilot)):
        if wanted and not watch:
            raise ConfigError(f"{flag} needs the doctor: leave out --no-doctor.")
    if not watch:
        return []
    from upswing.doctor.autopilot import Autopilot
    from upswing.doctor.hook import DoctorHook
    from upswing.view.words import language

    doctor = DoctorHook(language(lang), stop_on)
    return [doctor, Autopilot(doctor)] if autopilot else [doctor]


def _doctor(
    path: str | None,
    as_json: bool,
    html: str | None,
    lang: str | None,
    full: bool,
    columns: tuple[str, ...],
    given: tuple[str, ...],
    config_file: str | None,
    ignore: tuple[str, ...],
    reference: str | None,
    benchmark: bool,
    quick: bool,
    judge_only: bool,
    work: Path | None,
    output: Path | None,
    figures: Path | None,
) -> int:
    """Explain a run: what is wrong, how one sees it, why, and what to change.

    PATH is a run's folder (by default the newest), a folder with TensorBoard event files or a progress.csv, or one such
    file: of Upswing, Stable-Baselines3, CleanRL, ManiSkill or RSL-RL; or any CSV file, with --map.
    """
    if benchmark:
        judging = bool(path or html or columns or given or config_file or ignore or full or reference)
        return _benchmark(judging, as_json, quick, judge_only, work, output, figures)
    if quick or judge_only or work or output or figures:
        raise ConfigError(
            "--quick, --judge-only, --work, --output and --figures belong to --benchmark: add it, or leave them out."
        )
    from upswing.doctor.diagnose import diagnose
    from upswing.view.words import language

    chosen, where = language(lang), find_run(path)
    mapping = pairs(columns, "--map")
    if mapping and not where.lower().endswith(".csv"):
        raise ConfigError(f"--map is for CSV files, and {where} is none: leave it out.")
    try:
        diagnosis = diagnose(
            where,
            mapping=mapping,
            settings=settings(given, config_file),
            suppress=codes(ignore),
            reference=_reference(reference),
        )
    except StorageError as error:
        raise UserError(str(error)) from None
    if html is not None:
        from upswing.doctor.render.page import write_page

        write_page(diagnosis, html, chosen)
        click.echo(f"Wrote {html}.", err=as_json)
    if as_json:
        print_json(diagnosis.to_json(chosen))
    elif html is None:
        from rich.console import Console

        from upswing.doctor.render.terminal import print_diagnosis

        print_diagnosis(diagnosis, Console(highlight=False), chosen, full)
    return diagnosis.exit_code


def _reference(given: str | None) -> str | float | None:
    """A number as a return, anything else as a run's path."""
    if given is None:
        return None
    try:
        return float(given)
    except ValueError:
        return find_run(given)


def _benchmark(
    judging: bool,
    as_json: bool,
    quick: bool,
    judge_only: bool,
    work: Path | None,
    output: Path | None,
    figures: Path | None,
) -> int:
    """Train with and without faults, and say how often the doctor was right."""
    if judging:
        raise ConfigError("--benchmark judges trainings of its own: leave out PATH and what is said about one run.")
    from upswing.bench.doctor.command import run_benchmark

    folder = work or Path("runs") / ("doctor-benchmark-quick" if quick else "doctor-benchmark")
    tell = functools.partial(click.echo, err=True)
    found = run_benchmark(folder, tell, quick=quick, output=output, figures=figures, train=not judge_only)
    if as_json:
        print_json(found)
        return 0
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' '):18}{'not measured' if value is None else value}")
    return 0


def pairs(texts: tuple[str, ...], flag: str) -> dict[str, str]:
    """name=value texts, several to a text separated by commas, as a table. Raises ConfigError."""
    found: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigError(f"{flag} {part!r} is not of the form name=value: write for example {flag} approx_kl=kl.")
        found[name.strip()] = value.strip()
    return found


def settings(given: tuple[str, ...], file: str | None) -> dict[str, Any]:
    """Settings from a file and from --set, by field, as the fields want them. Raises ConfigError."""
    from upswing.config import canonical, coerce, read_config

    found = read_config(file) if file is not None else {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text!r} is not of the form name=value: write for example --set gamma=0.99.")
        field = canonical(name)
        found[field] = coerce(field, value)
    return found


def codes(texts: tuple[str, ...]) -> list[str]:
    """Codes of rules, separated by commas. Raises ConfigError for one that does not exist."""
    from upswing.doctor.rules import BY_CODE

    found = [code.strip().upper() for text in texts for code in text.split(",")]
    for code in found:
        if code not in BY_CODE:
            raise ConfigError(f"--ignore {code} is no rule of the doctor: upswing explain lists them.")
    return found


doctor = click.RichCommand(
    name="doctor",
    callback=_doctor,
    context_settings=CONTEXT,
    help=_doctor.__doc__,
    epilog=EXIT_CODES,
    short_help="Explain a run, this tool's or another's, and say what to change.",
    params=[
        click.RichArgument(["path"], required=False, metavar="PATH", help="A run, or another framework's log."),
        click.RichOption(["--json", "as_json"], is_flag=True, help="Print the diagnosis as one line of JSON."),
        click.RichOption(["--html"], metavar="FILE", help="Write the diagnosis as a page that needs nothing else."),
        click.RichOption(["--lang"], metavar="en|zh", help="Language; by default UPSWING_LANG or the locale's."),
        click.RichOption(["--full"], is_flag=True, help="Show every card whole, and every check."),
        click.RichOption(
            ["--map", "columns"],
            multiple=True,
            metavar="METRIC=COLUMN,…",
            help="What the columns of a CSV file hold, such as approx_kl=kl,ep_rew_mean=reward,total_timesteps=step.",
        ),
        click.RichOption(
            ["--set", "given"], multiple=True, metavar="NAME=VALUE", help="A setting that the log does not tell."
        ),
        click.RichOption(
            ["--config", "config_file"],
            metavar="FILE",
            help="Settings that the log does not tell, from a TOML or JSON file.",
        ),
        click.RichOption(
            ["--reference"],
            metavar="RUN|RETURN",
            help="A run of the same task that went well, or a return that is known to be reachable.",
        ),
        click.RichOption(["--ignore"], multiple=True, metavar="CODE,…", help="Do not ask these rules."),
        click.RichOption(
            ["--benchmark"],
            is_flag=True,
            panel=BENCHMARK,
            help="Measure how often the doctor is right: train hundreds of runs with and without faults. Takes an hour.",
        ),
        click.RichOption(["--quick"], is_flag=True, panel=BENCHMARK, help="Two tasks and four faults: a few minutes."),
        click.RichOption(
            ["--judge-only"], is_flag=True, panel=BENCHMARK, help="Train nothing: judge the trainings that are there."
        ),
        click.RichOption(
            ["--work"],
            type=click.Path(path_type=Path, file_okay=False),
            panel=BENCHMARK,
            help="Where its trainings are kept, by default runs/doctor-benchmark; those that are there are not done again.",
        ),
        click.RichOption(
            ["-o", "--output"], type=click.Path(path_type=Path), panel=BENCHMARK, help="Write the page to this file."
        ),
        click.RichOption(
            ["--figures"],
            type=click.Path(path_type=Path),
            panel=BENCHMARK,
            help="Write each rule's figures to this file.",
        ),
    ],
)

__all__ = ["DOCTOR_OPTIONS", "doctor", "doctor_hooks"]
