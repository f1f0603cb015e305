"""The TensorBoard mirror, read back with TensorBoard's own reader."""

import errno
import math
import os
import shutil

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as tensorboards_crc32c

from upswing.metrics import METRICS as TAGS
from upswing.run.records import METRICS, STEP, RecordWriter, cut_records, read_metrics
from upswing.run.tensorboard import TensorBoardMirror, crc32c


def record_at(step, value=1.0):
    """All metrics at `step`, some undefined."""
    values = {tag: value + i for i, tag in enumerate(TAGS)} | {STEP: step, "time/iterations": step // 10}
    undefined = {"train/std": None, "eval/mean_reward": value if step % 20 == 0 else None, "train/loss": math.nan}
    return values | undefined


def mirrored(folder):
    """{tag: [(step, value)]} as TensorBoard shows them."""
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def recorded(folder):
    """The same out of metrics.jsonl."""
    columns = read_metrics(folder)
    return {
        tag: [
            (int(step), np.float32(value)) for step, value in zip(columns[STEP], column, strict=True) if value == value
        ]
        for tag, column in columns.items()
        if not np.isnan(column).all()
    }


def write_both(folder, records, resumed_at=None):
    mirror, writer = TensorBoardMirror(folder, resumed_at), RecordWriter(folder / METRICS)
    for record in records:
        mirror.write(record)
        writer.write(record)
    mirror.close()
    writer.close()


def test_the_mirror_shows_exactly_the_record(tmp_path):
    write_both(tmp_path, [record_at(step, step / 3) for step in range(10, 110, 10)])
    shown = mirrored(tmp_path)
    assert shown == recorded(tmp_path)
    assert shown.keys() == TAGS.keys() - {"train/std", "train/loss"}
    assert [step for step, _ in shown["eval/mean_reward"]] == [20, 40, 60, 80, 100]


def test_a_tag_that_is_not_declared_is_not_shown(tmp_path):
    write_both(tmp_path, [{STEP: 1, "private/note": 3.0, "train/loss": 2.0}])
    assert mirrored(tmp_path).keys() == {STEP, "train/loss"}


def test_a_resumed_run_continues_without_a_step_twice(tmp_path):
    """In the mirror: killed at 50 with a checkpoint at 30."""
    write_both(tmp_path, [record_at(step, 1.0) for step in range(10, 60, 10)])
    cut_records(tmp_path / METRICS, 30)
    write_both(tmp_path, [record_at(step, 2.0) for step in range(40, 80, 10)], resumed_at=30)
    shown = mirrored(tmp_path)
    assert [step for step, _ in shown["train/approx_kl"]] == [10, 20, 30, 40, 50, 60, 70]
    assert shown == recorded(tmp_path)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2


def test_event_files_sort_in_the_order_they_were_made(tmp_path):
    paths = []
    for _ in range(12):  # all within one second
        before = set(tmp_path.iterdir())
        TensorBoardMirror(tmp_path).close()
        paths += set(tmp_path.iterdir()) - before
    assert sorted(paths) == paths


def test_the_settings_are_shown_as_text(tmp_path):
    mirror = TensorBoardMirror(tmp_path)
    mirror.write_settings({"env": "CartPole-v1", "name": "<script>|", "policy_kwargs": {"net_arch": [64]}})
    mirror.write_text("plan", "an *iteration*", step=5)
    mirror.close()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    assert reader.Tags()["tensors"] == ["hyperparameters", "plan"]
    assert reader.PluginTagToContent("text").keys() == {"hyperparameters", "plan"}
    text = reader.Tensors("hyperparameters")[0].tensor_proto.string_val[0].decode()
    assert "|env|CartPole-v1|" in text and "|policy_kwargs|{'net_arch': [64]}|" in text
    assert "<script>" not in text and "|name|&lt;script>\\||" in text


def test_a_corrupt_event_file_changes_no_report(tmp_path):
    """The record is the truth."""
    write_both(tmp_path, [record_at(step) for step in (10, 20, 30)])
    before = read_metrics(tmp_path)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    after = read_metrics(tmp_path)
    assert before.keys() == after.keys()
    for tag in before:
        np.testing.assert_array_equal(before[tag], after[tag])


def test_a_disk_that_refuses_warns_once_and_training_goes_on(tmp_path, monkeypatch):
    """For the mirror."""

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    warned = []
    mirror = TensorBoardMirror(tmp_path, warn=warned.append)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for step in (10, 20):
            mirror.write(record_at(step))
    mirror.write(record_at(30))
    mirror.close()
    mirror.close()
    assert len(warned) == 1 and "without TensorBoard" in warned[0] and "disk is full" in warned[0]
    assert [step for step, _ in mirrored(tmp_path)["train/approx_kl"]] == [10, 20, 30]


def test_a_folder_that_cannot_be_written_only_warns(tmp_path):
    warned = []
    folder = tmp_path / "gone"
    folder.mkdir()
    shutil.rmtree(folder)
    mirror = TensorBoardMirror(folder, warn=warned.append)
    mirror.write(record_at(10))
    mirror.close()
    assert len(warned) == 1


@pytest.mark.parametrize("length", [4, 5, 8, 100, 2047, 2048, 2049, 2050, 4096, 4097, 5000])
def test_the_checksum_is_tensorboards_own(length):
    data = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
    assert crc32c(data) == tensorboards_crc32c(data)


def test_the_checksum_of_a_published_example():
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
