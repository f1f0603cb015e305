"""Checkpoints of a run: written so that a kill at any moment leaves the last complete one usable.

    checkpoints/<step>/model.safetensors        weights and normalisation statistics; a saved model by itself
                       optimizer.safetensors    Adam's moments
                       environment.safetensors  arrays of the environments and generators
                       state.json               counters, schedules, generators, episode statistics
                       manifest.json            checksums, sizes, schema, libraries, machine, and what the caller told
    checkpoints/latest, best, kept              text files that hold a step

A checkpoint is written to a hidden folder, file by file, the manifest last; each is flushed to the disk, then the
folder is renamed to its step, then `latest` moves. Old checkpoints are pruned at the very end. Whatever a kill leaves
behind is hidden (its name begins with a dot) and `sweep` clears it away.

No function here takes the run's lock: `save_checkpoint`, `sweep` and `drop_later` are for the process that holds it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from upswing.errors import StorageError
from upswing.run.disk import (
    Warn,
    json_bytes,
    parse_json,
    read_file,
    read_json,
    replace_file,
    storage_errors,
    sync_folder,
    write_file,
)
from upswing.run.snapshot import Snapshot
from upswing.run.tensors import FILE_LIMIT, SCHEMA, decode, decode_model, encode, encode_model, refuse_pickle
from upswing.run.versions import machine, versions

MODEL, OPTIMIZER, ENVIRONMENT, STATE = (
    "model.safetensors",
    "optimizer.safetensors",
    "environment.safetensors",
    "state.json",
)
PARTS = (MODEL, OPTIMIZER, ENVIRONMENT, STATE)
MANIFEST = "manifest.json"
_SAVING, _REPLACED, _DELETED = ".saving-", ".replaced-", ".deleted-"
_LEFTOVERS = (_SAVING, _REPLACED, _DELETED, ".latest.", ".best.", ".kept.")

Loaded = TypeVar("Loaded")
Which = str | int
"""latest, best, preferred (best if there is one, else latest), or a step."""


@dataclass(frozen=True)
class CheckpointInfo:
    """Where a snapshot came from and what is known about it."""

    path: Path
    step: int
    meta: dict[str, Any]  # what save_checkpoint was given
    versions: dict[str, Any]
    machine: dict[str, Any]
    warnings: list[str] = field(default_factory=list)  # a sentence for each damaged checkpoint that was passed over


class Damaged(StorageError):
    """A checkpoint's files are not what was written. Its message is a clause, which `first_intact` ends."""


