"""The folder of a run: created once, held by one process, and never outside its parent."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from upswing.config import TrainConfig
from upswing.errors import ConfigError, StorageError
from upswing.run import directory
from upswing.run.checkpoint import checkpoint_steps
from upswing.run.directory import create_run, find_run, latest_run, open_run, read_run, rewind, write_config
from upswing.run.records import EPISODES, FINDINGS, METRICS, STEP, RecordWriter, read_records


def test_the_default_name_says_environment_time_and_seed(tmp_path):
    with create_run(tmp_path / "runs", None, "CartPole-v1", 7) as run:
        assert run.path.is_dir() and run.path.parent == tmp_path / "runs"
        assert re.fullmatch(r"CartPole-v1-\d{8}-\d{6}-7", run.path.name)


def test_two_runs_of_the_same_second_get_two_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(directory.time, "strftime", lambda form: "now")
    names = []
    for _ in range(3):
        with create_run(tmp_path, None, "A-v0", 0) as run:
            names.append(run.path.name)
    assert names == ["A-v0-now-0", "A-v0-now-0-2", "A-v0-now-0-3"]


def test_a_named_run_is_never_overwritten(tmp_path):
    with create_run(tmp_path, "mine", "A-v0", 0) as run:
        (run.path / "metrics.jsonl").write_text("precious")
    with pytest.raises(ConfigError, match=r"'mine' exists already .* choose another name, or continue .* resume"):
        create_run(tmp_path, "mine", "A-v0", 0)
    assert (tmp_path / "mine" / "metrics.jsonl").read_text() == "precious"


@pytest.mark.parametrize(
    "name",
    ["../evil", "..", ".", "", "/etc/x", "a/b", "a\\b", "<script>", "a\0b", "a\nb", "-rf", ".hidden", "a*", "x "],
)
def test_names_that_are_no_folder_are_refused(tmp_path, name):
    """Path traversal and markup."""
    with pytest.raises(ConfigError, match="cannot be a folder's name"):
        create_run(tmp_path / "runs", name, "A-v0", 0)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_leads_out_of_the_parent(tmp_path, name, env):
    for wanted in (name, None):
        try:
            run = create_run(tmp_path / "runs", wanted, env, 0)
        except ConfigError:
            continue
        run.close()
        assert run.path.parent == tmp_path / "runs"
        assert run.path.resolve().parent == (tmp_path / "runs").resolve()
        assert wanted is not None or re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", run.path.name)
    assert set(tmp_path.iterdir()) <= {tmp_path / "runs"}


@pytest.mark.parametrize(
    ("env", "start"),
    [
        ("ALE/Pong-v5", "ALE-Pong-v5-"),
        ("my_envs:Foo-v0", "my_envs-Foo-v0-"),
        ("../../x", "x-"),
        ("<b>", "b-"),
        ("…", "env-"),
    ],
)
def test_environment_names_become_plain(tmp_path, env, start):
    with create_run(tmp_path, None, env, 0) as run:
        assert run.path.name.startswith(start)


def test_an_out_dir_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"Creating a run in .*file/runs failed: part of the path is a file"):
        create_run(tmp_path / "file" / "runs", None, "A-v0", 0)


def test_the_config_comes_back_with_versions_and_what_was_decided(tmp_path):
    with create_run(tmp_path, "run", "A-v0", 0) as run:
        write_config(run, TrainConfig(seed=3), engine="native", derived={"iterations": 4})
    about = read_run(run.path)
    assert about["config"]["seed"] == 3 and about["engine"] == "native" and about["derived"] == {"iterations": 4}
    assert {"python", "torch", "numpy", "upswing"} <= about["versions"].keys() and about["machine"]["cpu"]
    assert sorted(path.name for path in run.path.iterdir()) == [".lock", "config.json"]


def test_a_second_hold_is_refused(run):
    with open_run(run):
        with pytest.raises(StorageError, match=f"being written by another process \\(number {os.getpid()}\\)"):
            open_run(run)
        assert read_run(run)["config"]["env"] == "CartPole-v1"  # reading needs no lock
    open_run(run).close()


HOLD = "import sys; from upswing.run.directory import open_run; run = open_run(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_another_process_is_refused_until_the_first_is_gone_however_it_went(run):
    """A lock left by a killed process is no lock."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin and holder.stdout
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match=f"number {holder.pid}\\): wait for it"):
            open_run(run)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (run / ".lock").exists()
    open_run(run).close()


def test_only_a_run_can_be_opened(tmp_path, run):
    for path, sentence in ((tmp_path / "nowhere", "does not exist"), (tmp_path, "has no config.json")):
        with pytest.raises(StorageError, match=sentence):
            open_run(path)
        with pytest.raises(StorageError, match=sentence):
            find_run(path)
    assert find_run(run) == run
    assert not (tmp_path / ".lock").exists()


def test_a_damaged_config_is_one_sentence(run):
    (run / "config.json").write_text('{"config": {')
    with pytest.raises(StorageError, match="not a readable JSON object"):
        read_run(run)


def test_the_latest_run_is_the_one_begun_last(tmp_path):
    assert latest_run(tmp_path / "nowhere") is None and latest_run(tmp_path) is None
    for i, name in enumerate(["b", "c", "a"]):
        with create_run(tmp_path, name, "A-v0", 0) as run:
            write_config(run, TrainConfig())
        os.utime(run.path / "config.json", (i, i))
    (tmp_path / "not_a_run").mkdir()
    assert latest_run(tmp_path) == tmp_path / "a"


def test_opening_clears_what_a_killed_save_left(saved):
    (saved / "checkpoints" / ".saving-40").mkdir()
    open_run(saved).close()
    assert not (saved / "checkpoints" / ".saving-40").exists()


def test_rewinding_drops_everything_beyond_a_step(saved):
    """Nothing is recorded twice, no step goes backwards."""
    for name, key in ((METRICS, STEP), (EPISODES, "total_timesteps"), (FINDINGS, "total_timesteps")):
        writer = RecordWriter(saved / name)
        writer.write(*({key: step} for step in (10, 20, 25, 30)))
        writer.close()
    rewind(saved, 20)
    assert checkpoint_steps(saved) == [10, 20]
    for name in (METRICS, EPISODES, FINDINGS):
        assert [list(record.values()) for record in read_records(saved / name)] == [[10], [20]]


IMPORTS = """
import sys
import upswing.run.directory, upswing.run.tensorboard, upswing.run.model_file, upswing.run.signals, upswing.config
print([name for name in ("torch", "tensorflow", "numba", "gymnasium", "matplotlib") if name in sys.modules])
"""


def test_records_and_settings_need_neither_torch_nor_tensorflow():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
