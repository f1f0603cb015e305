"""From what shall be varied to the settings of a study, and to the controls that tell a setting from its arithmetic.

A control of a setting is the same setting with a larger `total_timesteps`, so that it has as many gradient steps (or
iterations, or as much training time) as the reference setting. Where the setting does badly and its control well, the
setting only had too little of that quantity; where both do badly, the setting itself is to blame.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from upswing.config import FIELDS, TrainConfig, canonical, coerce, config_to_json, derive
from upswing.errors import ConfigError
from upswing.lab.study_record import StudySetting

GRADIENT_STEPS, ITERATIONS, WALL_TIME = "gradient_steps", "iterations", "wall_time"
MATCHES = (GRADIENT_STEPS, ITERATIONS, WALL_TIME)
NOT_VARIED = {"env", "seed", "name", "out_dir", "checkpoint_path"}
PER_RUN = ("seed", "name", "out_dir")  # what differs between the runs of one setting
MOST_SETTINGS = 200
WORTH_MATCHING = 1.02  # a quantity is not matched where it lies this near to the reference's

Values = dict[str, Any]
"""The varied settings' values, by field, or by field.key for keyword arguments."""


@dataclass(frozen=True)
class Point:
    """One setting of a study with the configuration of its runs."""

    label: str
    values: Values
    config: TrainConfig
    control_of: str | None = None

    def recorded(self) -> StudySetting:
        """What study.json says of it."""
        config = {name: value for name, value in config_to_json(self.config).items() if name not in PER_RUN}
        return StudySetting(self.label, self.values, asdict(derive(self.config)), config, self.control_of)


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """The setting and the values that --vary NAME=VALUE,VALUE… gives. Raises ConfigError.

    A name may be `policy_kwargs.net_arch`; commas inside brackets belong to a value: net_arch=[64,64],[256,256].
    """
    name, equals, values = text.partition("=")
    parts = _split(values)
    if not equals or not name.strip() or not all(part.strip() for part in parts):
        raise ConfigError(f"--vary {text!r} is not of the form name=value,value: write for example n_envs=8,32.")
    return varied(name.strip(), [part.strip() for part in parts])


def varied(name: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """The canonical name and the checked values of a setting to vary. Raises ConfigError."""
    outer, dot, key = name.partition(".")
    field = canonical(outer)
    if field in NOT_VARIED:
        hint = "--seeds says how many seeds each setting gets." if field == "seed" else "vary something else."
        raise ConfigError(f"--vary {field} compares what is not comparable: {hint}")
    if not values:
        raise ConfigError(f"--vary {name} has no values: write for example {name}=1,2.")
    if dot:
        if not str(FIELDS[field].type).startswith("dict") or not key.isidentifier():
            raise ConfigError(f"--vary {name} is not a setting: only policy_kwargs.KEY and env_kwargs.KEY have a dot.")
        return f"{field}.{key}", [_literal(value) for value in values]
    checked = [coerce(field, value) for value in values]
    if len({json.dumps(value, sort_keys=True) for value in checked}) < len(checked):
        raise ConfigError(f"--vary {name} names a value twice: leave one of them out.")
    return field, checked


def combinations(axes: Mapping[str, Sequence[Any]], zipped: bool = False) -> list[Values]:
    """Every combination of the axes' values (the last varies fastest), or with `zipped` the first of each, the second, …

    No axes make one setting. Raises ConfigError.
    """
    if zipped and len({len(values) for values in axes.values()}) > 1:
        counts = ", ".join(f"{name} {len(values)}" for name, values in axes.items())
        raise ConfigError(f"--zip needs as many values of each setting, and there are: {counts}.")
    rows = zip(*axes.values(), strict=True) if zipped and axes else itertools.product(*axes.values())
    found = [dict(zip(axes, row, strict=True)) for row in rows]
    if len(found) > MOST_SETTINGS:
        raise ConfigError(f"{len(found)} settings are more than the {MOST_SETTINGS} of a study: vary fewer values.")
    return found


def points(rows: Sequence[Values], configure: Callable[[Values], TrainConfig]) -> list[Point]:
    """A point for each of `rows`; `configure` makes its configuration, so that what is derived is derived anew."""
    return [Point(label(values), values, configure(values)) for values in rows]


def label(values: Values) -> str:
    """What a setting is called: "n_envs=256, n_steps=8"."""
    return ", ".join(f"{name}={_written(value)}" for name, value in values.items()) or "as given"


def matched(
    points: Sequence[Point], reference: str, match: str, train_time_s: Mapping[str, float] | None = None
) -> list[Point]:
    """The controls of those points that have less of the quantity `match` than the point called `reference`.

    `train_time_s` by label, for wall_time. Raises ConfigError where total_timesteps itself is varied.
    """
    if any("total_timesteps" in point.values for point in points):
        raise ConfigError("--match raises total_timesteps, which this study varies: leave out --match.")
    goal = next(point for point in points if point.label == reference)
    found = []
    for point in points:
        total = _budget(point, goal, match, train_time_s or {})
        if point.label != reference and total is not None:
            values = {**point.values, "total_timesteps": total}
            config = replace(point.config, total_timesteps=total)
            found.append(Point(f"{point.label} [matched]", values, config, point.label))
    return found


def _budget(point: Point, goal: Point, match: str, train_time_s: Mapping[str, float]) -> int | None:
    """The smallest total_timesteps with which `point` has as much of `match` as `goal`; None where it has it already."""
    derived, wanted = derive(point.config), derive(goal.config)
    if match == WALL_TIME:
        here, there = train_time_s.get(point.label), train_time_s.get(goal.label)
        if not here or not there:
            return None
        iterations = math.ceil(derived.iterations * there / here)
    elif match == ITERATIONS:
        iterations = wanted.iterations
    else:
        iterations = math.ceil(wanted.gradient_steps / (derived.gradient_steps / derived.iterations))
    return iterations * derived.pool if iterations > derived.iterations * WORTH_MATCHING else None


def reloaded(setting: StudySetting) -> Point:
    """The point that study.json recorded. Raises ConfigError where it held Python objects."""
    config = TrainConfig(**{name: coerce(name, value) for name, value in setting.config.items() if name in FIELDS})
    return Point(setting.label, setting.values, config, setting.control_of)


def _split(text: str) -> list[str]:
    """`text` at its commas outside brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "[{(") - (char in "]})")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _literal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))
