"""upswing bench: speed beside other trainers on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from upswing.cli.options import CONTEXT
from upswing.errors import ConfigError

FIGURES = ("learning", "together", "start", "threads")


@click.command(name="bench", context_settings=CONTEXT, short_help="Measure speed beside other trainers, in turns.")
@click.option("--recipes", metavar="NAME,…", help="What to train, as --list shows; all by default.")
@click.option(
    "--figures",
    metavar="NAME,…",
    help=f"Figures of Upswing alone: {', '.join(FIGURES)}. All by default, none beside --recipes.",
)
@click.option(
    "--against", multiple=True, metavar="NAME", help="sb3 or sbx (repeat); by default all that are installed."
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Trainings of each.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A Markdown file, such as docs/benchmarks.md.")
@click.option("--json", "as_line", is_flag=True, help="End with one line of JSON.")
@click.option("--list", "list_only", is_flag=True, help="List the recipes.")
def bench(
    recipes: str | None,
    figures: str | None,
    against: tuple[str, ...],
    rounds: int,
    output: Path | None,
    as_line: bool,
    list_only: bool,
) -> int:
    """Train recipes with Upswing and with other installed trainers in turns, and compare their speed.

    Without --recipes all are measured, which takes the better part of an hour. Leave the machine alone meanwhile.
    """
    from upswing.bench.recipes import RECIPES

    if list_only:
        for recipe in RECIPES:
            click.echo(f"{recipe.name:26}{recipe.env:18}{recipe.about}")
        return 0
    from upswing.bench.contestants import installed
    from upswing.bench.measure import compare, sgemm_rate
    from upswing.bench.measure import figures as measured
    from upswing.bench.report import as_json, page

    names = [recipe.name for recipe in RECIPES]
    wanted = _chosen("recipe", recipes, names, unless=figures)
    alone = _chosen("figure", figures, FIGURES, unless=recipes)
    _refuse_unknown("trainer", against, installed())
    contestants = ["upswing", *(against or [name for name in installed() if name != "upswing"])]

    def tell(line: str) -> None:
        click.echo(line, err=True)

    outcomes = compare([recipe for recipe in RECIPES if recipe.name in wanted], contestants, rounds, tell)
    found, rate = measured(alone, rounds, tell), sgemm_rate()
    given = [f"--recipes {recipes}" if recipes else "", f"--figures {figures}" if figures else "", f"--rounds {rounds}"]
    text = page(outcomes, found, rate, " ".join(["upswing bench", *filter(None, given)]))
    if output is not None:
        output.write_text(text)
    click.echo(text if output is None else f"Written: {output}")
    if as_line:
        click.echo(json.dumps(as_json(outcomes, found, rate)))
    return 0


def _chosen(what: str, given: str | None, known: tuple[str, ...] | list[str], unless: str | None) -> list[str]:
    """The names in a comma-separated list; without one all that are `known`, but none where `unless` was given."""
    if given is None:
        return [] if unless else list(known)
    names = [name.strip() for name in given.split(",") if name.strip()]
    _refuse_unknown(what, names, known)
    return names


def _refuse_unknown(what: str, given: tuple[str, ...] | list[str], known: tuple[str, ...] | list[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"{name} is no {what} that can be measured here: choose from {', '.join(known)}.")
