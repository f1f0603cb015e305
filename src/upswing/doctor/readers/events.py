"""TensorBoard's event files as arrays: every record that is whole is read, and what is damaged is skipped and counted.

The files are framed as TensorFlow's TFRecord: length (8 bytes), its checksum (4), message, its checksum (4). A damaged
message is skipped; a damaged length is skipped by searching for the next place that checks out. Needs neither torch
nor TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_FLOAT, DT_STRING

from upswing.doctor.readers.table import Scalars, Table
from upswing.doctor.series import Note
from upswing.errors import StorageError
from upswing.run.tensorboard import crc32c

PATTERN = "events.out.tfevents.*"
_HEADER, _FOOTER = 12, 4


@dataclass
class _Damage:
    records: int = 0
    bytes: int = 0
    torn_end: bool = False


@dataclass
class _Collected:
    points: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)  # step, wall time, value
    texts: dict[str, str] = field(default_factory=dict)


def read_events(files: Sequence[Path]) -> Table:
    """All scalars and texts in event `files`, the points of a tag in order of their steps.

    Where a later file goes back to an earlier step, as after a resume, its points take the place of the older ones.
    Raises StorageError where no file holds a readable record.
    """
    collected, notes, n_read = _Collected(), [], 0
    for path in sorted(files, key=lambda file: file.name):
        damage = _Damage()
        fresh = _Collected()
        try:
            for message in messages(path.read_bytes(), damage):
                n_read += _collect(message, fresh)
        except OSError as error:
            raise StorageError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
        _append(collected, fresh)
        if damage.records or damage.bytes:
            notes.append(Note("damaged_events", {"file": path.name, "records": damage.records, "bytes": damage.bytes}))
        elif damage.torn_end:
            notes.append(Note("torn_events", {"file": path.name}))
    if not n_read:
        raise StorageError(f"{files[0].parent} holds event files, but no readable record: the log is damaged or empty.")
    return Table({tag: _arrays(points) for tag, points in collected.points.items()}, collected.texts, tuple(notes))


def messages(data: bytes, damage: _Damage | None = None) -> Iterator[bytes]:
    """The messages of an event file whose checksums are right, in order. `damage` counts what had to be skipped."""
    damage = damage or _Damage()
    at = 0
    while at + _HEADER <= len(data):
        if not _header_is_whole(data, at):
            found = _next_header(data, at + 1)
            damage.bytes += found - at
            at = found
            continue
        size = int.from_bytes(data[at : at + 8], "little")
        end = at + _HEADER + size
        if end + _FOOTER > len(data):
            damage.torn_end = True  # the program was still writing, or was killed
            return
        message = data[at + _HEADER : end]
        if _masked(message) == data[end : end + _FOOTER]:
            yield message
        else:
            damage.records += 1
        at = end + _FOOTER
    damage.torn_end = damage.torn_end or at < len(data)


def _header_is_whole(data: bytes, at: int) -> bool:
    return _masked(data[at : at + 8]) == data[at + 8 : at + _HEADER]


def _next_header(data: bytes, start: int) -> int:
    """The next place where a length stands beside its checksum; the end of `data` where there is none.

    Lengths are small: their upper four bytes are zero, which is searched for first since checksums take time.
    """
    for match in re.compile(rb"(?=\x00{4})").finditer(data, start):
        at = match.start() - 4
        if at >= start and at + _HEADER <= len(data) and _header_is_whole(data, at):
            return at
    return len(data)


def _masked(data: bytes) -> bytes:
    """The checksum that stands beside `data`. Source: TensorFlow, core/lib/hash/crc32c.h (mask)."""
    crc = crc32c(data) if len(data) >= 4 else 0
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _collect(message: bytes, into: _Collected) -> int:
    """Add the scalars and texts of one message; 1 where it could be decoded, else 0."""
    try:
        event = Event.FromString(message)
    except DecodeError:
        return 0
    for value in event.summary.value:
        number = _scalar(value)
        if number is not None:
            into.points.setdefault(value.tag, []).append((event.step, event.wall_time, number))
        elif value.HasField("tensor") and value.tensor.dtype == DT_STRING and value.tensor.string_val:
            into.texts[value.tag] = value.tensor.string_val[0].decode("utf-8", "replace")
    return 1


def _scalar(value: Summary.Value) -> float | None:
    """The number in a summary, in the old form or the new; None where it holds something else."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return value.simple_value
    if kind != "tensor" or value.tensor.tensor_shape.dim:
        return None
    tensor = value.tensor
    if tensor.dtype not in (DT_FLOAT, DT_DOUBLE):
        return None
    kind = np.dtype("<f4" if tensor.dtype == DT_FLOAT else "<f8")
    if len(tensor.tensor_content) == kind.itemsize:
        return float(np.frombuffer(tensor.tensor_content, kind)[0])
    inner = tensor.float_val or tensor.double_val
    return float(inner[0]) if inner else None


def _append(collected: _Collected, fresh: _Collected) -> None:
    """Add a later file's content: from its first step on it takes the place of what came before."""
    for tag, points in fresh.points.items():
        before = collected.points.get(tag, [])
        first = min(step for step, _, _ in points)
        collected.points[tag] = [point for point in before if point[0] < first] + points
    collected.texts |= fresh.texts


def _arrays(points: list[tuple[int, float, float]]) -> Scalars:
    ordered = sorted(points, key=lambda point: point[0])  # stable: equal steps stay in the order of writing
    steps, times, values = (np.array(part, np.float64) for part in zip(*ordered, strict=True))
    return Scalars(steps, values, times)
