"""upswing compare and upswing report: what several runs together say, in the terminal or as a page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from upswing.cli.options import CONTEXT
from upswing.cli.output import find_run, print_json
from upswing.errors import ConfigError

if TYPE_CHECKING:
    from upswing.lab.compare import Comparison

PATHS = click.RichArgument(["paths"], nargs=-1, metavar="[RUN|STUDY]...", help="Runs, folders of runs, or a study.")
SHARED = [
    click.RichOption(["--lang"], metavar="en|zh", help="Language; by default UPSWING_LANG or the locale's."),
    click.RichOption(
        ["--reference"],
        metavar="SETTING",
        help="What the others are held against; by default the first, or the study's.",
    ),
    click.RichOption(
        ["--threshold"],
        type=float,
        metavar="RETURN",
        help="For the time to threshold; by default the task's known goal.",
    ),
]


def _compare(
    paths: tuple[str, ...], as_json: bool, lang: str | None, reference: str | None, threshold: float | None
) -> None:
    """Compare settings: which is better, how sure that is, what it costs, which failed, and why.

    RUN is a run's folder, or a log of Stable-Baselines3, CleanRL, ManiSkill or RSL-RL; a folder of runs; or the folder
    of a study. Runs that differ in their seeds alone are one setting. Nothing is claimed from fewer than five seeds.
    """
    from upswing.view.words import language

    chosen = language(lang)
    comparison = read(paths, reference, threshold)
    if as_json:
        print_json(comparison.to_json(chosen))
        return
    from rich.console import Console

    from upswing.lab.screen import print_comparison

    print_comparison(comparison, Console(highlight=False), chosen)


def _report(
    paths: tuple[str, ...],
    output: str | None,
    png: str | None,
    lang: str | None,
    reference: str | None,
    threshold: float | None,
) -> None:
    """Write a report of runs or a study: one HTML file with curves, comparison, diagnosis, and everything to repeat it.

    The file needs nothing else and asks the network for nothing.
    """
    from upswing.lab.report.page import write_report
    from upswing.view.words import language

    chosen = language(lang)
    comparison = read(paths, reference, threshold)
    target = Path(output) if output else Path(paths[0] if len(paths) == 1 else ".") / "report.html"
    if target.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(
            f"--output {target} is not a page: let its name end in .html, or ask for pictures with --png."
        )
    write_report(comparison, target, chosen)
    click.echo(f"Wrote {target}.")
    if png is not None:
        from upswing.lab.report.pictures import write_pictures

        for file in write_pictures(comparison, Path(png), chosen):
            click.echo(f"Wrote {file}.")


def read(paths: tuple[str, ...], reference: str | None, threshold: float | None) -> Comparison:
    """The comparison of `paths`, by default of the newest run, with a bar of progress where there is much to read."""
    from upswing.lab.compare import compare

    return compare(paths or (find_run(None),), reference=reference, threshold=threshold, told=progress)


def progress(paths: Iterable[Path]) -> Iterable[Path]:
    """`paths`, with a bar on stderr while they are worked on."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(list(paths), "Reading", console=console, transient=True, disable=not console.is_terminal)


compare = click.RichCommand(
    name="compare",
    callback=_compare,
    context_settings=CONTEXT,
    help=_compare.__doc__,
    short_help="Compare settings over seeds: which is better, how sure, at what cost, and why.",
    params=[
        PATHS,
        click.RichOption(["--json", "as_json"], is_flag=True, help="Print the comparison as one line of JSON."),
        *SHARED,
    ],
)
report = click.RichCommand(
    name="report",
    callback=_report,
    context_settings=CONTEXT,
    help=_report.__doc__,
    short_help="Write a page with curves, comparison, diagnosis, and all it takes to repeat.",
    params=[
        PATHS,
        click.RichOption(
            ["--output", "-o"], metavar="FILE", help="The .html file; by default report.html in the run or study."
        ),
        click.RichOption(["--png"], metavar="DIR", help="Also write every plot as a PNG file into this folder."),
        *SHARED,
    ],
)
