"""A page: everything said about one setting, metric or rule in one language, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from upswing.config import WORDS
from upswing.explain.facts import facts, figures
from upswing.explain.limits import filled
from upswing.explain.source import entries, first_sentence, labels, reflow
from upswing.metrics import METRICS

_SETTING = (
    ("definition", "text"),
    ("facts", "facts"),
    ("equation", "equation"),
    ("acts", "flow"),
    ("mechanism", "text"),
    ("analogy", "aside"),
    ("typical", "table"),
    ("sides", "sides"),
    ("interactions", "pairs"),
    ("try", "list"),
)
RECIPES: dict[str, tuple[tuple[str, str], ...]] = {
    "settings": _SETTING,
    "worlds": tuple(part for part in _SETTING if part != ("facts", "facts")),
    "machine": (("definition", "text"), ("facts", "facts"), ("change", "text")),
    "metrics": (
        ("definition", "text"),
        ("equation", "equation"),
        ("facts", "facts"),
        ("level", "text"),
        ("trend", "text"),
        ("jitter", "text"),
        ("healthy", "text"),
        ("misleads", "text"),
        ("do", "list"),
    ),
    "rules": (
        ("meaning", "text"),
        ("signal", "text"),
        ("misfires", "text"),
        ("guard", "text"),
        ("causes", "list"),
        ("remedies", "list"),
        ("disprove", "text"),
        ("measured", "facts"),
    ),
}
"""What a page of each kind consists of, in reading order: a part, and the form it is shown in."""

FAMILIES = {"reads": "metrics", "finds": "rules", "sets": "settings"}
"""The parts that point to other topics, and the family of topics each points to."""

_WITH_LIMITS = ("signal", "misfires", "guard")  # texts that hold the doctor's thresholds by name
_RULE_LETTERS = "BPVOANTSLRFE"  # in the order of suspicion, then speed and evidence


@dataclass(frozen=True)
class Flow:
    """Where in the data flow a setting acts: a stage (see flow.py), and a sentence."""

    stage: str
    sentence: str


@dataclass(frozen=True)
class Equation:
    """Formulas, the same in every language, and what stands in them."""

    text: str
    where: str


@dataclass(frozen=True)
class Part:
    """One part of a page. `body` is a text, rows of texts, a Flow or an Equation, as `form` says."""

    key: str
    heading: str
    form: str  # text, equation, aside, flow, facts, table, sides, pairs, list or links
    body: Any


@dataclass(frozen=True)
class Page:
    """Everything said about one topic in one language."""

    topic: str
    kind: str  # settings, machine, worlds, metrics or rules
    lang: str
    name: str  # a rule's short name, else ""
    title: str
    summary: str  # one line
    group: str
    parts: tuple[Part, ...]
    related: tuple[str, ...]

    def part(self, key: str) -> Part:
        """The part called `key`. Raises KeyError where the page has none."""
        return {part.key: part for part in self.parts}[key]


def page(topic: str, lang: str) -> Page:
    """The page about `topic`, one of `topics()`, in `lang`. What a person types is looked up by `find` first."""
    entry, said = entries(lang)[topic], labels(lang)
    headings = said["part"] | ({"sides": said["part"]["choice"]} if "small_is" in entry else {})
    parts = [Part(key, headings[key], form, _body(topic, entry, key, lang)) for key, form in RECIPES[entry["kind"]]]
    related = tuple(entry["related"])
    for key, wanted in FAMILIES.items():
        rows = tuple((other, summary(other, lang)) for other in related if _family(other) == wanted)
        parts.append(Part(key, headings[key], "links", rows))
    return Page(
        topic=topic,
        kind=entry["kind"],
        lang=lang,
        name=entry.get("name", ""),
        title=entry["title"],
        summary=summary(topic, lang),
        group=said["group"][group_of(topic)],
        parts=tuple(part for part in parts if part.body),
        related=related,
    )


def topics() -> list[str]:
    """Every topic: settings as they are declared, then the worlds', metrics, and rules in the order of suspicion."""
    kinds = {topic: entry["kind"] for topic, entry in entries("en").items()}
    worlds = [topic for topic, kind in kinds.items() if kind == "worlds"]
    rules = [topic for topic, kind in kinds.items() if kind == "rules"]
    rules.sort(key=lambda code: (_RULE_LETTERS.index(code[0]), code))
    return [*WORDS, *worlds, *METRICS, *rules]


def group_of(topic: str) -> str:
    """The group that `topic` belongs to: a setting's group, a world, a metric's prefix, or a rule's letter."""
    if topic in WORDS:
        return WORDS[topic].group
    if topic in METRICS:
        return topic.split("/")[0]
    entry = entries("en")[topic]
    return topic[0] if entry["kind"] == "rules" else entry["file"]


def summary(topic: str, lang: str) -> str:
    """One line about `topic`; in English, settings and metrics say it where they are declared."""
    entry = entries(lang)[topic]
    if "summary" in entry:
        return entry["summary"]
    if topic in WORDS:
        return WORDS[topic].help
    if topic in METRICS:
        meaning = METRICS[topic].meaning
        return f"{meaning[0].upper() if meaning[0].isascii() else meaning[0]}{meaning[1:]}."
    return entry["title"] if entry["kind"] == "rules" else first_sentence(reflow(entry["definition"]))


def _body(topic: str, entry: dict[str, Any], key: str, lang: str) -> Any:
    """The body of one part, in the shape its form wants."""
    if key == "facts":
        return facts(topic, lang)
    if key == "measured":
        return figures(topic, lang)
    if key == "acts":
        return Flow(entry["place"], entry["acts"])
    if key == "equation":
        return Equation(entry["equation"].strip("\n"), entry.get("where", ""))
    if key == "sides":
        said = labels(lang)["text"]
        return tuple(
            (entry.get(f"{side}_is", said[side]), entry[f"{side}_good"], entry[f"{side}_bad"])
            for side in ("small", "large")
        )
    if key == "definition" and entry["kind"] == "metrics":
        return summary(topic, lang)
    body = entry[key]
    if isinstance(body, str):
        return filled(reflow(body), lang) if key in _WITH_LIMITS else reflow(body)
    return tuple(tuple(row) if isinstance(row, list) else row for row in body)


def _family(topic: str) -> str:
    kind = entries("en")[topic]["kind"]
    return kind if kind in ("metrics", "rules") else "settings"
