"""From what a person types to the topic that is meant: lr, γ, --num-steps, approx_kl, P01, KL-HIGH, 学习率."""

from __future__ import annotations

import difflib
import re
from functools import cache

from upswing.config import ALIASES
from upswing.errors import ConfigError
from upswing.explain.pages import topics
from upswing.explain.source import entries, labels, other_names


def find(typed: str, lang: str) -> str:
    """The topic that `typed` means. Raises ConfigError, with the nearest ones, where there is none."""
    known, plain = _index(), _plain(typed)
    if plain in known:
        return known[plain]
    begun = {topic for name, topic in known.items() if plain and name.startswith(plain)}
    if len(begun) == 1:
        return begun.pop()
    said = labels(lang)["text"]
    nearest = list(dict.fromkeys(known[name] for name in difflib.get_close_matches(plain, known, n=6, cutoff=0.6)))[:3]
    if not nearest:
        nearest = list(dict.fromkeys(topic for name, topic in known.items() if plain and plain in name))[:3]
    hint = said["near"].format(near=said["or"].join(nearest)) if nearest else said["list_all"]
    raise ConfigError(said["unknown"].format(topic=typed, hint=hint))


@cache
def _index() -> dict[str, str]:
    """Every plain name and the topic it means; where several topics have it, the first in the list."""
    found: dict[str, str] = {}
    everything = topics()
    for topic in everything:
        found.setdefault(_plain(topic), topic)
    for name, topic in (*ALIASES.items(), *other_names().items()):
        found.setdefault(_plain(name), topic)
    for topic in everything:
        found.setdefault(_plain(topic.rpartition("/")[2]), topic)
    for lang in ("en", "zh"):
        for topic in everything:
            entry = entries(lang)[topic]
            for name in (entry.get("name", ""), entry["title"], re.sub(r" \S$", "", entry["title"])):
                found.setdefault(_plain(name), topic)
    found.pop("", None)
    return found


def _plain(name: str) -> str:
    return name.strip().lstrip("-").lower().replace("-", "_").replace(" ", "_")
