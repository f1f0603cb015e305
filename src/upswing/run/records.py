"""A run's records: one JSON object a line, appended as they happen, readable at any moment by anybody.

    metrics.jsonl   one line an iteration: the metrics by their tags in metrics.py, null where undefined. The tags
                    time/iterations and time/total_timesteps say which iteration it is and where it stands.
    episodes.jsonl  one line a finished episode: total_timesteps (at the end of its rollout), env, return, length,
                    success_once, success_at_end, all raw
    findings.jsonl  one line a finding of the doctor: total_timesteps, and what the doctor says

JSON knows no NaN or infinity: they are written as null. A line that a kill has torn is ignored by readers and cut off
before a resumed run continues.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from upswing.errors import StorageError
from upswing.run.disk import AppendFile, Warn, storage_errors, warn_on_stderr

METRICS, EPISODES, FINDINGS = "metrics.jsonl", "episodes.jsonl", "findings.jsonl"
ITERATION, STEP = "time/iterations", "time/total_timesteps"
_STEP_KEYS = (STEP, "total_timesteps")

Record = Mapping[str, Any]


class RecordWriter:
    """Appends records to one file. A disk that refuses is warned of once, and training goes on; see AppendFile."""

    def __init__(self, path: str | os.PathLike[str], warn: Warn = warn_on_stderr):
        cut_records(path)
        with storage_errors(f"Opening {os.fspath(path)}"):
            self._file = AppendFile(Path(path), warn, "it")

    def write(self, *records: Record) -> None:
        """Append `records`, a line each."""
        self._file.append(b"".join(_line(record) for record in records))

    def sync(self) -> None:
        """Wait until the disk has every record; before a checkpoint, so that the records never fall behind it."""
        self._file.sync()

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._file.close()


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records in the file `path`, in order; [] where there is no file. Torn and damaged lines are left out."""
    return [record for _, record in _records_at(Path(path))]


def read_metrics(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The columns of metrics.jsonl by tag: float64 [number of records], NaN where a record has no such number.

    `path` is a run's folder or the file itself. The column time/total_timesteps is strictly increasing: lines of the
    same step are merged, and where a log goes back to an earlier step, as after a resume, the later lines count.
    {} where nothing was recorded.
    """
    source = Path(path)
    if not source.exists():
        raise StorageError(f"{source} does not exist: give a run's folder or its {METRICS}.")
    rows: dict[float, dict[str, Any]] = {}
    for record in read_records(source / METRICS if source.is_dir() else source):
        step = _step(record)
        if step is None:
            continue
        while rows and next(reversed(rows)) > step:
            rows.popitem()
        rows.setdefault(step, {}).update({tag: value for tag, value in record.items() if value is not None})
    tags = dict.fromkeys(tag for row in rows.values() for tag in row)
    return {tag: np.array([_number(row.get(tag)) for row in rows.values()]) for tag in tags}


def cut_records(path: str | os.PathLike[str], step: float = math.inf) -> None:
    """Shorten the file `path` to the whole lines before the first record beyond `step`. Raises StorageError."""
    file = Path(path)
    if not os.path.lexists(file):
        return
    if file.is_symlink() or not file.is_file():
        raise StorageError(f"{file} is not an ordinary file: put the file itself there.")
    with storage_errors(f"Shortening {file}"):
        end = _end_of_whole_lines(file)
        if step < math.inf:
            end = next((at for at, record in _records_at(file) if (_step(record) or 0) > step), end)
        if end < file.stat().st_size:
            os.truncate(file, end)


def _line(record: Record) -> bytes:
    return json.dumps({key: _plain(value) for key, value in record.items()}, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it: NaN and infinity as None, NumPy's numbers and arrays as Python's."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not hasattr(value, "tolist"):
        return [_plain(each) for each in value]
    return _plain(value.tolist())


def _records_at(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each readable record in the file `path`, and the byte at which its line starts."""
    if not path.is_file():
        return
    at = 0
    with storage_errors(f"Reading {path}"), path.open("rb") as file:
        for line in file:
            record = _parse(line) if line.endswith(b"\n") else None
            if record is not None:
                yield at, record
            at += len(line)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line, parse_constant=lambda constant: None)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _end_of_whole_lines(path: Path) -> int:
    """The byte after the last newline in the file."""
    end = path.stat().st_size
    with path.open("rb") as file:
        while end > 0:
            start = max(0, end - 2**16)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


def _step(record: Record) -> float | None:
    """The environment step at which `record` stands; None where it does not say."""
    steps = (record.get(key) for key in _STEP_KEYS)
    return next((step for step in steps if isinstance(step, int | float) and not isinstance(step, bool)), None)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
