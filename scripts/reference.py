"""Write the reference pages of the documentation from what the program declares.

    python -m scripts.reference

docs/hyperparameters.md comes from config/fields.py, docs/metrics.md from metrics.py. A test fails when they differ.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from upswing.cli.options import default_text
from upswing.config import SCHEDULED, WORDS
from upswing.metrics import METRICS, Band

DOCS = Path(__file__).parent.parent / "docs"
WRITTEN_BY = "<!-- Written by `python -m scripts.reference`; do not edit. -->"

HYPERPARAMETERS = """# Hyperparameters

Every setting of a training. On the command line `n_envs` is `--n-envs` or `--n_envs`; in Python and in TOML files it is
`n_envs`. Defaults are those of Stable-Baselines3, which [presets](configuration.md#presets) replace for some
environments. A value outside the usual range is allowed and warned of; a value outside the limits is an error. How
settings are given, and what follows from them, is in [Configuration](configuration.md).
"""

METRICS_PAGE = """# Metrics

Every figure that a training records, under the name it has in TensorBoard and in `metrics.jsonl`. Tags that
Stable-Baselines3 has too mean the same as there. "Usual" is where the figure often lies in healthy runs: a hint, not a
verdict. How to read them is in [Getting started](getting-started.md#reading-a-run).
"""

FAMILIES = {
    "rollout": "Episodes while learning, in the environment's own, raw rewards, with actions drawn at random from the policy.",
    "time": "Where the time goes.",
    "train": "The update. Figures are those of the iteration's update unless stated otherwise.",
    "eval": "A frozen policy in environments of its own. Written only after an evaluation.",
}


def hyperparameters() -> str:
    """The page of hyperparameters: a table for each group."""
    parts = [HYPERPARAMETERS]
    for group, names in groupby(WORDS, key=lambda name: WORDS[name].group):
        rows = "\n".join(_setting(name) for name in names)
        parts.append(f"## {group}\n\n| setting | default | what it is |\n|---|---|---|\n{rows}\n")
    return _page(parts)


def _setting(name: str) -> str:
    word = WORDS[name]
    aliases = "".join(f"<br>also `{alias}`" for alias in word.aliases)
    low, high = word.limits or (None, None)
    bounds = [f"{side} {bound:,}" for side, bound in (("at least", low), ("at most", high)) if bound is not None]
    facts = [
        f"One of {', '.join(f'`{choice}`' for choice in word.choices)}." if word.choices else "",
        "May be a [schedule](configuration.md#schedules)." if name in SCHEDULED and "chedule" not in word.help else "",
        f"Unit: {word.unit}." if word.unit else "",
        f"Usually {word.sane[0]:g} to {word.sane[1]:g}." if word.sane else "",
        f"Limits: {' and '.join(bounds)}." if bounds else "",
    ]
    effects = [f"**Too {side}:** {_cell(text)}" for side, text in (("low", word.low), ("high", word.high)) if text]
    text = "<br>".join(part for part in (_cell(word.help), " ".join(filter(None, facts)), *effects) if part)
    return f"| `{name}`{aliases} | {_default(name)} | {text} |"


def _default(name: str) -> str:
    text = default_text(name)
    return "" if text == "none" else f"`{text}`"


def metrics() -> str:
    """The page of metrics: a table for each family of tags."""
    parts = [METRICS_PAGE]
    for family, tags in groupby(METRICS, key=lambda tag: tag.partition("/")[0]):
        rows = "\n".join(_metric(tag) for tag in tags)
        head = "| tag | what it is | unit | over what |\n|---|---|---|---|\n"
        parts.append(f"## {family}\n\n{FAMILIES[family]}\n\n{head}{rows}\n")
    return _page(parts)


def _metric(tag: str) -> str:
    metric = METRICS[tag]
    text = "<br>".join(part for part in (_cell(metric.meaning), _band(metric.band)) if part)
    return f"| `{tag}` | {text} | {metric.unit} | {metric.aggregation} |"


def _band(band: Band | None) -> str:
    if band is None:
        return ""
    low, high = ("" if bound is None else f"{bound:g}" for bound in (band.low, band.high))
    span = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
    return _cell(f"Usual: {span} ({band.origin}).")


def _cell(text: str) -> str:
    """`text` inside a table's cell, where | separates and * is emphasis."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _page(parts: list[str]) -> str:
    title, rest = parts[0].split("\n", 1)
    return "\n".join([title, "", WRITTEN_BY, rest, *parts[1:]])


PAGES = {"hyperparameters.md": hyperparameters, "metrics.md": metrics}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
        print(f"Written: docs/{name}")


if __name__ == "__main__":
    main()
