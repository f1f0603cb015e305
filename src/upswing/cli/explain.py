"""upswing explain: what a setting, a metric or a rule means."""

from __future__ import annotations

import sys

import rich_click as click

from upswing.cli.options import CONTEXT


@click.command(context_settings=CONTEXT, short_help="Explain a setting, a metric or a rule.")
@click.argument("topic", nargs=-1, metavar="[TOPIC]")
@click.option("--run", metavar="RUN", help="Add the own numbers of the run in this folder.")
@click.option("--lang", metavar="en|zh", help="Language; by default UPSWING_LANG or the locale's.")
@click.option("--plain", "output", flag_value="plain", help="Print plain text, in a terminal too.")
@click.option("--markdown", "output", flag_value="markdown", help="Print Markdown.")
@click.option("--json", "output", flag_value="json", help="Print one line of JSON.")
def explain(topic: tuple[str, ...], run: str | None, lang: str | None, output: str | None) -> None:
    """Explain a setting, a metric or a rule of the doctor; without TOPIC, list all of them.

    TOPIC is a name (n_steps, approx_kl), a rule's code (P01), or what people say (lr, γ, KL, discount factor, 学习率).
    """
    from rich.console import Console

    from upswing.explain import explain as show

    console = Console(highlight=False)
    shown = show(" ".join(topic) or None, lang, run, output or ("terminal" if console.is_terminal else "plain"))
    if isinstance(shown, str):
        sys.stdout.write(shown if shown.endswith("\n") else shown + "\n")
    else:
        console.print(shown)