def save_checkpoint(
    run: str | os.PathLike[str],
    step: int,
    snapshot: Snapshot,
    meta: dict[str, Any],
    keep: int,
    best: bool = False,
    kept: bool = False,
    do: Callable[[Callable[[], None]], None] = lambda write: write(),
) -> Path:
    """The folder of the checkpoint that holds `snapshot`, taken after `step` environment steps.

    `meta` is JSON that a reader should find beside the arrays: the config, the spaces, `threads`, scores. `keep` newest
    checkpoints stay, and those that the pointers `best` and `kept` name, which `best` and `kept` move here. `do` is
    given what waits for the disk, which nothing done to `snapshot` afterwards changes; by default it is done at once.
    Raises StorageError; older checkpoints are then as they were.
    """
    folder = _folder(run)
    parts = {
        MODEL: encode_model(snapshot.model, {**meta, "step": step}),
        OPTIMIZER: encode(snapshot.optimizer),
        ENVIRONMENT: encode(snapshot.environment),
        STATE: json_bytes(snapshot.state),
    }
    temporary, target = folder / f"{_SAVING}{step}", folder / str(step)

    def write() -> None:
        with storage_errors(f"Saving the checkpoint {target}"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            try:
                _write_parts(temporary, parts, step, meta)
                _move_in(temporary, target)
            except OSError:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            for name, moves in (("latest", True), ("best", best), ("kept", kept)):
                if moves:
                    _point(folder, name, step)
            _prune(folder, keep)

    do(write)
    return target


def load_checkpoint(source: str | os.PathLike[str], which: Which = "latest") -> tuple[Snapshot, CheckpointInfo]:
    """The snapshot in `source`, a run or one of its checkpoints, and where it came from.

    Of a run, `which` is taken. Where the latest is damaged, the last complete one is taken and the info says so. A
    part that is missing altogether, a damaged checkpoint that was asked for by name, a newer schema and links are
    refused. Raises StorageError.
    """
    warnings: list[str] = []
    snapshot, info = first_intact(find_checkpoints(source, which), _load, warnings.append)
    return snapshot, replace(info, warnings=warnings)


def first_intact(candidates: list[Path], load: Callable[[Path], Loaded], warn: Warn) -> Loaded:
    """What `load` makes of the first candidate that is not damaged; each that is passed over is warned of."""
    for path, following in zip(candidates, [*candidates[1:], None], strict=True):
        try:
            return load(path)
        except Damaged as damage:
            if following is None:
                raise StorageError(f"{damage}; choose another checkpoint, or start anew.") from None
            warn(f"{damage}; the checkpoint of step {following.name} is used instead.")
    raise AssertionError("there is always a candidate")


def find_checkpoints(source: str | os.PathLike[str], which: Which = "latest") -> list[Path]:
    """Folders to try, in this order, for checkpoint `which` of the run `source`; a checkpoint's folder gives itself."""
    root = Path(source).expanduser()
    if root.is_file():
        refuse_pickle(root)
        raise StorageError(f"{root} is a file: give a run's folder or one of its checkpoints.")
    if (root / MANIFEST).exists() or (root / MODEL).exists():
        return [root]
    if not root.is_dir():
        raise StorageError(f"{root} does not exist: give a run's folder or one of its checkpoints.")
    folder, steps = _folder(root), checkpoint_steps(root)
    if not steps:
        raise StorageError(f"{root} has no complete checkpoint: give a run that has saved one.")
    latest, best = pointed_step(root, "latest"), pointed_step(root, "best")
    if which in ("latest", "preferred"):
        pointed = [best, latest] if which == "preferred" else [latest]
        there = [step for step in pointed if step is not None and (folder / str(step)).is_dir()]
        return [folder / str(step) for step in dict.fromkeys([*there, *reversed(steps)])]
    step = best if which == "best" else which
    if str(step) not in map(str, steps):
        have = ", ".join(str(step) for step in steps)
        raise StorageError(f"{root} has no checkpoint {which}: choose latest, or a step out of {have}.")
    return [folder / str(step)]


def checkpoint_steps(run: str | os.PathLike[str]) -> list[int]:
    """Steps of the run's complete checkpoints, ascending; their checksums are not looked at."""
    folder = _folder(run)
    if not folder.is_dir():
        return []
    with storage_errors(f"Reading {folder}"):
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    return sorted(int(name) for name in names if _is_step(name) and (folder / name / MANIFEST).is_file())


def pointed_step(run: str | os.PathLike[str], name: str) -> int | None:
    """The step that the pointer `name`, latest or best, holds; None where it is missing or unreadable."""
    try:
        text = read_file(_folder(run) / name, 64).decode("ascii", "replace").strip()
    except StorageError:
        return None
    return int(text) if _is_step(text) else None


def sweep(run: str | os.PathLike[str]) -> None:
    """Clear away what killed saves left behind, and let `latest` point to the newest complete checkpoint."""
    folder = _folder(run)
    if not folder.is_dir():
        return
    with storage_errors(f"Clearing up {folder}"):
        for entry in sorted(entry for entry in folder.iterdir() if entry.name.startswith(_LEFTOVERS)):
            home = folder / entry.name.removeprefix(_REPLACED)
            if entry.name.startswith(_REPLACED) and not home.exists():
                os.rename(entry, home)  # killed between moving the old one away and the new one in
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        steps, latest = checkpoint_steps(run), pointed_step(run, "latest")
        if steps and (latest is None or latest < steps[-1] or not (folder / str(latest)).exists()):
            _point(folder, "latest", steps[-1])


def drop_later(run: str | os.PathLike[str], step: int) -> None:
    """Delete checkpoints beyond `step`, where a resumed run goes on; a pointer to one of them is moved or deleted."""
    folder, steps = _folder(run), checkpoint_steps(run)
    with storage_errors(f"Clearing up {folder}"):
        for later in sorted((each for each in steps if each > step), reverse=True):  # so that a kill leaves no gap
            _delete(folder, later)
        if steps and steps[0] <= step:
            _point(folder, "latest", max(each for each in steps if each <= step))
        for name in ("best", "kept"):
            if (pointed_step(run, name) or 0) > step:
                (folder / name).unlink()


def _folder(run: str | os.PathLike[str]) -> Path:
    """The run's folder of checkpoints; one that is a link elsewhere is refused."""
    folder = Path(run) / "checkpoints"
    if folder.is_symlink():
        raise StorageError(f"{folder} is a symbolic link, which is not followed: put the folder itself there.")
    return folder


def _write_parts(temporary: Path, parts: dict[str, bytes], step: int, meta: dict[str, Any]) -> None:
    temporary.mkdir()
    for name, data in parts.items():
        write_file(temporary / name, data)
    manifest = {
        "schema": SCHEMA,
        "step": step,
        "files": {name: {"sha256": _sha256(data), "size": len(data)} for name, data in parts.items()},
        "versions": versions(),
        "machine": machine(),
        "meta": meta,
    }
    write_file(temporary / MANIFEST, json_bytes(manifest | {"checksum": _checksum(manifest)}))
    sync_folder(temporary)


def _move_in(temporary: Path, target: Path) -> None:
    """Rename `temporary` to `target`. A folder that is there already cannot be replaced in one step: it moves away first."""
    replaced = target.with_name(f"{_REPLACED}{target.name}")
    if target.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(target, replaced)
    try:
        os.rename(temporary, target)
    except OSError:
        if replaced.exists():
            os.rename(replaced, target)
        raise
    sync_folder(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _point(folder: Path, name: str, step: int) -> None:
    replace_file(folder / name, f"{step}\n".encode())


def _prune(folder: Path, keep: int) -> None:
    best = pointed_step(folder.parent, "best")
    if best is None and os.path.lexists(folder / "best"):
        return  # unreadable for now: rather keep too many than lose the best
    steps, others = checkpoint_steps(folder.parent), [pointed_step(folder.parent, name) for name in ("latest", "kept")]
    for step in steps[: -max(keep, 1)]:
        if step not in (best, *others):
            _delete(folder, step)


def _delete(folder: Path, step: int) -> None:
    """Delete a checkpoint; the rename first, so that no half-deleted folder looks complete."""
    doomed = folder / f"{_DELETED}{step}"
    os.rename(folder / str(step), doomed)
    shutil.rmtree(doomed)


def read_part(path: Path, name: str) -> bytes:
    """The bytes of the file `name` of the checkpoint `path`, compared with its manifest. Raises StorageError."""
    return _verified(path / name, _read_manifest(path)["files"][name])


def _load(path: Path) -> tuple[Snapshot, CheckpointInfo]:
    manifest = _read_manifest(path)
    parts = {name: _verified(path / name, about) for name, about in manifest["files"].items()}
    state = parse_json(parts[STATE])
    if state is None:
        raise Damaged(f"{path / STATE} is damaged")
    snapshot = Snapshot(
        model=decode_model(parts[MODEL], path / MODEL)[0],
        optimizer=decode(parts[OPTIMIZER], path / OPTIMIZER)[0],
        environment=decode(parts[ENVIRONMENT], path / ENVIRONMENT)[0],
        state=state,
    )
    about = {name: manifest[name] for name in ("step", "meta", "versions", "machine")}
    return snapshot, CheckpointInfo(path=path, **about)


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose parts are all there, with values of the right types."""
    if path.is_symlink():
        raise StorageError(f"{path} is a symbolic link, which is not followed: put the folder itself there.")
    try:
        manifest = read_json(path / MANIFEST)
    except StorageError:
        raise Damaged(f"{path / MANIFEST} is damaged or missing") from None
    schema = manifest.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise StorageError(f"{path} was written by a newer Upswing (schema {schema}): upgrade Upswing.")
    if manifest.pop("checksum", None) != _checksum(manifest):
        raise Damaged(f"{path / MANIFEST} is damaged")
    for name in PARTS:
        if not os.path.lexists(path / name):
            raise StorageError(f"{path} lacks its {name.split('.')[0]} ({name}): use a complete copy of it.")
    kinds = {"schema": int, "step": int, "files": dict, "versions": dict, "machine": dict, "meta": dict}
    if any(not isinstance(manifest.get(name), kind) for name, kind in kinds.items()):
        raise Damaged(f"{path / MANIFEST} is damaged")
    if any(not isinstance(manifest["files"].get(name), dict) for name in PARTS):
        raise Damaged(f"{path / MANIFEST} is damaged: it does not list every part")
    return manifest | {"files": {name: manifest["files"][name] for name in PARTS}}


def _verified(path: Path, about: dict[str, Any]) -> bytes:
    data = read_file(path, FILE_LIMIT)
    if len(data) != about.get("size") or _sha256(data) != about.get("sha256"):
        raise Damaged(f"{path} is damaged: its checksum is not the one in {MANIFEST}")
    return data


def _is_step(text: str) -> bool:
    return text.isascii() and text.isdecimal() and text == str(int(text))


def _checksum(manifest: dict[str, Any]) -> str:
    return _sha256(json_bytes(manifest))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
