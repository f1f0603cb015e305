"""The commands on a real, tiny training: nothing is faked here."""

import json
import os
import re
import signal
import subprocess
import sys

import imageio.v3 as imageio
import pytest

from upswing.cli import run

TINY = ("--total-timesteps", 512, "--n-envs", 2, "--n-steps", 64, "--batch-size", 32, "--n-epochs", 2)
LIGHT = ("--engine", "torch", "--vectorization", "serial", "--threads", 1, "--n-eval-episodes", 2, "--n-eval-envs", 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run, trained by the command line."""
    parent = tmp_path_factory.mktemp("runs")
    args = ["train", "CartPole-v1", "--out-dir", parent, "--name", "tiny", "--quiet", *TINY, *LIGHT]
    assert run([str(arg) for arg in args]) == 0
    return parent / "tiny"


def last_json(text):
    return json.loads(text.splitlines()[-1])


def test_train_says_everything_in_its_last_line(upswing, tmp_path):
    said = upswing("train", "CartPole-v1", "--out-dir", tmp_path, "--json", *TINY, *LIGHT)
    assert said.code == 0, said.err
    values = last_json(said.out)
    assert values["total_timesteps"] == 512
    assert values["iterations"] == 4
    assert 0 < values["mean_reward"] <= values["best_mean_reward"] <= 500
    assert 0 < values["train_time_s"] < values["wall_time_s"]
    assert values["steps_per_second"] == pytest.approx(512 / values["train_time_s"], rel=0.01)
    assert "Preset CartPole-v1" in said.err
    assert "Done: return" in said.err
    recorded = json.loads((tmp_path / os.path.basename(values["run_dir"]) / "config.json").read_text())["config"]
    assert (recorded["n_envs"], recorded["gae_lambda"]) == (2, 0.8)  # a flag's, and the preset's


def test_eval(upswing, trained):
    values = last_json(upswing("eval", trained, "--episodes", 4, "--checkpoint", "latest", "--json").out)
    assert (values["n_episodes"], values["checkpoint"], values["success_once"]) == (4, "512", None)
    assert values["mean_reward"] == values["mean_ep_length"] > 0
    said = upswing("eval", trained, "--checkpoint", "7")
    assert (said.code, said.err.count("\n")) == (4, 1)


def test_record_and_watch(upswing, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setenv("MUJOCO_GL", os.environ.get("MUJOCO_GL", "egl"))
    said = upswing("record", trained, "-o", tmp_path / "play.gif")
    assert said.code == 0, said.err
    assert imageio.imread(tmp_path / "play.gif", index=0).shape == (400, 600, 3)
    n = int(re.search(r"(\d+) pictures", said.out)[1])
    said = upswing("watch", trained, "--episodes", 1)
    assert said.code == 0, said.err
    assert said.out.splitlines()[1] == f"Episode 1: {n} steps."  # the same seed, the same episode


def test_plot(upswing, trained, tmp_path):
    said = upswing("plot", trained, "-o", tmp_path / "curves.png")
    assert said.code == 0, said.err
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_resume_goes_further(upswing, trained):
    values = last_json(upswing("resume", trained, "--total-timesteps", 768, "--json").out)
    assert (values["total_timesteps"], values["iterations"]) == (768, 6)
    said = upswing("resume", trained, "--total-timesteps", 700)
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_what_is_not_a_run(upswing, tmp_path):
    for command in ("eval", "resume", "record"):
        said = upswing(command, tmp_path)
        assert (said.code, said.err.count("\n")) in ((2, 1), (4, 1))
        assert str(tmp_path) in said.err


def test_an_unknown_environment(upswing, tmp_path):
    said = upswing("train", "CartPoole-v1", "--out-dir", tmp_path)
    assert said.code == 2
    assert "CartPole-v1" in said.err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_saves_and_exits_with_its_code(tmp_path):
    args = ["train", "CartPole-v1", "--out-dir", tmp_path, "--name", "cut", "--total-timesteps", 10**7, *LIGHT]
    process = subprocess.Popen(
        [sys.executable, "-m", "upswing", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = [process.stdout.readline() for _ in range(3)]  # the start, a notice, and the first progress or notice
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert lines[0].startswith("Training CartPole-v1")
    assert out.splitlines()[-1].startswith("Interrupted and saved")
    assert "Traceback" not in err
    assert (tmp_path / "cut" / "checkpoints" / "latest").exists()
