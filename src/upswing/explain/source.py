"""The TOML files that hold the pages' words, read once.

pages/<language>/<kind>/*.toml   one table a topic
pages/<language>/labels.toml     headings and short texts
pages/<language>/terms.toml      translations of the short phrases that the declarations hold in English
pages/names.toml                 what people also call a topic

What is the same in every language stands in the English page only: see SHARED.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

KINDS = ("settings", "machine", "worlds", "metrics", "rules")
SHARED = ("equation", "place", "related", "name")


@cache
def entries(lang: str) -> dict[str, dict[str, Any]]:
    """What the files say about each topic in `lang`, with the kind of topic and the file's name beside it."""
    english = entries("en") if lang != "en" else {}
    found: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        for file in sorted((_pages() / lang / kind).iterdir(), key=lambda file: file.name):
            if not file.name.endswith(".toml"):
                continue
            for topic, entry in _read(file).items():
                shared = {key: value for key, value in english.get(topic, {}).items() if key in SHARED}
                found[topic] = shared | entry | {"kind": kind, "file": file.name.removesuffix(".toml")}
    return found


@cache
def labels(lang: str) -> dict[str, Any]:
    """Headings and short texts in `lang`, by section."""
    return _read(_pages() / lang / "labels.toml")


@cache
def terms(lang: str) -> dict[str, dict[str, str]]:
    """Translations of units, aggregations and origins, by section; none in English, which is what is declared."""
    return _read(_pages() / lang / "terms.toml") if lang != "en" else {"unit": {}, "aggregation": {}, "origin": {}}


@cache
def other_names() -> dict[str, str]:
    """What people also call a topic, and its name."""
    return _read(_pages() / "names.toml")


def reflow(text: str) -> str:
    """`text` without its hard line breaks; blank lines keep paragraphs apart. Between Chinese signs no space is put."""
    paragraphs = (paragraph.strip() for paragraph in re.split(r"\n\s*\n", text.strip()))
    return "\n\n".join(
        re.sub(r"(?<=[\u2e80-\uffef])\n(?=[\u2e80-\uffef])", "", p).replace("\n", " ") for p in paragraphs
    )


def first_sentence(text: str) -> str:
    """The first sentence of `text`."""
    return re.split(r"(?<=[。！？])|(?<=[.!?])\s", text, maxsplit=1)[0].strip()


def _pages() -> Traversable:
    return files("upswing.explain") / "pages"


def _read(file: Traversable) -> dict[str, Any]:
    return tomllib.loads(file.read_text("utf-8"))
