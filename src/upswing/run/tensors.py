"""Arrays as safetensors bytes and back. Nothing that is read here is executed, unpickled or trusted for its sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from upswing.errors import StorageError
from upswing.run.disk import json_bytes, parse_json
from upswing.run.snapshot import Arrays

SCHEMA = 1
FILE_LIMIT = 2 * 2**30  # bytes of one file
HEADER_LIMIT = 16 * 2**20  # bytes of its JSON header
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".zip", ".joblib", ".ckpt", ".bin", ".npz", ".npy")
_PICKLE_STARTS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # zip; pickle protocols 2 to 5
_FORMAT = "upswing"  # the key of our metadata in the header


def encode(arrays: Arrays, metadata: dict[str, Any] | None = None) -> bytes:
    """Safetensors bytes of `arrays`, with `metadata` as JSON in the header. Raises StorageError."""
    dense = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = None if metadata is None else {_FORMAT: json_bytes(metadata).decode()}
    try:
        return save(dense, header)
    except SafetensorError as error:
        odd = [f"{name} ({array.dtype})" for name, array in dense.items() if array.dtype.kind not in "biuf"]
        raise StorageError(f"These arrays cannot be saved: {', '.join(odd) or error}; use numbers.") from None


def decode(data: bytes, source: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and our metadata ({} where there is none) in safetensors bytes read from `source`. Raises StorageError."""
    header = _header(data, source)
    try:
        arrays = load(data)
    except (SafetensorError, KeyError, ValueError):
        raise _unreadable(source) from None
    notes = header.get("__metadata__", {})  # text by text, or the library would have refused it
    return arrays, parse_json(notes.get(_FORMAT, "").encode()) or {}


def encode_model(model: Arrays, metadata: dict[str, Any]) -> bytes:
    """Safetensors bytes of a model that say what it is: `metadata`, and which arrays belong to it. Raises StorageError."""
    return encode(model, {**metadata, "schema": SCHEMA, "tensors": sorted(model)})


def decode_model(data: bytes, source: Path) -> tuple[Arrays, dict[str, Any]]:
    """The model's arrays and metadata in bytes read from `source`. Raises StorageError, naming an array that is missing."""
    arrays, metadata = decode(data, source)
    schema, listed = metadata.pop("schema", SCHEMA), metadata.pop("tensors", None)
    if isinstance(schema, int) and schema > SCHEMA:
        raise StorageError(f"{source} was written by a newer Upswing (schema {schema}): upgrade Upswing.")
    missing = [str(name) for name in listed if name not in arrays] if isinstance(listed, list) else []
    if missing:
        part = "normaliser" if missing[0].startswith("normalizer.") else "weights"
        raise StorageError(f"{source} lacks a part of its {part} ({missing[0]}): use a complete copy of it.")
    return arrays, metadata


def refuse_pickle(path: Path) -> None:
    """Raise StorageError where the name of `path` is one of a format that is read by unpickling."""
    if path.suffix.lower() in _PICKLES:
        raise _never_unpickled(path)


def _header(data: bytes, source: Path) -> dict[str, Any]:
    """The JSON header, after its claims about its own size have been checked."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise _never_unpickled(source) if data.startswith(_PICKLE_STARTS) else _unreadable(source)
    if size > HEADER_LIMIT:
        raise StorageError(f"{source} has a header of {size} bytes, more than any model needs: it is not used.")
    header = parse_json(data[8 : 8 + size])
    if header is None:
        raise _unreadable(source)
    return header


def _unreadable(path: Path) -> StorageError:
    return StorageError(f"{path} is damaged, or not a safetensors file: use another one.")


def _never_unpickled(path: Path) -> StorageError:
    return StorageError(
        f"{path} may hold a pickle, which can run any program when it is opened, so it is not: "
        f"give a .safetensors file, a run folder or one of its checkpoints."
    )
