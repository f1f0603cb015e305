"""Files that are either wholly written or not there, and that are read only if they are what they seem."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from upswing.errors import StorageError

Warn = Callable[[str], None]
"""Where a sentence goes that the user should see although the work goes on."""

JSON_LIMIT = 64 * 2**20  # bytes
_WAITING_LIMIT = 16 * 2**20  # bytes
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # opening a named pipe would wait for its writer


def warn_on_stderr(sentence: str) -> None:
    """Print a warning; the default `Warn`."""
    print(f"Warning: {sentence}", file=sys.stderr)


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn an OSError inside the block into a StorageError that says what was being done and what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{doing} failed: {describe(error)}") from error


def describe(error: OSError) -> str:
    """What went wrong, and the remedy, in words."""
    remedies = {
        errno.ENOSPC: "the disk is full: free some space, then try again.",
        errno.EDQUOT: "your disk quota is used up: free some space, then try again.",
        errno.EROFS: "the disk is read-only: choose another folder with out_dir.",
        errno.EACCES: "permission is denied: choose another folder, or change its permissions.",
        errno.EPERM: "permission is denied: choose another folder, or change its permissions.",
        errno.EIO: "the disk reported an input/output error: check the disk, or choose another folder.",
        errno.ENOENT: "the file or folder does not exist: check the path.",
        errno.ENOTDIR: "part of the path is a file, not a folder: choose another folder.",
    }
    return remedies.get(error.errno or 0, f"{error.strerror or error}: choose another folder.")


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it. Raises OSError, also where `path` exists already."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` so that at any moment it holds either its old content or all of `data`. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        write_file(temporary, data)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class AppendFile:
    """A log that only grows and whose failures never stop a training.

    What `append` was given is with the operating system when it returns, so a kill loses none of it. Where the disk
    refuses, a warning is given once and the data is kept (up to 16 MiB) and written as soon as there is room; what
    arrives beyond that is lost whole, never in parts. Opening raises OSError.
    """

    def __init__(self, path: Path, warn: Warn, without: str):
        self.path, self._warn, self._without = path, warn, without
        self._warned = False
        self._waiting = b""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINKS
        self._fd = os.open(path, flags, 0o666)

    def append(self, data: bytes) -> None:
        """Add `data` to the end."""
        if len(self._waiting) + len(data) <= _WAITING_LIMIT:
            self._waiting += data
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._fd, self._waiting) :]
        except OSError as error:
            self._warn_once(error)

    def sync(self) -> None:
        """Wait until the disk has everything."""
        self.append(b"")
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._warn_once(error)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._fd >= 0:
            self.append(b"")
            os.close(self._fd)
            self._fd = -1

    def _warn_once(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            self._warn(
                f"{self.path} cannot be written, and training goes on without {self._without}: {describe(error)}"
            )


def sync_folder(path: Path) -> None:
    """Wait until the disk knows which files `path` holds. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file; a link, a device, or more than `limit` bytes is refused. Raises StorageError."""
    with storage_errors(f"Reading {path}"):
        try:
            fd = os.open(path, os.O_RDONLY | _NO_LINKS | _NO_WAITING)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise StorageError(
                    f"{path} is a symbolic link, which is not followed: put the file itself there."
                ) from None
            raise
        with os.fdopen(fd, "rb") as file:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                raise StorageError(f"{path} is not an ordinary file: check the path.")
            if about.st_size > limit:
                raise StorageError(
                    f"{path} is larger than the {limit / 2**20:g} MiB that such a file may have: check it."
                )
            return file.read(limit)


def json_bytes(value: Any) -> bytes:
    """`value` as the bytes of a JSON file; NumPy's numbers and arrays become plain ones. Raises TypeError."""
    return (json.dumps(value, indent=1, default=_plain) + "\n").encode()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def parse_json(data: bytes) -> dict[str, Any] | None:
    """The object in JSON text, or None where there is no readable one."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_json(path: Path, limit: int = JSON_LIMIT) -> dict[str, Any]:
    """The object that a JSON file holds. Raises StorageError."""
    value = parse_json(read_file(path, limit))
    if value is None:
        raise StorageError(f"{path} is not a readable JSON object: it is damaged, or another kind of file.")
    return value
