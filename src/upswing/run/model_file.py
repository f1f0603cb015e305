"""A trained model in one safetensors file that says what it is: weights, normalisation statistics, config and spaces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from upswing.errors import StorageError
from upswing.run.checkpoint import MANIFEST, MODEL, Which, find_checkpoints, first_intact, read_part
from upswing.run.disk import Warn, read_file, replace_file, storage_errors, warn_on_stderr
from upswing.run.snapshot import Arrays
from upswing.run.tensors import FILE_LIMIT, decode_model, encode_model, refuse_pickle

SUFFIX = ".safetensors"


def save_model(path: str | os.PathLike[str], model: Arrays, metadata: dict[str, Any]) -> Path:
    """The file that now holds `model`: `path`, with .safetensors added where it has another ending.

    `metadata` is JSON that a reader needs to rebuild the policy: the config and the spaces. An older file of that name
    is replaced in one step. Raises StorageError.
    """
    target = _with_suffix(Path(path).expanduser())
    with storage_errors(f"Saving the model {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, encode_model(model, metadata))
    return target


def load_model(
    source: str | os.PathLike[str], which: Which = "preferred", warn: Warn = warn_on_stderr
) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the metadata of a saved model, of a run's checkpoint `which`, or of one checkpoint.

    The metadata is {} for a safetensors file of other origin. Formats that need unpickling are refused, never opened.
    Raises StorageError.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return first_intact(find_checkpoints(path, which), _model_of, warn)
    if not path.exists():
        path = _with_suffix(path)
    if not path.exists():
        raise StorageError(f"{source} does not exist: give a run folder, one of its checkpoints, or a {SUFFIX} file.")
    if path.name == MODEL and (path.parent / MANIFEST).exists():
        return first_intact([path.parent], _model_of, warn)
    refuse_pickle(path)
    return decode_model(read_file(path, FILE_LIMIT), path)


def _model_of(checkpoint: Path) -> tuple[Arrays, dict[str, Any]]:
    return decode_model(read_part(checkpoint, MODEL), checkpoint / MODEL)


def _with_suffix(path: Path) -> Path:
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
