"""upswing bench: speed beside other trainers on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from upswing.cli.options import CONTEXT
from upswing.errors import ConfigError


@click.command(name="bench", context_settings=CONTEXT, short_help="Measure speed beside other trainers, in turns.")
@click.argument("recipes", nargs=-1, metavar="[RECIPE]…")
@click.option(
    "--against", multiple=True, metavar="NAME", help="sb3 or sbx (repeat); by default all that are installed."
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Trainings of each.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A Markdown file, such as docs/benchmarks.md.")
@click.option("--json", "as_line", is_flag=True, help="End with one line of JSON.")
@click.option("--list", "list_only", is_flag=True, help="List the recipes.")
def bench(
    recipes: tuple[str, ...], against: tuple[str, ...], rounds: int, output: Path | None, as_line: bool, list_only: bool
) -> int:
    """Train RECIPEs with Upswing and with other installed trainers in turns, and compare their speed.

    Without a RECIPE all are measured, which takes the better part of an hour. Leave the machine alone meanwhile.
    """
    from upswing.bench.recipes import RECIPES

    if list_only:
        for recipe in RECIPES:
            click.echo(f"{recipe.name:26}{recipe.env:18}{recipe.about}")
        return 0
    from upswing.bench.contestants import installed
    from upswing.bench.measure import compare, sgemm_rate
    from upswing.bench.report import as_json, page

    chosen = [recipe for recipe in RECIPES if not recipes or recipe.name in recipes]
    _refuse_unknown("recipe", recipes, [recipe.name for recipe in RECIPES])
    _refuse_unknown("trainer", against, installed())
    contestants = ["upswing", *(against or [name for name in installed() if name != "upswing"])]
    outcomes = compare(chosen, contestants, rounds, lambda line: click.echo(line, err=True))
    rate = sgemm_rate()
    text = page(outcomes, rate, " ".join(["upswing bench", *recipes, f"--rounds {rounds}"]))
    if output is not None:
        output.write_text(text)
    click.echo(text if output is None else f"Written: {output}")
    if as_line:
        click.echo(json.dumps(as_json(outcomes, rate)))
    return 0


def _refuse_unknown(what: str, given: tuple[str, ...], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"{name} is no {what} that can be measured here: choose from {', '.join(known)}.")
