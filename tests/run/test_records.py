"""Records: exact, readable at any moment, never with a step twice or backwards, and never in the way of training."""

import errno
import json
import math
import os

import numpy as np
import pytest

from upswing.errors import StorageError
from upswing.metrics import METRICS as TAGS
from upswing.run import disk
from upswing.run.records import METRICS, STEP, RecordWriter, cut_records, read_metrics, read_records


def write(path, *records):
    writer = RecordWriter(path)
    writer.write(*records)
    writer.close()


def test_records_come_back_exactly(tmp_path):
    path = tmp_path / METRICS
    records = [{STEP: i, "train/loss": 0.1 * i, "train/std": None, "nested": {"a": [1, "x"]}} for i in range(5)]
    write(path, *records)
    assert read_records(path) == records


def test_every_record_can_be_read_as_soon_as_it_is_written(tmp_path):
    writer = RecordWriter(tmp_path / METRICS)
    for i in range(3):
        writer.write({STEP: i})
        assert len(read_records(tmp_path / METRICS)) == i + 1
    writer.close()
    writer.close()


def test_non_finite_and_numpy_values_are_written_as_json_has_them(tmp_path):
    path = tmp_path / METRICS
    record = {
        "nan": math.nan,
        "inf": -math.inf,
        "float32": np.float32(0.5),
        "nan32": np.float32("nan"),
        "int": np.int64(7),
        "bool": np.bool_(True),
        "row": np.array([1.0, math.inf]),
        "deep": {"x": (math.nan, 2)},
    }
    write(path, record)
    text = path.read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == {
        "nan": None,
        "inf": None,
        "float32": 0.5,
        "nan32": None,
        "int": 7,
        "bool": True,
        "row": [1.0, None],
        "deep": {"x": [None, 2]},
    }


def test_columns_have_nan_where_nothing_was_measured(tmp_path):
    write(
        tmp_path / METRICS,
        {STEP: 10, "train/loss": 1.5, "rollout/ep_rew_mean": None},
        {STEP: 20, "train/loss": math.nan, "eval/mean_reward": 3},
        {STEP: 30, "train/loss": 0.5, "eval/mean_reward": 4},
    )
    columns = read_metrics(tmp_path)
    assert all(column.dtype == np.float64 and column.shape == (3,) for column in columns.values())
    np.testing.assert_array_equal(columns[STEP], [10, 20, 30])
    np.testing.assert_array_equal(columns["train/loss"], [1.5, np.nan, 0.5])
    np.testing.assert_array_equal(columns["eval/mean_reward"], [np.nan, 3, 4])
    assert "rollout/ep_rew_mean" not in columns
    assert read_metrics(tmp_path / METRICS).keys() == columns.keys()


def test_a_later_line_of_the_same_step_adds_to_its_row(tmp_path):
    write(tmp_path / METRICS, {STEP: 10, "a": 1, "b": 2}, {STEP: 10, "b": 3, "a": None}, {STEP: 20, "a": 4})
    columns = read_metrics(tmp_path)
    np.testing.assert_array_equal(columns[STEP], [10, 20])
    np.testing.assert_array_equal(columns["a"], [1, 4])
    np.testing.assert_array_equal(columns["b"], [3, np.nan])


def test_a_log_that_goes_back_is_read_as_the_later_lines_have_it(tmp_path):
    """For a log that was not cut."""
    write(tmp_path / METRICS, *({STEP: s, "a": s} for s in (10, 20, 30, 40)), {STEP: 30, "a": -3}, {STEP: 35, "a": -4})
    columns = read_metrics(tmp_path)
    np.testing.assert_array_equal(columns[STEP], [10, 20, 30, 35])
    np.testing.assert_array_equal(columns["a"], [10, 20, -3, -4])


def test_no_records_yet(tmp_path):
    assert read_metrics(tmp_path) == {}
    assert read_records(tmp_path / METRICS) == []
    with pytest.raises(StorageError, match="does not exist"):
        read_metrics(tmp_path / "nowhere")


def test_a_torn_last_line_is_ignored_and_cut_off_at_every_length(tmp_path):
    path = tmp_path / METRICS
    write(path, *({STEP: i, "train/loss": i / 3} for i in range(4)))
    data = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for length in range(len(data) + 1):
        whole = sum(end <= length for end in ends)
        path.write_bytes(data[:length])
        assert [r[STEP] for r in read_records(path)] == list(range(whole))
        write(path, {STEP: 99})
        assert path.read_bytes() == data[: ([0, *ends])[whole]] + b'{"time/total_timesteps":99}\n'


def test_a_torn_line_longer_than_one_read_is_cut_off(tmp_path):
    path = tmp_path / METRICS
    path.write_bytes(b'{"a":1}\n{"b":"' + b"x" * 200_000)
    cut_records(path)
    assert path.read_bytes() == b'{"a":1}\n'


