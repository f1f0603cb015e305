"""Checkpoints: what is saved comes back, damage is noticed, and nothing hostile is believed."""

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from upswing.errors import StorageError
from upswing.run import checkpoint
from upswing.run.checkpoint import (
    MANIFEST,
    PARTS,
    checkpoint_steps,
    drop_later,
    load_checkpoint,
    pointed_step,
    save_checkpoint,
    sweep,
)
from upswing.run.snapshot import Snapshot


def test_what_is_saved_comes_back_bit_by_bit(run, snapshot, same):
    where = save_checkpoint(run, 7, snapshot(7), {"config": {"seed": 3}, "threads": 2}, keep=1)
    got, info = load_checkpoint(run)
    same(got, snapshot(7))
    assert where == info.path == run / "checkpoints" / "7"
    assert (info.step, info.meta, info.warnings) == (7, {"config": {"seed": 3}, "threads": 2}, [])
    assert info.versions["numpy"] == np.__version__ and info.machine["cpu"]
    assert sorted(path.name for path in where.iterdir()) == sorted([MANIFEST, *PARTS])
    assert all(array.flags.writeable for array in got.model.values())


def test_unusual_arrays_survive(run, same):
    odd = {
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "strided": np.arange(10, dtype=np.int32)[::3],
        "empty": np.zeros((0, 4), np.float32),
        "big_endian": np.arange(3, dtype=">f4"),
        "bytes": np.arange(4, dtype=np.uint8),
        "nan": np.array([np.nan, np.inf, -0.0]),
        "状态": np.array([1.0]),
    }
    save_checkpoint(run, 1, Snapshot(model=odd, optimizer={}), {}, keep=1)
    got, _ = load_checkpoint(run)
    for name, array in odd.items():
        np.testing.assert_array_equal(got.model[name], array)
    assert got.optimizer == {} and got.environment == {}


def test_an_array_that_holds_no_numbers_is_named(run):
    with pytest.raises(StorageError, match=r"names \(object\)"):
        save_checkpoint(run, 1, Snapshot(model={"names": np.array([object()])}, optimizer={}), {}, keep=1)
    assert checkpoint_steps(run) == []


def test_numpy_values_in_state_and_meta_become_plain(run):
    state = {"count": np.int64(3), "mean": np.float32(0.5), "row": np.arange(2)}
    save_checkpoint(run, 1, Snapshot({}, {}, {}, state), {"threads": np.int32(1)}, keep=1)
    got, info = load_checkpoint(run)
    assert got.state == {"count": 3, "mean": 0.5, "row": [0, 1]} and info.meta == {"threads": 1}


def test_which_one_is_loaded(saved, snapshot, same):
    for which, step in (("latest", 30), ("best", 10), ("preferred", 10), (20, 20), ("20", 20)):
        got, info = load_checkpoint(saved, which)
        assert info.step == step == info.meta["step_says"]
        same(got, snapshot(step))
    assert load_checkpoint(saved / "checkpoints" / "20")[1].step == 20


def test_a_tilde_is_the_home_folder(saved, monkeypatch):
    monkeypatch.setenv("HOME", str(saved.parent))
    assert load_checkpoint("~/run")[1].step == 30


def test_preferred_is_latest_where_nothing_is_best(run, snapshot):
    save_checkpoint(run, 5, snapshot(5), {}, keep=1)
    assert load_checkpoint(run, "preferred")[1].step == 5
    with pytest.raises(StorageError, match="no checkpoint best: choose latest, or a step out of 5"):
        load_checkpoint(run, "best")


def test_asking_for_what_is_not_there(saved, run, tmp_path):
    with pytest.raises(StorageError, match=r"no checkpoint 25: .* 10, 20, 30"):
        load_checkpoint(saved, 25)
    with pytest.raises(StorageError, match="does not exist"):
        load_checkpoint(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="no complete checkpoint"):
        load_checkpoint(tmp_path / "empty")
    with pytest.raises(StorageError, match="is a file"):
        load_checkpoint(saved / "config.json")


def test_pruning_keeps_the_newest_and_the_best(run, snapshot):
    for step in range(1, 8):
        save_checkpoint(run, step, snapshot(step), {}, keep=2, best=step == 3)
    assert checkpoint_steps(run) == [3, 6, 7]
    save_checkpoint(run, 8, snapshot(8), {}, keep=2, best=True)
    assert checkpoint_steps(run) == [7, 8]
    assert pointed_step(run, "best") == pointed_step(run, "latest") == 8


