"""upswing explain, without the command line: from what was typed to what is shown."""

from __future__ import annotations

import json

from rich.console import RenderableType

from upswing.errors import ConfigError
from upswing.explain.find import find
from upswing.explain.numbers import own_numbers
from upswing.explain.pages import page, summary, topics
from upswing.explain.render import as_json, listing, markdown, plain, render
from upswing.view.words import language

OUTPUTS = ("terminal", "plain", "markdown", "json")


def explain(
    topic: str | None, lang: str | None = None, run: str | None = None, output: str = "terminal"
) -> RenderableType | str:
    """The page about `topic` in one of OUTPUTS: something rich prints for "terminal", else a text.

    Without a topic, the list of all of them. `lang` None asks UPSWING_LANG, then the locale. With the folder of a
    `run`, its own numbers are added. Raises ConfigError for an unknown topic or language, StorageError for a bad run.
    """
    chosen = language(lang)
    if output not in OUTPUTS:
        raise ConfigError(f"{output!r} is not a form of output: choose one of {', '.join(OUTPUTS)}.")
    if topic is None:
        if run is not None:
            raise ConfigError(
                "--run adds a run's numbers to a page: name a topic too, such as upswing explain n_steps."
            )
        return _list(chosen, output)
    name = find(topic, chosen)
    found = page(name, chosen)
    numbers = own_numbers(run, name, chosen) if run is not None else None
    if output == "markdown":
        return markdown(found, numbers)
    if output == "json":
        return json.dumps(as_json(found, numbers), ensure_ascii=False)
    shown = render(found, numbers)
    return plain(shown) if output == "plain" else shown


def _list(lang: str, output: str) -> RenderableType | str:
    if output == "json":
        return json.dumps({topic: summary(topic, lang) for topic in topics()}, ensure_ascii=False)
    if output == "markdown":
        return "".join(f"- `{topic}`: {summary(topic, lang)}\n" for topic in topics())
    return plain(listing(lang)) if output == "plain" else listing(lang)