@pytest.mark.parametrize(
    "line", [b"\x00" * 40, b"{not json}", b"[1, 2]", b"\xff\xfe", b"7", b"", b'{"a":' * 50_000, b"9" * 5000]
)
def test_a_damaged_line_in_the_middle_costs_only_itself(tmp_path, line):
    path = tmp_path / METRICS
    path.write_bytes(b'{"time/total_timesteps":1}\n' + line + b'\n{"time/total_timesteps":2}\n')
    assert [record[STEP] for record in read_records(path)] == [1, 2]
    np.testing.assert_array_equal(read_metrics(path)[STEP], [1, 2])
    cut_records(path, 1)
    assert [record[STEP] for record in read_records(path)] == [1]


def test_foreign_nan_is_read_as_missing(tmp_path):
    (tmp_path / METRICS).write_text('{"time/total_timesteps":1,"a":NaN,"b":Infinity,"c":"text"}\n')
    assert read_records(tmp_path / METRICS)[0]["a"] is None
    columns = read_metrics(tmp_path)
    assert "a" not in columns and np.isnan(columns["c"]).all()


def test_cutting_leaves_no_step_twice_or_backwards(tmp_path):
    """A run killed at 40 and resumed from 20 tells one story."""
    path = tmp_path / METRICS
    write(path, *({STEP: step, "a": 1} for step in (10, 20, 30, 40)))
    with path.open("ab") as file:
        file.write(b'{"time/total_tim')
    cut_records(path, 20)
    write(path, *({STEP: step, "a": 2} for step in (30, 40)))
    steps = [record[STEP] for record in read_records(path)]
    assert steps == [10, 20, 30, 40]
    assert [record["a"] for record in read_records(path)] == [1, 1, 2, 2]


def test_episodes_and_findings_are_cut_by_their_own_key(tmp_path):
    path = tmp_path / "episodes.jsonl"
    write(path, {"no": "step"}, *({"total_timesteps": step, "return": 1.0} for step in (10, 10, 20)))
    cut_records(path, 10)
    assert [record.get("total_timesteps") for record in read_records(path)] == [None, 10, 10]
    cut_records(tmp_path / "findings.jsonl", 10)
    assert not (tmp_path / "findings.jsonl").exists()


class FullDisk:
    """Stands for os.write: takes `room` bytes, refuses until `mended`, then takes all."""

    def __init__(self, room):
        self.room, self.mended, self.real = room, False, os.write

    def __call__(self, fd, data):
        if self.mended:
            return self.real(fd, data)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self.real(fd, bytes(data)[: self.room])
        self.room -= taken
        return taken


def test_a_full_disk_warns_once_and_catches_up_when_there_is_room(tmp_path, monkeypatch):
    """Training survives, and nothing is torn or lost."""
    path, warned = tmp_path / METRICS, []
    writer = RecordWriter(path, warned.append)
    records = [{STEP: i, "train/loss": i / 7} for i in range(20)]
    disk_full = FullDisk(room=75)  # the third record is cut in the middle
    monkeypatch.setattr(os, "write", disk_full)
    for record in records[:10]:
        writer.write(record)
    writer.sync()
    assert len(warned) == 1 and "the disk is full" in warned[0] and "training goes on" in warned[0]
    assert read_records(path) == records[: path.read_bytes().count(b"\n")]
    disk_full.mended = True
    writer.write(*records[10:])
    writer.close()
    assert read_records(path) == records and len(warned) == 1


def test_a_disk_that_stays_full_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_WAITING_LIMIT", 100)
    path, disk_full = tmp_path / METRICS, FullDisk(room=0)
    writer = RecordWriter(path, lambda sentence: None)
    monkeypatch.setattr(os, "write", disk_full)
    for i in range(50):
        writer.write({STEP: i})
    disk_full.mended = True
    writer.write({STEP: 50})
    writer.write({STEP: 51})
    writer.close()
    steps = [record[STEP] for record in read_records(path)]
    assert steps == sorted(set(steps)) and steps[0] == 0 and steps[-1] == 51 and len(steps) < 10


def test_an_fsync_that_fails_warns_too(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(errno.EIO, "broken")

    warned = []
    writer = RecordWriter(tmp_path / METRICS, warned.append)
    monkeypatch.setattr(os, "fsync", fail)
    writer.sync()
    writer.sync()
    writer.close()
    assert len(warned) == 1 and "input/output error" in warned[0]


def test_a_log_that_is_a_link_is_never_written_through(tmp_path):
    """A run from elsewhere must not make us append to, or shorten, another file."""
    precious = tmp_path / "precious"
    precious.write_text('{"time/total_timesteps":99}\nno newline')
    (tmp_path / METRICS).symlink_to(precious)
    for use in (RecordWriter, lambda path: cut_records(path, 5)):
        with pytest.raises(StorageError, match="not an ordinary file"):
            use(tmp_path / METRICS)
    assert precious.read_text().endswith("no newline")


def test_a_whole_iteration_s_metrics_fit(tmp_path):
    record = dict.fromkeys(TAGS, 1.25) | {STEP: 2048}
    write(tmp_path / METRICS, record)
    assert read_metrics(tmp_path).keys() == TAGS.keys()
