"""A save that is killed, or that the disk refuses, at any moment: the last complete checkpoint stays usable."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from upswing.errors import StorageError
from upswing.run.checkpoint import checkpoint_steps, load_checkpoint, pointed_step, save_checkpoint
from upswing.run.directory import open_run
from upswing.run.snapshot import Snapshot

HERE = Path(__file__).parent


def killed_runs(scenario: str, template: Path, out: Path) -> list[Path]:
    """A copy of `template` for each moment at which a save was killed."""
    command = [sys.executable, HERE / "killed_saves.py", scenario, template, out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 25, "fewer moments than a save has steps"
    return sorted(out.iterdir())


def marks(run: Path, which: str | int) -> set[float]:
    """The marks in all parts of one checkpoint: one only, if it is of one piece."""
    snapshot = load_checkpoint(run, which)[0]
    return {
        *np.unique(snapshot.model["policy.0.weight"]),
        *np.unique(-snapshot.optimizer["policy.0.weight.exp_avg"]),
        float(snapshot.environment["steps"][0]),
        float(snapshot.state["num_timesteps"]),
    }


@pytest.mark.parametrize("scenario", ["new", "again"])
def test_a_kill_at_any_moment_leaves_the_last_complete_checkpoint(saved, tmp_path, snapshot, scenario, monkeypatch):
    """Mid-write, after fsync, before a rename, during pruning; also of a step that exists already."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # here only time would be lost by waiting for the disk
    seen = set()
    for run in killed_runs(scenario, saved, tmp_path / "killed"):
        if scenario != "again":  # between its two renames, only opening the run brings the old one back
            assert marks(run, "latest") in ({30.0}, {40.0}), run.name
        for step in checkpoint_steps(run):  # what looks complete is complete
            assert len(marks(run, step)) == 1, run.name
        with open_run(run):
            latest = marks(run, "latest")
            assert latest in ({30.0}, {40.0}), run.name
            assert marks(run, "best") in ({10.0}, latest), run.name
            left = [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]
            assert left == [], run.name
            save_checkpoint(run, 50, snapshot(50), {}, keep=1)
            assert marks(run, "latest") == {50.0}
        seen |= latest
    assert seen == {30.0, 40.0}


def test_the_disk_is_waited_for_in_the_right_order(run, snapshot, monkeypatch):
    """Every part, then the manifest, then the folder, then the rename, then the parent, then the pointer."""
    done: list[str] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def place(fd: int) -> str:
        return str(Path(os.readlink(f"/proc/self/fd/{fd}")).relative_to(run / "checkpoints"))

    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(f"fsync {place(fd)}"), fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda a, b: (done.append(f"{Path(a).name} -> {Path(b).name}"), rename(a, b)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(f"-> {Path(b).name}"), replace(a, b)))
    save_checkpoint(run, 40, snapshot(40), {}, keep=1)
    parts = ("model.safetensors", "optimizer.safetensors", "environment.safetensors", "state.json", "manifest.json")
    assert done == [
        *(f"fsync .saving-40/{part}" for part in parts),
        "fsync .saving-40",
        ".saving-40 -> 40",
        "fsync .",
        f"fsync .latest.{os.getpid()}",
        "-> latest",
        "fsync .",
    ]


REFUSALS = [
    (errno.ENOSPC, "the disk is full: free some space"),
    (errno.EIO, "input/output error: check the disk"),
    (errno.EROFS, "the disk is read-only: choose another folder"),
]


def refuse_at(moment: int, error: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the `moment`-th call that reaches the disk fail once; returns the names of the calls made so far."""
    calls: list[str] = []

    def replace(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **more: object) -> object:
            calls.append(name)
            if len(calls) == moment:
                raise OSError(error, os.strerror(error))
            return real(*args, **more)

        monkeypatch.setattr(os, name, call)

    for name in ("open", "fsync", "mkdir", "rename", "replace"):
        replace(name)
    return calls


def refusal(run: Path, snapshot: Snapshot) -> StorageError | None:
    """What saving a checkpoint at 40 raises."""
    try:
        save_checkpoint(run, 40, snapshot, {}, keep=9)
    except StorageError as error:
        return error
    return None


@pytest.mark.parametrize(("number", "sentence"), REFUSALS)
def test_a_disk_that_refuses_at_any_moment_leaves_old_checkpoints_intact(
    saved, snapshot, same, monkeypatch, number, sentence
):
    """A named error with its own exit code, and nothing old is touched."""
    n_refusals = 0
    for moment in range(1, 100):
        with monkeypatch.context() as disk:
            calls = refuse_at(moment, number, disk)
            error = refusal(saved, snapshot(40))
        if error is not None:
            n_refusals += 1
            assert sentence in str(error) and str(saved) in str(error) and error.exit_code == 4
        if len(calls) < moment:
            break
        for step in (10, 20, 30):
            same(load_checkpoint(saved, step)[0], snapshot(step))
        latest = pointed_step(saved, "latest")
        assert latest in (30, 40)
        same(load_checkpoint(saved)[0], snapshot(latest))
    assert n_refusals >= 15
    same(load_checkpoint(saved)[0], snapshot(40))