def test_an_unreadable_best_pointer_prunes_nothing(saved, snapshot):
    (saved / "checkpoints" / "best").write_bytes(b"\xff\x00")
    save_checkpoint(saved, 40, snapshot(40), {}, keep=1)
    assert checkpoint_steps(saved) == [10, 20, 30, 40]


def test_saving_a_step_again_replaces_it(saved, snapshot, same):
    save_checkpoint(saved, 30, snapshot(31), {}, keep=3, best=True)
    got, info = load_checkpoint(saved)
    same(got, snapshot(31))
    assert info.step == 30 and pointed_step(saved, "best") == 30
    assert not [path for path in (saved / "checkpoints").iterdir() if path.name.startswith(".")]


def test_weights_that_change_while_the_disk_is_slow_do_not_leak_in(run, snapshot, same, monkeypatch):
    """What is saved is the moment of the call."""
    live, slow, entered, go_on = snapshot(1), os.fsync, threading.Event(), threading.Event()

    def fsync(fd: int) -> None:
        entered.set()
        assert go_on.wait(10)
        slow(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    saving = threading.Thread(target=save_checkpoint, args=(run, 1, live, {}, 1))
    saving.start()
    assert entered.wait(10)
    assert pointed_step(run, "latest") is None and checkpoint_steps(run) == []
    for part in (live.model, live.optimizer, live.environment):
        for array in part.values():
            array[...] = 0
    live.state["num_timesteps"] = -1
    go_on.set()
    saving.join()
    same(load_checkpoint(run)[0], snapshot(1))


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_zero])
@pytest.mark.parametrize("name", [*PARTS, MANIFEST])
def test_a_damaged_latest_falls_back_with_a_warning(saved, snapshot, same, damage, name):
    """In every file."""
    damage(saved / "checkpoints" / "30" / name)
    got, info = load_checkpoint(saved)
    same(got, snapshot(20))
    assert info.step == 20
    assert len(info.warnings) == 1 and name in info.warnings[0] and "step 20 is used instead" in info.warnings[0]
    with pytest.raises(StorageError, match="damaged"):
        load_checkpoint(saved, 30)


def test_every_single_flipped_bit_of_the_manifest_is_noticed(run, snapshot):
    save_checkpoint(run, 1, snapshot(1), {}, keep=1)
    path = run / "checkpoints" / "1" / MANIFEST
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with pytest.raises(StorageError):
            load_checkpoint(run)


def test_several_damaged_ones_in_a_row(saved, snapshot, same):
    for step in (20, 30):
        damage_flip(saved / "checkpoints" / str(step) / "optimizer.safetensors")
    got, info = load_checkpoint(saved)
    same(got, snapshot(10))
    assert len(info.warnings) == 2
    damage_flip(saved / "checkpoints" / "10" / "state.json")
    with pytest.raises(StorageError, match=r"10/state.json is damaged.*choose another checkpoint, or start anew"):
        load_checkpoint(saved)


def test_a_latest_without_its_manifest_falls_back_with_a_warning(saved):
    (saved / "checkpoints" / "30" / MANIFEST).unlink()
    info = load_checkpoint(saved)[1]
    assert info.step == 20 and "manifest.json is damaged or missing" in info.warnings[0]


@pytest.mark.parametrize("name", PARTS)
def test_a_missing_part_is_refused_and_named(saved, name):
    """An incomplete copy is not silently replaced by an older checkpoint."""
    (saved / "checkpoints" / "30" / name).unlink()
    with pytest.raises(StorageError, match=f"lacks its {name.split('.')[0]}"):
        load_checkpoint(saved)


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """A self-consistent manifest for whatever the folder's files now hold."""
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["checksum"]
    for name in PARTS:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"sha256": checkpoint._sha256(data), "size": len(data)}
    manifest |= changes
    (folder / MANIFEST).write_text(json.dumps(manifest | {"checksum": checkpoint._checksum(manifest)}))


