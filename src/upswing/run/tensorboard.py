"""A mirror of the record for TensorBoard: the same tags, the same steps. Needs neither torch nor TensorFlow.

An event file is a sequence of length, checksum, message, checksum (TensorFlow's TFRecord format); the messages are
TensorBoard's own protocol buffers. One message holds all values of an iteration.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

from upswing.metrics import METRICS
from upswing.run.disk import AppendFile, Warn, describe, warn_on_stderr
from upswing.run.records import STEP

_BLOCK = 2048  # bytes
_counter = itertools.count()


class TensorBoardMirror:
    """Writes one event file into a run's folder. A disk that refuses is warned of once, and training goes on.

    `resumed_at` is the step that a resumed run goes on from: TensorBoard then hides what older files say beyond it.
    """

    def __init__(self, run: str | os.PathLike[str], resumed_at: int | None = None, warn: Warn = warn_on_stderr):
        path = _next_file(Path(run))
        self._file: AppendFile | None = None
        try:
            self._file = AppendFile(path, warn, "TensorBoard")
        except OSError as error:
            warn(f"{path} cannot be written, and training goes on without TensorBoard: {describe(error)}")
        self._add(Event(file_version="brain.Event:2", source_metadata=SourceMetadata(writer="upswing")))
        if resumed_at is not None:
            self._add(Event(step=resumed_at + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, record: Mapping[str, Any]) -> None:
        """Add the finite numbers of `record` whose tags metrics.py declares, at its time/total_timesteps."""
        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in record.items()
            if tag in METRICS and value is not None and math.isfinite(value)
        ]
        self._add(Event(step=record[STEP], summary=Summary(value=values)))

    def write_text(self, tag: str, text: str, step: int = 0) -> None:
        """Add `text` (Markdown) under `tag` on TensorBoard's page of texts."""
        tensor = TensorProto(
            dtype=DT_STRING,
            string_val=[text.encode()],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        self._add(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=tensor)])))

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Add a run's hyperparameters as a table."""
        rows = [f"|{name}|{_cell(value)}|" for name, value in settings.items()]
        self.write_text("hyperparameters", "\n".join(["|setting|value|", "|-|-|", *rows]))

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._file is not None:
            self._file.close()

    def _add(self, event: Event) -> None:
        if self._file is not None:
            event.wall_time = time.time()
            message = event.SerializeToString()
            length = len(message).to_bytes(8, "little")
            self._file.append(length + _checksum(length) + message + _checksum(message))


def _next_file(folder: Path) -> Path:
    """A new event file's path. TensorBoard reads files in the order of their names, which begin with a time."""
    stamps = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*")]
    latest = max((int(stamp) for stamp in stamps if stamp.isdecimal()), default=0)
    stamp = max(int(time.time()), latest + 1)
    return folder / f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}.{next(_counter)}"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


@functools.cache
def _crc_table() -> np.ndarray:
    """What a byte adds to the checksum: uint32 [bytes that follow it × 256 + its value], for a block of _BLOCK bytes."""
    table = np.empty((_BLOCK, 256), np.uint32)
    table[0] = np.arange(256)
    for _ in range(8):
        table[0] = np.where(table[0] & 1, (table[0] >> 1) ^ np.uint32(0x82F63B78), table[0] >> 1)
    for row in range(1, _BLOCK):
        table[row] = table[0][table[row - 1] & 0xFF] ^ (table[row - 1] >> 8)
    return table.ravel()


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli, RFC 3720 appendix B.4) of at least 4 bytes.

    The checksum is linear: it is the exclusive or of what each byte adds, which depends only on the byte's value and
    on how many follow. So NumPy looks all of them up at once, some 30 times faster than a loop over bytes.
    """
    n_blocks = -(-len(data) // _BLOCK)
    values = np.frombuffer(data, np.uint8)
    register = 0xFFFFFFFF
    for i in range(n_blocks):  # of nearly equal sizes, so that none is shorter than the register
        block = values[len(data) * i // n_blocks : len(data) * (i + 1) // n_blocks].astype(np.intp)
        block[:4] ^= np.frombuffer(register.to_bytes(4, "little"), np.uint8)
        at = np.arange(len(block) - 1, -1, -1) * 256 + block
        register = int(np.bitwise_xor.reduce(_crc_table()[at]))
    return register ^ 0xFFFFFFFF


def _checksum(data: bytes) -> bytes:
    """The masked checksum that stands beside `data` in an event file."""
    crc = crc32c(data)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")
