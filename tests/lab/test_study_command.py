"""upswing study as a user types it."""

import json

import pytest

from cli.conftest import upswing  # noqa: F401  the fixture that runs a command line
from upswing.lab.study_record import DONE, read_study

SMALL = ("--total-timesteps", 512, "--n-steps", 64, "--n-eval-episodes", 2, "--no-preset")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_study_from_flags_to_its_last_line(here, upswing):  # noqa: F811
    said = upswing("study", "CartPole-v1", "--vary", "n_envs=2,4", "--seeds", 2, "--n-minibatches", 4, *SMALL, "--json")
    assert said.code == 0
    result = json.loads(said.out.splitlines()[-1])
    assert len(result["runs"]) == 4 and {"run_dir", "settings", "seed", "mean_reward", "failed", "reason"} <= set(
        result["runs"][0]
    )
    study = read_study(result["study_dir"])
    assert study.seeds == [0, 1] and [s.derived["batch_size"] for s in study.settings] == [32, 64]
    assert "2 settings × 2 seeds = 4 runs" in said.err and "Suspected means" in said.err
    again = upswing("study", "--resume", result["study_dir"], "--lang", "zh")
    assert again.code == 0 and "“存疑”的定义" in again.out


def test_a_study_from_a_file(here, upswing):  # noqa: F811
    (here / "s.toml").write_text(
        'env = "CartPole-v1"\nseeds = [7]\nmatch = "iterations"\ncontrol = "n_envs=8"\n[vary]\nn_envs = [2, 4, 8]\n'
        "[settings]\nn_steps = 64\ntotal_timesteps = 512\nn_eval_episodes = 2\npolicy_kwargs = {net_arch = [8]}\n"
    )
    said = upswing("study", "s.toml", "--no-preset", "--name", "mine", "--quiet", "--gamma", "0.9")
    assert said.code == 0, said.err
    study = read_study("runs/mine")
    assert study.seeds == [7] and study.match == "iterations" and [run.state for run in study.runs] == [DONE] * 4
    config = study.settings[0].config
    assert (config["gamma"], config["policy_kwargs"], config["n_steps"]) == (0.9, {"net_arch": [8]}, 64)
    assert study.settings[3].values == {"n_envs": 8, "total_timesteps": 2048}  # n_envs=4 gets no control


@pytest.mark.parametrize(("args", "complaint"), [
    (["CartPole-v1"], "A study varies something"),
    (["CartPole-v1", "--vary", "n_envs=2,2"], "names a value twice"),
    (["CartPole-v1", "--vary", "n_envs=2,4", "--vary", "gamma=0.9", "--zip"], "--zip needs as many"),
    (["CartPole-v1", "--vary", "total_timesteps=512,1024", "--match", "iterations"], "which this study varies"),
    (["CartPole-v1", "--vary", "n_envs=2,4", "--reference", "n_envs=3"], "choose one of n_envs=2, n_envs=4"),
    (["CartPole-v1", "--vary", "n_envs=2,4", "--control", "n_envs=4"], "add --match"),
    (["CartPole-v1", "--vary", "n_envs=2,4", "--match", "iterations", "--control", "4"], "choose one of n_envs=2"),
    (["missing.toml"], "does not exist"),
    (["--resume", "nowhere"], "is not a study"),
    (["--resume", "nowhere", "--seeds", "3"], "leave out seeds"),
    (["CartPole-v1", "--vary", "n_envs=2,4", "--seeds", "0"], "seeds"),
])  # fmt: skip
def test_what_cannot_be_studied_is_one_sentence(here, upswing, args, complaint):  # noqa: F811
    said = upswing("study", *args)
    assert said.code in (2, 4) and complaint in said.err and "Traceback" not in said.err
    assert not (here / "runs").exists()


@pytest.mark.parametrize(("text", "complaint"), [
    ("env = 3", "needs env"),
    ('env = "CartPole-v1"\nn_envs = 3\n[vary]', "no place at the top"),
    ('env = "CartPole-v1"\n[vary]\nn_envs = 3', "is not a list"),
    ('env = "CartPole-v1"\nseeds = "many"\n[vary]\nn_envs = [3]', "neither a number of seeds"),
    ("env = ", "cannot be read as TOML"),
])  # fmt: skip
def test_a_file_that_describes_no_study_is_refused(here, upswing, text, complaint):  # noqa: F811
    (here / "s.toml").write_text(text)
    said = upswing("study", "s.toml")
    assert said.code == 2 and complaint in said.err