def test_a_model_without_its_normaliser_is_refused_and_named(run, snapshot):
    """With checksums that are right."""
    save_checkpoint(run, 1, snapshot(1), {}, keep=1)
    folder = run / "checkpoints" / "1"
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["another"] = header.pop("normalizer.obs..mean")
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    rewrite_manifest(folder)
    with pytest.raises(StorageError, match=r"lacks a part of its normaliser \(normalizer.obs..mean\)"):
        load_checkpoint(run)


def test_a_newer_schema_is_refused(saved):
    rewrite_manifest(saved / "checkpoints" / "30", schema=2)
    with pytest.raises(StorageError, match=r"newer Upswing \(schema 2\): upgrade"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "changes", [{"step": "many"}, {"files": []}, {"files": {}}, {"meta": None}, {"schema": None}, {"versions": 1}]
)
def test_a_manifest_with_impossible_values_is_damage(saved, changes):
    rewrite_manifest(saved / "checkpoints" / "30", **changes)
    assert load_checkpoint(saved)[1].step == 20


def test_a_state_nested_without_end_is_damage_not_a_crash(saved):
    folder = saved / "checkpoints" / "30"
    (folder / "state.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    rewrite_manifest(folder)
    assert load_checkpoint(saved)[1].step == 20


@pytest.mark.parametrize("name", [*PARTS, MANIFEST])
def test_links_inside_a_checkpoint_are_refused(saved, tmp_path, name):
    """Even a link to the right content."""
    file = saved / "checkpoints" / "30" / name
    shutil.move(file, tmp_path / "outside")
    file.symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match=r"symbolic link|damaged"):
        load_checkpoint(saved, 30)


def test_linked_folders_are_refused(saved, snapshot, tmp_path):
    folder = saved / "checkpoints"
    (folder / "40").symlink_to(folder / "30")
    assert checkpoint_steps(saved) == [10, 20, 30]
    with pytest.raises(StorageError, match="symbolic link"):
        load_checkpoint(folder / "40")
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    for use in (load_checkpoint, sweep, lambda run: save_checkpoint(run, 50, snapshot(1), {}, keep=1)):
        with pytest.raises(StorageError, match="symbolic link"):
            use(saved)
    assert not (tmp_path / "elsewhere" / "50").exists()


@pytest.mark.parametrize("text", ["../../../etc", "/etc", "-1", "010", "٣٠", "30\n20", "", "9" * 63])
def test_a_pointer_that_is_no_step_is_ignored(saved, text):
    """A pointer is a number or nothing."""
    (saved / "checkpoints" / "latest").write_text(text)
    assert load_checkpoint(saved)[1].step == 30


def test_a_named_pipe_does_not_hang_the_loader(saved):
    path = saved / "checkpoints" / "30" / "state.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StorageError, match="not an ordinary file"):
        load_checkpoint(saved)


def test_a_file_beyond_the_size_limit_is_not_read(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "FILE_LIMIT", 10)
    with pytest.raises(StorageError, match="larger than"):
        load_checkpoint(saved)


def test_sweeping_clears_leftovers_and_moves_latest_on(saved):
    folder = saved / "checkpoints"
    shutil.copytree(folder / "30", folder / ".saving-40")
    shutil.copytree(folder / "10", folder / ".deleted-5")
    (folder / ".latest.123").write_text("4")
    (folder / "latest").write_text("20\n")  # killed between the rename of 30 and the pointer
    assert load_checkpoint(saved)[1].step == 20
    sweep(saved)
    assert sorted(path.name for path in folder.iterdir()) == ["10", "20", "30", "best", "latest"]
    assert load_checkpoint(saved)[1].step == 30


def test_sweeping_puts_a_checkpoint_back_that_was_about_to_be_replaced(saved):
    folder = saved / "checkpoints"
    (folder / "30").rename(folder / ".replaced-30")
    sweep(saved)
    info = load_checkpoint(saved)[1]
    assert info.step == 30 and info.warnings == []


def test_sweeping_leaves_other_peoples_files_alone(saved):
    (saved / "checkpoints" / ".keep").write_text("mine")
    sweep(saved)
    assert (saved / "checkpoints" / ".keep").exists()


def test_dropping_what_comes_later(saved):
    drop_later(saved, 20)
    assert checkpoint_steps(saved) == [10, 20] and pointed_step(saved, "latest") == 20
    assert pointed_step(saved, "best") == 10
    drop_later(saved, 9)
    assert checkpoint_steps(saved) == [] and pointed_step(saved, "best") is None
