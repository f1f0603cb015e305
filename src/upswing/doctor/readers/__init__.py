"""Readers: from a path to a Series, whatever framework wrote what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from upswing.doctor.readers.cleanrl import is_cleanrl, read_cleanrl
from upswing.doctor.readers.events import PATTERN, read_events
from upswing.doctor.readers.own import is_own, read_own
from upswing.doctor.readers.rsl_rl import is_rsl_rl, read_rsl_rl
from upswing.doctor.readers.sb3 import is_sb3, read_sb3
from upswing.doctor.readers.table import Table
from upswing.doctor.readers.tables import read_csv, read_table
from upswing.doctor.series import Note, Series
from upswing.errors import StorageError, UserError

__all__ = ["read_series"]

_PROGRESS = "progress.csv"
_READERS = ((is_sb3, read_sb3), (is_cleanrl, read_cleanrl), (is_rsl_rl, read_rsl_rl))


def read_series(
    path: str | Path, mapping: Mapping[str, str] | None = None, settings: Mapping[str, Any] | None = None
) -> Series:
    """The run at `path`: an Upswing run, a folder with TensorBoard event files or a progress.csv, or one such file.

    `mapping` tells which columns of another CSV hold which metrics; `settings` (TrainConfig's names) complete or
    replace what the log tells of its configuration. Raises UserError where nothing can be read.
    """
    where = Path(path).expanduser()
    if not where.exists():
        raise StorageError(f"{where} does not exist: give a run's folder, a folder of event files, or a CSV file.")
    series = _read(where, mapping or {})
    return replace(series, config={**series.config, **settings}) if settings else series


def _read(where: Path, mapping: Mapping[str, str]) -> Series:
    if where.suffix.lower() == ".csv" and (mapping or where.name != _PROGRESS):
        return read_csv(where, mapping)
    if is_own(where):
        return read_own(where)
    folder = where if where.is_dir() else where.parent
    if where.name == _PROGRESS or ((folder / _PROGRESS).is_file() and where.is_dir()):
        return _from_progress(folder)
    if where.is_file() and "tfevents" not in where.name:
        raise StorageError(f"{where} is neither an event file nor a CSV file: give a run's folder or one of its logs.")
    return _from_events([where] if where.is_file() else _event_files(where))


def _from_progress(folder: Path) -> Series:
    """Stable-Baselines3's CSV; where it is damaged and event files lie beside it, those."""
    try:
        table, _ = read_table(folder / _PROGRESS)
        return read_sb3(table, folder)
    except UserError:
        files = sorted(folder.glob(PATTERN))
        if not files:
            raise
        series = _from_events(files)
        return replace(series, notes=(*series.notes, Note("progress_unreadable")))


def _from_events(files: list[Path]) -> Series:
    table: Table = read_events(files)
    for recognises, read in _READERS:
        if recognises(table):
            return read(table, files[0].parent)
    known = ", ".join(sorted(table.scalars)[:8]) or "none"
    raise StorageError(
        f"{files[0].parent} holds event files of no framework known here (tags: {known}): export them as CSV and map its "
        f"columns with --map."
    )


def _event_files(folder: Path) -> list[Path]:
    """The event files of the one run in `folder`. Raises StorageError where there is none, or several."""
    found: dict[Path, list[Path]] = {}
    for file in sorted(folder.rglob(PATTERN)):
        found.setdefault(file.parent, []).append(file)
    if not found:
        raise StorageError(f"{folder} holds no run, no event files and no {_PROGRESS}: give the folder that does.")
    if len(found) > 1:
        names = ", ".join(str(each.relative_to(folder)) for each in list(found)[:6])
        raise StorageError(f"{folder} holds {len(found)} runs ({names}): give one of them.")
    return next(iter(found.values()))
