"""The registered environments, by family, and what is missing to run them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

NEEDS = {"box2d": ("Box2D", "upswing[box2d]"), "mujoco": ("mujoco", "upswing[mujoco]")}
"""Gymnasium's families that need a package: the module, and what to install."""

TITLES = {"classic_control": "Classic control", "box2d": "Box2D", "toy_text": "Toy text", "mujoco": "MuJoCo"}


@dataclass(frozen=True)
class Family:
    """Environments that belong together."""

    title: str
    ids: tuple[str, ...]
    missing: str  # what has to be installed first, empty where nothing has


def families(pattern: str) -> list[Family]:
    """The environments whose id contains `pattern`, whatever its case, by family."""
    from gymnasium.envs.registration import registry

    by_title: dict[str, list[str]] = {}
    missing: dict[str, str] = {}
    for name, spec in sorted(registry.items()):
        title, need = _family(spec.entry_point)
        if title:
            by_title.setdefault(title, []).append(name)
            missing[title] = need
    chosen = {title: [name for name in ids if pattern.lower() in name.lower()] for title, ids in by_title.items()}
    return [Family(title, tuple(ids), missing[title]) for title, ids in chosen.items() if ids]


def _family(entry_point: object) -> tuple[str, str]:
    """The title of the family, empty for what only converts other environments, and what has to be installed."""
    where = entry_point if isinstance(entry_point, str) else getattr(entry_point, "__module__", "")
    if not where.startswith("gymnasium."):
        return where.partition(".")[0].partition(":")[0], ""
    family = where.removeprefix("gymnasium.envs.").partition(".")[0].partition(":")[0]
    if family not in TITLES:  # old ids that only raise, and adapters of other libraries
        return "", ""
    module, install = NEEDS.get(family, ("", ""))
    need = f"needs pip install '{install}'" if module and find_spec(module) is None else ""
    return TITLES[family], need
