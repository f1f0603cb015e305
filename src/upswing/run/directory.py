"""A run on disk: a folder that is created once, written by one process at a time, and read by anybody.

<out_dir>/<name>/config.json      everything needed to repeat the run, with versions
                 metrics.jsonl    one record an iteration: the truth       (records.py)
                 episodes.jsonl   finished episodes, raw                   (records.py)
                 findings.jsonl   what the doctor said and when            (records.py)
                 events.out.tfevents.*                                     (tensorboard.py)
                 checkpoints/                                              (checkpoint.py)
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upswing.config import TrainConfig, config_to_json, is_folder_name
from upswing.errors import ConfigError, StorageError
from upswing.run.checkpoint import drop_later, sweep
from upswing.run.disk import json_bytes, read_json, replace_file, storage_errors
from upswing.run.records import EPISODES, FINDINGS, METRICS, cut_records
from upswing.run.versions import machine, versions

try:
    import fcntl
except ImportError:  # not a POSIX system: two processes on one run are then not noticed
    fcntl = None  # type: ignore[assignment]

CONFIG = "config.json"
SCHEMA = 1
_LOCK = ".lock"


@dataclass
class RunDirectory:
    """The folder of a run, held by this process alone until `close`. Usable as a path and as a context manager."""

    path: Path
    _lock: int | None = field(default=None, repr=False)

    def __fspath__(self) -> str:
        return str(self.path)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes write here. Safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def create_run(out_dir: str | os.PathLike[str], name: str | None, env_name: str, seed: int) -> RunDirectory:
    """A new, locked folder in `out_dir`: `name`, or <env>-<time>-<seed>. An existing one is never used.

    Raises ConfigError where `name` exists or cannot be a folder's name, StorageError where nothing can be written.
    """
    parent = Path(out_dir).expanduser()
    if name is not None and not is_folder_name(name):
        raise ConfigError(f"name = {name!r} cannot be a folder's name: use letters, digits, dots, - and _.")
    default = f"{_plain(env_name)}-{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    with storage_errors(f"Creating a run in {parent}"):
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 1000):
            path = parent / (name or (default if attempt == 1 else f"{default}-{attempt}"))
            try:
                path.mkdir()
            except FileExistsError:
                if name is None:
                    continue
                raise ConfigError(
                    f"name = {name!r} exists already in {parent} and is not overwritten: choose another name, or "
                    f"continue that run with upswing resume."
                ) from None
            return RunDirectory(path, _lock(path))
    raise StorageError(f"{parent} holds a thousand runs called {default}: set name.")


def open_run(path: str | os.PathLike[str]) -> RunDirectory:
    """The existing run at `path`, locked, with what killed saves left behind cleared away.

    Raises StorageError where it is not a run, or where another process is writing to it.
    """
    root = find_run(path)
    run = RunDirectory(root, _lock(root))
    try:
        sweep(root)
    except StorageError:
        run.close()
        raise
    return run


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """While inside, this process alone writes to the folder `path`. Raises StorageError where another one does."""
    held = RunDirectory(Path(path), _lock(Path(path)))
    try:
        yield
    finally:
        held.close()


def find_run(path: str | os.PathLike[str]) -> Path:
    """`path` as the folder of a run, for reading. Raises StorageError where it is not one."""
    root = Path(path).expanduser()
    if not root.is_dir():
        raise StorageError(f"{root} does not exist or is not a folder: give the folder of a run.")
    if not (root / CONFIG).is_file():
        raise StorageError(f"{root} is not a run, since it has no {CONFIG}: give the folder of a run.")
    return root


def latest_run(out_dir: str | os.PathLike[str]) -> Path | None:
    """The run in `out_dir` that was begun last; None where there is none."""
    parent = Path(out_dir).expanduser()
    if not parent.is_dir():
        return None
    begun = [(path.stat().st_mtime_ns, path.parent.name) for path in parent.glob(f"*/{CONFIG}") if path.is_file()]
    return parent / max(begun)[1] if begun else None


def write_config(run: str | os.PathLike[str], config: TrainConfig, **more: Any) -> None:
    """Write config.json: the settings, the versions and the machine, and `more` that was decided (JSON values)."""
    document = {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "config": config_to_json(config),
        "versions": versions(),
        "machine": machine(),
        **more,
    }
    with storage_errors(f"Writing {Path(run) / CONFIG}"):
        replace_file(Path(run) / CONFIG, json_bytes(document))


def read_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_config` wrote about the run at `path`. Raises StorageError."""
    return read_json(find_run(path) / CONFIG)


def rewind(run: str | os.PathLike[str], step: int) -> None:
    """Drop everything the run recorded and saved beyond `step`, from which it is about to be resumed.

    TensorBoard's files are left as they are: the mirror's own first event hides what is dropped here.
    """
    drop_later(run, step)
    for name in (METRICS, EPISODES, FINDINGS):
        cut_records(Path(run) / name, step)


def _plain(env_name: str) -> str:
    """`env_name` reduced to what is safe in a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", env_name).strip("-.")[:80] or "env"


def _lock(path: Path) -> int | None:
    """A file descriptor that holds the run's lock; the system releases it when the process ends, however it ends."""
    if fcntl is None:
        return None
    with storage_errors(f"Locking {path}"):
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise StorageError(
                f"{path} is being written by another process (number {owner}): wait for it, or stop it first."
            ) from None
        except OSError:  # a network disk without locks: better to train than to refuse
            return fd
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
    return fd
