"""A picture of one training in text: the stages data pass through, with one of them marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich.cells import cell_len

RAILS = {
    "start": "        ",
    "collect": "┌─►     ",
    "advantages": "│       ",
    "shuffle": "│  ┌─►  ",
    "minibatch": "│  │ ┌► ",
    "loss": "│  │ │  ",
    "step": "│  │ └─ ",
    "epochs": "│  └─── ",
    "discard": "│       ",
    "report": "│       ",
    "budget": "└────── ",
}
"""Every stage in order, and the arrows beside it: three loops, one inside the other."""


class Row(NamedTuple):
    """One line of the picture."""

    rail: str
    name: str  # padded
    mark: str  # an arrow and the name of what acts here, or ""
    says: str


def flow_rows(stage: str, mark: str, said: Mapping[str, tuple[str, str]]) -> list[Row]:
    """The lines of the picture, `mark` standing at `stage`; `said` names and describes each stage."""
    width = max(cell_len(name) for name, _ in said.values()) + 2
    rows = []
    for each, rail in RAILS.items():
        name, says = said[each]
        padding = " " * (width - cell_len(name))
        rows.append(Row(rail, name + padding, f"◄── {mark}  " if each == stage else "", says))
    return rows
