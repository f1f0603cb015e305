"""Upswing's own runs: config.json, metrics.jsonl and episodes.jsonl in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from upswing.doctor.readers.settings import known_fields
from upswing.doctor.series import STEP, Episodes, Series, Source
from upswing.errors import StorageError, UserError
from upswing.run.directory import CONFIG, read_run
from upswing.run.records import EPISODES, METRICS, read_metrics, read_records

SOURCE = Source("upswing")


def is_own(path: Path) -> bool:
    """Whether `path` is a run's folder or its metrics.jsonl."""
    return path.name == METRICS or (path / METRICS).is_file() or ((path / CONFIG).is_file() and not _has_events(path))


def read_own(path: Path) -> Series:
    """The run of Upswing at `path`, a run's folder or its metrics.jsonl. Raises StorageError."""
    folder = path.parent if path.name == METRICS else path
    columns = read_metrics(folder / METRICS) if (folder / METRICS).is_file() else {}
    if len(columns.get(STEP, ())) == 0:
        raise StorageError(
            f"{folder} has recorded no iteration yet: look again when the run has done its first update."
        )
    document = _document(folder)
    return Series(
        SOURCE,
        columns,
        config=known_fields(document.get("config") or {}),
        episodes=_episodes(folder),
        name=folder.name,
        environment=_environment(document, columns),
    )


def _environment(document: dict[str, Any], columns: dict[str, np.ndarray]) -> dict[str, Any]:
    """What a run tells about its environment: what stands in config.json, and that σ is logged for Box actions only."""
    known = document.get("environment")
    found = dict(known) if isinstance(known, dict) else {}
    if "train/loss" in columns:
        found.setdefault("continuous", "train/std" in columns)
    return found


def _document(folder: Path) -> dict[str, Any]:
    try:
        return read_run(folder)
    except UserError:  # metrics alone can be judged too, with less certainty
        return {}


def _episodes(folder: Path) -> Episodes | None:
    rows = [row for row in read_records(folder / EPISODES) if isinstance(row.get("return"), int | float)]
    if not rows:
        return None
    return Episodes(
        np.array([row.get("total_timesteps", np.nan) for row in rows], np.float64),
        np.array([row["return"] for row in rows], np.float64),
        np.array([row.get("length", np.nan) for row in rows], np.float64),
    )


def _has_events(path: Path) -> bool:
    return any(path.glob("events.out.tfevents.*"))
