"""CSV files as tables, and the reader for any CSV whose columns a user maps to our tags."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from upswing.doctor.readers.table import Scalars, Table, translated
from upswing.doctor.series import STEP, Note, Series, Source, TagMeaning
from upswing.errors import ConfigError, StorageError
from upswing.metrics import METRICS

STEP_NAMES = (
    "time/total_timesteps",
    "total_timesteps",
    "global_step",
    "timesteps",
    "num_timesteps",
    "env_steps",
    "step",
)
_SIGNED = {"entropy": ("train/entropy_loss", -1.0)}  # names people use for a metric that we log with another sign


def read_table(path: Path, step_column: str | None = None) -> tuple[Table, str]:
    """The numbers in a CSV file by column, at the steps in `step_column`, and that column's name.

    By default it is the first of the usual names. Rows that are torn or say no step are left out and counted. Raises
    StorageError where there is nothing to read, ConfigError where no column tells the steps.
    """
    try:
        text = path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
    rows = list(csv.reader(text.replace("\0", "").splitlines()))
    if len(rows) < 2:
        raise StorageError(f"{path} holds no rows below its header: nothing was logged yet, or the file was emptied.")
    names = [name.strip() for name in rows[0]]
    step_name = _step_name(path, names, step_column)
    at, n_torn = names.index(step_name), 0
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for row in rows[1:]:
        step = _number(row[at]) if len(row) == len(names) else None
        if step is None or not math.isfinite(step):
            n_torn += 1
            continue
        for name, cell in zip(names, row, strict=True):
            value = _number(cell)
            if value is not None:
                points[name].append((step, value))
    notes = (Note("torn_rows", {"file": path.name, "rows": n_torn}),) if n_torn else ()
    return Table({name: _scalars(each) for name, each in points.items() if each}, {}, notes), step_name


def read_csv(path: Path, mapping: Mapping[str, str]) -> Series:
    """The run in a CSV file, `mapping` telling which of its columns holds which of our metrics.

    A metric is given by its tag or the tag's last part (approx_kl). Columns under our own tags need no mapping. Raises
    ConfigError for an unknown metric or column.
    """
    wanted = {metric: column for metric, column in mapping.items() if metric not in (STEP, *STEP_NAMES)}
    step_column = next((mapping[name] for name in STEP_NAMES if name in mapping), None)
    table, step_name = read_table(path, step_column)
    tags = [_meaning(metric, column, table, path) for metric, column in wanted.items()]
    tags += [TagMeaning(name, name, "update") for name in table.scalars if name in METRICS and name != STEP]
    if not tags:
        raise ConfigError(
            f"{path.name} has no column under a name of ours: say what its columns are, such as "
            f"--map ep_rew_mean={_example(table, step_name)}."
        )
    source = Source("csv", tuple(tags), facts=("csv_mapped",))
    axis = np.unique(table.scalars[step_name].values)
    columns, nonfinite = translated(table, source, axis)
    return Series(source, {STEP: axis, **columns}, nonfinite=nonfinite, notes=table.notes, name=path.name)


def tag_of(metric: str) -> tuple[str, float]:
    """Our tag for `metric`, a tag or the last part of one, and the factor from it to ours. Raises ConfigError."""
    if metric in _SIGNED:
        return _SIGNED[metric]
    if metric in METRICS:
        return metric, 1.0
    matches = [tag for tag in METRICS if tag.split("/")[1] == metric]
    if len(matches) != 1:
        hint = f"write one of {', '.join(matches)}" if matches else "upswing explain lists them"
        raise ConfigError(f"{metric!r} is not one metric of ours: {hint}.")
    return matches[0], 1.0


def _meaning(metric: str, column: str, table: Table, path: Path) -> TagMeaning:
    tag, factor = tag_of(metric)
    if column not in table.scalars:
        raise ConfigError(f"{path.name} has no column {column!r} with numbers: it has {', '.join(table.scalars)}.")
    return TagMeaning(column, tag, "update", factor)


def _example(table: Table, step_name: str) -> str:
    return next((name for name in table.scalars if name != step_name), "COLUMN")


def _step_name(path: Path, names: list[str], asked: str | None) -> str:
    if asked is not None and asked not in names:
        raise ConfigError(f"{path.name} has no column {asked!r}: it has {', '.join(names)}.")
    found = asked or next((name for name in STEP_NAMES if name in names), None)
    if found is None:
        raise ConfigError(
            f"{path.name} has no column of environment steps among {', '.join(names)}: name it with --map total_timesteps=COLUMN."
        )
    return found


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _scalars(points: list[tuple[float, float]]) -> Scalars:
    steps, values = (np.array(part, np.float64) for part in zip(*points, strict=True))
    order = np.argsort(steps, kind="stable")
    return Scalars(steps[order], values[order])
