"""A run with checkpoints whose content tells which one it is."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from upswing.config import TrainConfig
from upswing.run.checkpoint import save_checkpoint
from upswing.run.directory import create_run, write_config
from upswing.run.snapshot import Snapshot


def make_snapshot(mark: float) -> Snapshot:
    """A small snapshot of every kind of content, different for every `mark`."""
    return Snapshot(
        model={
            "policy.0.weight": np.full((3, 4), mark, np.float32),
            "log_std": np.full((), mark, np.float64),
            "normalizer.obs..mean": np.arange(4.0) + mark,
        },
        optimizer={"policy.0.weight.exp_avg": np.full((3, 4), -mark, np.float32), "step": np.array([int(mark)])},
        environment={"steps": np.arange(5, dtype=np.int64) + int(mark), "done": np.array([True, False])},
        state={"num_timesteps": int(mark), "generator": [2**100 + int(mark), None, "text"], "best": float("-inf")},
    )


def assert_same(got: Snapshot, expected: Snapshot) -> None:
    """Fail unless both snapshots are equal bit by bit."""
    for part in ("model", "optimizer", "environment"):
        ours, theirs = getattr(got, part), getattr(expected, part)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype and ours[name].shape == theirs[name].shape
            assert ours[name].tobytes() == theirs[name].tobytes(), f"{part} {name}"
    assert got.state == expected.state


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run without checkpoints, unlocked."""
    with create_run(tmp_path / "runs", "run", "CartPole-v1", 0) as directory:
        write_config(directory, TrainConfig())
    return directory.path


@pytest.fixture
def snapshot() -> Callable[[float], Snapshot]:
    """`make_snapshot`."""
    return make_snapshot


@pytest.fixture
def same() -> Callable[[Snapshot, Snapshot], None]:
    """`assert_same`."""
    return assert_same


@pytest.fixture
def saved(run: Path) -> Path:
    """A run with checkpoints at 10 (the best), 20 and 30."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)  # only time would be lost by waiting for the disk
        for step in (10, 20, 30):
            save_checkpoint(run, step, make_snapshot(step), {"step_says": step}, keep=3, best=step == 10)
    return run
