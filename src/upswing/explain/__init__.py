"""What every setting, metric and rule means, in English and Chinese: pages, their rendering, and a run's own numbers."""

from upswing.explain.command import explain
from upswing.explain.find import find
from upswing.explain.numbers import own_numbers
from upswing.explain.pages import Page, Part, page, topics
from upswing.explain.render import listing, markdown, plain, render
from upswing.view.words import language

__all__ = [
    "Page",
    "Part",
    "explain",
    "find",
    "language",
    "listing",
    "markdown",
    "own_numbers",
    "page",
    "plain",
    "render",
    "topics",
]
