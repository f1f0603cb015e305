"""Readers: what other programs wrote means the same in our columns, and damage costs no more than what it hit."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from doctor.logs import table, write_events
from doctor.made import healthy
from upswing.config import TrainConfig
from upswing.doctor.readers import read_series
from upswing.doctor.readers.events import messages, read_events
from upswing.doctor.readers.settings import sb3_archive, yaml_numbers
from upswing.doctor.readers.tables import tag_of
from upswing.doctor.series import CUMULATIVE, LAST_EPOCH, LAST_MINIBATCH, STEP, on_axis
from upswing.errors import ConfigError, StorageError
from upswing.run.directory import create_run, write_config
from upswing.run.records import RecordWriter

DATA = Path(__file__).parents[1] / "data"


def rows_of(path):
    """The rows of a CSV file as it is."""
    with path.open() as file:
        return list(csv.DictReader(file))


def test_sb3_figures_stand_at_the_update_they_belong_to():
    series = read_series(DATA / "sb3_learns")
    rows = [row for row in rows_of(DATA / "sb3_learns" / "progress.csv") if row["time/iterations"]]
    assert series.source.name == "stable-baselines3"
    assert list(series.steps) == [float(row["time/total_timesteps"]) for row in rows]
    assert series.column("rollout/ep_rew_mean")[3] == float(rows[3]["rollout/ep_rew_mean"])
    logged_next = next(row for row in rows_of(DATA / "sb3_learns" / "progress.csv") if row["train/n_updates"] == "40")
    assert series.column("train/approx_kl")[3] == float(logged_next["train/approx_kl"])
    assert np.isnan(series.column("train/approx_kl")[-1])
    assert series.source.over("train/approx_kl") == LAST_EPOCH
    assert series.source.over("time/fps_mean") == CUMULATIVE


def test_sb3_settings_come_from_the_archive_and_the_columns():
    series = read_series(DATA / "sb3_learns")
    wanted = {"n_envs": 4, "n_steps": 128, "batch_size": 128, "n_epochs": 10, "gamma": 0.98, "gae_lambda": 0.8}
    assert {name: series.config[name] for name in wanted} == wanted
    assert series.config["learning_rate"] == 1e-3
    assert series.environment["n_actions"] == 2
    assert series.pool == 512
    assert len(series.episodes.returns) > 50
    assert np.all(np.diff(series.episodes.steps) >= 0)


def test_sb3_csv_and_event_file_tell_the_same(tmp_path):
    shutil.copy(next((DATA / "sb3_learns").glob("events*")), tmp_path)
    events, table = read_series(tmp_path), read_series(DATA / "sb3_learns" / "progress.csv")
    for tag in ("train/approx_kl", "train/entropy_loss", "rollout/ep_rew_mean", "train/value_loss", "eval/mean_reward"):
        np.testing.assert_allclose(events.column(tag), table.column(tag), rtol=1e-6)


def test_a_damaged_progress_csv_is_made_up_for_by_the_event_file(tmp_path):
    shutil.copy(next((DATA / "sb3_learns").glob("events*")), tmp_path)
    (tmp_path / "progress.csv").write_text("\0\0\0")
    series = read_series(tmp_path)
    assert len(series) == 30
    assert [note.key for note in series.notes] == ["progress_unreadable"]


def test_torn_rows_of_a_csv_are_left_out_and_counted(tmp_path):
    lines = (DATA / "sb3_too_fast" / "progress.csv").read_text().splitlines()
    (tmp_path / "progress.csv").write_text("\n".join([*lines[:-1], lines[-1][:20]]))
    series = read_series(tmp_path)
    assert [(note.key, note.values["rows"]) for note in series.notes] == [("torn_rows", 1)]


def test_a_log_of_cleanrl_itself():
    series = read_series(DATA / "cleanrl_too_fast")
    assert series.source.name == "cleanrl"
    assert series.source.over("train/approx_kl") == LAST_MINIBATCH
    assert len(series) == 32
    assert series.steps[0] == 256
    assert series.config["learning_rate"] == 0.05
    assert series.config["batch_size"] == 64
    assert -0.7 < series.column("train/entropy_loss")[0] < 0
    assert np.isfinite(series.column("rollout/ep_rew_mean")[1:]).all()
    assert len(series.episodes.returns) > 100


def test_cleanrl_meanings_are_translated(tmp_path):
    steps = [256 * k for k in range(1, 9)]
    points = [
        (tag, s, v)
        for s in steps
        for tag, v in (("losses/value_loss", 3.0), ("losses/entropy", 0.6), ("losses/approx_kl", 0.01))
    ]
    points += [("charts/episodic_return", 100 + 10 * k, float(k)) for k in range(20)]
    arguments = {
        "exp_name": "ppo_continuous_action", "env_id": "Hopper-v4", "num_envs": 4, "num_steps": 64, "batch_size": 256,
        "minibatch_size": 64, "num_minibatches": 4, "anneal_lr": True, "learning_rate": 0.0003, "clip_vloss": True,
        "clip_coef": 0.2, "update_epochs": 10, "target_kl": None, "track": False,
    }  # fmt: skip
    write_events(tmp_path, points, {"hyperparameters/text_summary": table(arguments)})
    series = read_series(tmp_path)
    assert set(series.column("train/value_loss")) == {6.0}
    np.testing.assert_allclose(series.column("train/entropy_loss"), -0.6, rtol=1e-6)
    wanted = {
        "env": "Hopper-v4", "batch_size": 64, "learning_rate": "linear:0.0003", "clip_range_vf": 0.2, "n_epochs": 10,
        "normalize_obs": True, "normalize_reward": True,
    }  # fmt: skip
    assert {name: series.config[name] for name in wanted} == wanted
    assert series.column("rollout/iteration_episodes")[0] == 16
    assert series.column("rollout/ep_rew_mean")[0] == pytest.approx(np.mean(range(16)))


def test_maniskill_counts_evaluations_in_iterations_and_bootstraps_ends(tmp_path):
    pool = 2048 * 50
    points = [("eval/return", 0, 9.0), ("eval/success_once", 0, 0.0)]
    for k in range(1, 20):
        points += [
            ("losses/approx_kl", k * pool, 0.02),
            ("losses/value_loss", k * pool, 0.1),
            ("train/return", k * pool - 5, 9.0 + k / 9),
        ]
        points += [("time/rollout_time", k * pool, 3.0), ("time/update_time", k * pool, 1.0)]
    arguments = {
        "env_id": "PushCube-v1",
        "num_envs": 2048,
        "num_steps": 50,
        "num_eval_envs": 8,
        "eval_freq": 25,
        "num_minibatches": 32,
    }
    write_events(tmp_path, points, {"hyperparameters/text_summary": table(arguments)}, tensors=True)
    series = read_series(tmp_path)
    assert series.source.name == "maniskill"
    assert series.environment["eval_steps"] == (0.0,)
    assert series.config["eval_freq"] == 25 * pool
    assert series.config["bootstrap_terminations"] is True
    assert set(series.column("time/collect_s")) == {3.0}


def test_a_log_of_rsl_rl_itself():
    series = read_series(DATA / "rsl_rl")
    assert series.source.name == "rsl-rl"
    assert series.pool == pytest.approx(64 * 24, rel=0.01)
    assert series.steps[-1] == pytest.approx(40 * 64 * 24, rel=0.01)
    assert series.config["learning_rate"].startswith("adaptive:")
    assert series.has("train/std", "train/value_loss", "rollout/ep_rew_mean")
    assert not series.has("train/approx_kl")


def test_rsl_rl_without_speeds_counts_iterations(tmp_path):
    write_events(
        tmp_path, [("Loss/surrogate", k, -0.01) for k in range(12)] + [("Train/mean_reward", k, k) for k in range(12)]
    )
    series = read_series(tmp_path)
    assert series.source.axis == "iterations"
    assert series.pool is None
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "agent.yaml").write_text(
        "seed: 1\nnum_steps_per_env: 24\nalgorithm:\n  gamma: 0.98\n  class: !!python/x y\n"
    )
    (tmp_path / "params" / "env.yaml").write_text("scene:\n  num_envs: 64\n")
    series = read_series(tmp_path)
    assert series.pool == 64 * 24
    assert series.config["gamma"] == 0.98
    assert yaml_numbers(tmp_path / "params" / "agent.yaml")["gamma"] == "0.98"


def test_our_own_run(tmp_path):
    made = healthy(n=12)
    with create_run(tmp_path, "x", "made", 0) as run:
        write_config(run, TrainConfig(env="CartPole-v1", gamma=0.9))
        writer = RecordWriter(run.path / "metrics.jsonl")
        for row in range(12):
            writer.write({tag: values[row] for tag, values in made.columns.items()})
        writer.close()
        ended = RecordWriter(run.path / "episodes.jsonl")
        ended.write({"total_timesteps": 512, "env": 0, "return": 7.0, "length": 7})
        ended.close()
    series = read_series(tmp_path / "x")
    assert series.source.name == "upswing"
    assert series.config["gamma"] == 0.9
    assert series.episodes.returns.tolist() == [7.0]
    assert series.environment["continuous"] is False
    np.testing.assert_allclose(series.column("train/approx_kl"), made.column("train/approx_kl"))


def test_any_csv_with_mapped_columns(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("update,frames,kl,H,score\n" + "\n".join(f"{k},{100 * k},0.01,0.5,{k}" for k in range(1, 9)))
    series = read_series(path, {"total_timesteps": "frames", "approx_kl": "kl", "entropy": "H", "ep_rew_mean": "score"})
    assert list(series.steps) == [100 * k for k in range(1, 9)]
    assert set(series.column("train/entropy_loss")) == {-0.5}
    with pytest.raises(ConfigError, match="no column of environment steps"):
        read_series(path, {"approx_kl": "kl"})
    with pytest.raises(ConfigError, match="no column 'x' with numbers"):
        read_series(path, {"total_timesteps": "frames", "approx_kl": "x"})
    with pytest.raises(ConfigError, match="say what its columns are"):
        read_series(path, {"total_timesteps": "frames"})


def test_metrics_are_named_by_tag_or_by_its_last_part():
    assert tag_of("train/approx_kl") == tag_of("approx_kl") == ("train/approx_kl", 1.0)
    with pytest.raises(ConfigError, match="not one metric"):
        tag_of("kl_divergence")


@pytest.fixture
def event_file(tmp_path):
    """A log of 200 updates."""
    points = [(tag, 100 * k, float(k)) for k in range(1, 201) for tag in ("losses/approx_kl", "losses/value_loss")]
    return write_events(tmp_path / "log", points)


def test_a_flipped_byte_costs_one_record(event_file):
    data = bytearray(event_file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    event_file.write_bytes(data)
    found = read_events([event_file])
    assert sum(len(each.values) for each in found.scalars.values()) >= 398
    assert [note.key for note in found.notes] == ["damaged_events"]


def test_a_damaged_length_is_searched_past(event_file):
    data = bytearray(event_file.read_bytes())
    starts = [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + 16 + int.from_bytes(data[starts[-1] : starts[-1] + 8], "little"))
    data[starts[50]] ^= 0x55
    event_file.write_bytes(data)
    found = read_events([event_file])
    assert sum(len(each.values) for each in found.scalars.values()) == 399
    assert found.notes[0].values["bytes"] == starts[51] - starts[50]


def test_a_zeroed_stretch_and_a_torn_end(event_file):
    data = bytearray(event_file.read_bytes())
    data[3000:4000] = bytes(1000)
    event_file.write_bytes(data[:-7])
    series = read_series(event_file.parent)
    assert 170 < len(series) < 200
    event_file.write_bytes(bytes(event_file.read_bytes())[:500])
    assert [note.key for note in read_events([event_file]).notes] == ["torn_events"]


def test_our_framing_agrees_with_tensorboards(event_file):
    from tensorboard.compat.tensorflow_stub import errors
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    reader, theirs = PyRecordReader_New(str(event_file)), []
    with pytest.raises(errors.OutOfRangeError):
        while True:
            reader.GetNext()
            theirs.append(reader.record())
    assert list(messages(event_file.read_bytes())) == theirs


def test_a_resumed_log_replaces_what_it_took_again(tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    for name, steps in (("1", range(1, 9)), ("2", range(5, 11))):
        written = write_events(tmp_path / name, [("losses/approx_kl", 100 * k, float(name)) for k in steps])
        written.rename(log / f"events.out.tfevents.{name}.a")
    values = read_series(log).column("train/approx_kl")
    assert list(values) == [1.0] * 4 + [2.0] * 6


def test_nan_in_a_log_is_told_and_is_no_value(tmp_path):
    write_events(tmp_path, [("losses/value_loss", 100 * k, float("nan") if k > 6 else 1.0) for k in range(1, 9)])
    series = read_series(tmp_path)
    assert series.nonfinite == {"train/value_loss": 700.0}
    assert np.isnan(series.column("train/value_loss")[-1])


@pytest.mark.parametrize("content", [b"", b"not an event file at all, but long enough to look at"])
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path, content):
    (tmp_path / "events.out.tfevents.1.x").write_bytes(content)
    with pytest.raises(StorageError, match="no readable record"):
        read_series(tmp_path)


def test_folders_without_a_run_or_with_several(tmp_path):
    with pytest.raises(StorageError, match="holds no run"):
        read_series(tmp_path)
    with pytest.raises(StorageError, match="does not exist"):
        read_series(tmp_path / "nothing")
    for name in ("a", "b"):
        write_events(tmp_path / name, [("losses/approx_kl", 1, 0.1)])
    with pytest.raises(StorageError, match="holds 2 runs"):
        read_series(tmp_path)
    write_events(tmp_path / "c", [("some/thing", 1, 0.1)])
    with pytest.raises(StorageError, match="no framework known here"):
        read_series(tmp_path / "c")


def test_a_hostile_archive_is_not_opened(tmp_path):
    import zipfile

    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", json.dumps({"clip_range": 0.2, "n_steps": 8, "padding": "x" * 2**23}))
    assert sb3_archive(path) == ({}, {})
    path.write_bytes(b"PK\x03\x04 nonsense")
    assert sb3_archive(path) == ({}, {})


def test_settings_given_by_hand_complete_the_log():
    series = read_series(DATA / "sb3_too_fast", settings={"gamma": 0.5})
    assert series.config["gamma"] == 0.5
    assert series.config["n_epochs"] == 10


def test_values_fall_on_the_first_step_not_before_them():
    axis = np.array([10.0, 20.0, 30.0])
    column = on_axis(axis, np.array([3.0, 10.0, 11.0, 99.0]), np.array([1.0, 3.0, 5.0, 7.0]))
    assert list(column) == [2.0, 5.0, 7.0]


def test_a_series_says_what_is_missing():
    series = dataclasses.replace(healthy(n=5, approx_kl=None), config={})
    assert not series.has("train/approx_kl")
    assert np.isnan(series.column("train/approx_kl")).all()
    assert series.pool == np.diff(series.columns[STEP])[0]


def test_reading_and_judging_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['tensorflow'] = None\n"
        "from upswing.doctor.diagnose import diagnose\n"
        "import upswing.doctor.plan, upswing.doctor.hook, upswing.doctor.render.page, upswing.doctor.render.terminal\n"
        f"for name in ('sb3_learns', 'cleanrl_too_fast', 'rsl_rl'): print(len(diagnose({str(DATA)!r} + '/' + name).passed))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3
