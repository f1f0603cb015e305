"""Whole studies: side by side, killed and resumed without loss, a poison run alone, verdicts with their controls."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from upswing import TrainConfig
from upswing.errors import ConfigError, MissingExtra, StorageError, UserError
from upswing.lab.design import points
from upswing.lab.executors import EXECUTORS
from upswing.lab.jobs import ENDED
from upswing.lab.judging import judged
from upswing.lab.running import NoWatcher, Plan, new_study, run_study, unfinished
from upswing.lab.study_record import BROKEN, DONE, PLANNED, RUNNING, Costs, read_study, write_study
from upswing.run.directory import locked
from upswing.run.records import read_metrics


def made(rows, **base):
    given = {"n_envs": 4, "n_steps": 32, "batch_size": 32, "n_epochs": 2, "total_timesteps": 1024, "n_eval_episodes": 4}
    return points(rows, lambda values: TrainConfig(**{**given, **base, **values}))


class Notes(NoWatcher):
    def __init__(self):
        self.plans, self.progress, self.ended = [], [], []

    def on_plan(self, study):
        self.plans.append(len(study.runs))

    def on_progress(self, index, values):
        self.progress.append((index, values["steps"] / values["total"]))

    def on_run(self, index, run):
        self.ended.append((index, run.state))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study with a poison setting, run to its end."""
    folder, notes = tmp_path_factory.mktemp("studies") / "s", Notes()
    rows = [{"n_envs": 4}, {"n_envs": 8}, {"policy_kwargs.net_arch": "poison"}]

    def configure(values):
        poison = "policy_kwargs.net_arch" in values
        changes = {"policy_kwargs": {"net_arch": "poison"}} if poison else values
        return made([changes])[0].config

    new_study(folder, points(rows, configure), [0, 1], match="iterations")
    return folder, run_study(folder, Plan(n_jobs=2), notes), notes


def test_every_run_is_trained_and_what_it_took_is_recorded(finished):
    folder, (study, code), notes = finished
    assert code == 0 and study == read_study(folder)
    good = [run for run in study.runs if run.state == DONE]
    assert len(good) == 6 and {run.setting for run in good} == {"n_envs=4", "n_envs=8", "n_envs=8 [matched]"}
    for run in good:
        derived = study.setting(run.setting).derived
        columns = read_metrics(folder / run.run_dir)
        assert run.costs.iterations == derived["iterations"] == len(columns["time/iterations"])
        assert run.costs.gradient_steps == derived["gradient_steps"] == columns["train/gradient_steps"][-1]
        assert run.costs.total_timesteps == derived["total_timesteps"]
        assert run.costs.evaluations == np.isfinite(columns["eval/mean_reward"]).sum() > 1
        assert run.costs.wall_time_s > run.costs.train_time_s > 0 and run.costs.peak_memory_mb > 50
        assert run.mean_reward == columns["eval/mean_reward"][-1]
    assert all((run.untrained_reward is not None) == (run.setting == "n_envs=4") for run in good)
    assert len(notes.ended) == 8 and notes.plans == [8]


def test_a_poison_run_fails_alone(finished):
    _, (study, _), notes = finished
    bad = [run for run in study.runs if run.state == BROKEN]
    assert [run.seed for run in bad] == [0, 1] and all(run.failed and "poison" in run.reason for run in bad)
    assert unfinished(study) == 0 and sum(state == BROKEN for _, state in notes.ended) == 2


def test_a_run_is_what_it_would_be_alone(finished, tmp_path):
    from upswing import train

    folder, (study, _), _ = finished
    alone = train(made([{"n_envs": 8}], seed=1, out_dir=str(tmp_path))[0].config)
    (run,) = [r for r in study.runs if r.setting == "n_envs=8" and r.seed == 1]
    assert run.mean_reward == alone.mean_reward
    mine, other = read_metrics(folder / run.run_dir), read_metrics(alone.run_dir)
    np.testing.assert_array_equal(mine["train/loss"], other["train/loss"])


def test_a_finished_study_trains_nothing_more(finished):
    folder, (study, _), _ = finished
    before = {f: f.stat().st_mtime_ns for f in folder.glob("*/metrics.jsonl")}
    assert run_study(folder, Plan()).study == study
    assert {f: f.stat().st_mtime_ns for f in folder.glob("*/metrics.jsonl")} == before


def test_a_study_that_another_process_runs_is_left_to_it(finished):
    with locked(finished[0]), pytest.raises(StorageError, match="written by another process"):
        run_study(finished[0], Plan())


SCRIPT = """
import sys
from upswing.lab.running import Plan, run_study
if __name__ == "__main__":
    sys.exit(run_study(sys.argv[1], Plan(n_jobs=2)).exit_code)
"""


def started(folder, tmp_path):
    (tmp_path / "go.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "go.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        saved = len(list(folder.glob("*/checkpoints/latest")))
        if saved >= 2 and any(run.state == RUNNING for run in read_study(folder).runs):
            return process
        time.sleep(0.05)
    raise AssertionError("the study did not begin")


def test_a_stopped_study_is_resumed_without_loss(tmp_path):
    """Asked to stop, then killed in the middle: the half-finished runs go on from their checkpoints, and end as if alone."""
    from upswing import train

    folder, lengths = tmp_path / "s", []
    long = {"total_timesteps": 40_000, "checkpoint_freq": 1024, "eval_freq": 20_000}
    new_study(folder, made([{"gamma": 0.99}], **long), [3, 4])
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        process = started(folder, tmp_path)
        os.kill(process.pid, number)
        assert process.wait(60) == code
        left = read_study(folder)
        assert unfinished(left) == 2
        lengths.append([len(read_metrics(folder / run.run_dir)["train/loss"]) for run in left.runs])
    study = run_study(folder, Plan(n_jobs=2)).study
    assert [run.state for run in study.runs] == [DONE] * 2
    for i, run in enumerate(study.runs):
        assert 8 <= lengths[0][i] <= lengths[1][i] < 313
        np.testing.assert_array_equal(np.diff(read_metrics(folder / run.run_dir)["time/total_timesteps"]), 128)
    alone = train(made([{"gamma": 0.99}], **long, seed=4, out_dir=str(tmp_path))[0].config)
    assert study.runs[1].mean_reward == alone.mean_reward
    mine, other = read_metrics(folder / study.runs[1].run_dir), read_metrics(alone.run_dir)
    np.testing.assert_array_equal(mine["train/loss"], other["train/loss"])


def test_a_process_that_dies_is_a_broken_run(tmp_path):
    env = {"env": "deadly_env:Deadly", "vectorization": "serial", "n_eval_episodes": 1}
    new_study(tmp_path / "s", made([{"gamma": 0.9}], **env), [0])
    study = run_study(tmp_path / "s").study
    assert study.runs[0].state == BROKEN and "killed by signal 9" in study.runs[0].reason


def test_what_runs_share_is_in_memory_before_the_fork():
    code = (
        "import sys, upswing.lab.before_fork;"
        "from upswing.engine.native_engine import COLLECTING, UPDATING;"
        "assert 'torch' in sys.modules;"
        "assert all(kernel._call is kernel.dispatcher for kernel in (*COLLECTING, *UPDATING))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ray_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    new_study(tmp_path / "s", made([{"gamma": 0.9}]), [0])
    with pytest.raises(MissingExtra, match=r"upswing\[cluster\]"):
        run_study(tmp_path / "s", Plan("ray"))
    assert read_study(tmp_path / "s").runs[0].state == PLANNED
    with pytest.raises(UserError, match="not known"):
        run_study(tmp_path / "s", Plan("moon"))


def test_an_existing_folder_is_never_used(tmp_path):
    new_study(tmp_path / "s", made([{"gamma": 0.9}]), [0])
    with pytest.raises(ConfigError, match="--resume"):
        new_study(tmp_path / "s", made([{"gamma": 0.9}]), [0])
    with pytest.raises(ConfigError, match=r"choose one of gamma=0\.9"):
        new_study(tmp_path / "t", made([{"gamma": 0.9}]), [0], reference="gamma=1")


def scored(tmp_path, scores, match=None, seeds=3):
    """A judged study of CartPole settings whose runs ended with `scores` by label; the untrained policy scores 20."""
    rows = [{"n_envs": 4}, {"n_envs": 32}]
    study = new_study(tmp_path / "s", made(rows, batch_size=None, n_minibatches=4), list(range(seeds)), match=match)
    runs = [
        replace(run, state=DONE, mean_reward=scores[run.setting][run.seed], untrained_reward=20.0) for run in study.runs
    ]
    study = judged(replace(study, runs=runs), tmp_path / "s")
    write_study(tmp_path / "s", study)
    return study


def test_controls_of_equal_time_follow_when_the_times_are_known(tmp_path, monkeypatch):
    seconds = {4: 8.0, 8: 2.0, 16: 1.0}

    def told(jobs, n_parallel, stop):
        for i, job in enumerate(jobs):
            costs = asdict(Costs(train_time_s=seconds[job.config.n_envs]))
            yield i, ENDED, {"mean_reward": 10.0, "success_once": None, "success_at_end": None, "costs": costs}

    monkeypatch.setitem(EXECUTORS, "local", told)
    rows = [{"n_envs": n} for n in seconds]
    planned = new_study(tmp_path / "s", made(rows), [0, 1], match="wall_time", only=["n_envs=8"])
    assert [s.label for s in planned.settings] == ["n_envs=4", "n_envs=8", "n_envs=16"]
    study = run_study(tmp_path / "s").study
    (control,) = [s for s in study.settings if s.control_of]  # n_envs=16 gets none
    assert control.control_of == "n_envs=8" and control.derived["total_timesteps"] == 4096  # four times as many
    assert all(run.state == DONE for run in study.runs) and len(study.runs_of(control.label)) == 2
    assert run_study(tmp_path / "s").study == study


def test_a_failed_setting_is_named_with_its_control(tmp_path):
    good, bad = [500.0, 490.0, 495.0], [30.0, 40.0, 35.0]
    study = scored(tmp_path, {"n_envs=4": good, "n_envs=32": bad, "n_envs=32 [matched]": good}, "gradient_steps")
    assert [s.verdict for s in study.settings] == ["learned", "failed", "learned"]
    reason = study.setting("n_envs=32").reason
    assert "It had 1 iterations and 8 gradient steps; n_envs=4 had 8 and 64." in reason
    assert "learned: return 495" in reason and study.halfway == pytest.approx(0.5 * (20 + 495))
    assert [run.failed for run in study.runs] == [False] * 3 + [True] * 3 + [False] * 3
    assert "halfway between the untrained policy (20)" in study.definition


def test_two_seeds_only_raise_a_suspicion(tmp_path):
    study = scored(tmp_path, {"n_envs=4": [500.0, 490.0], "n_envs=32": [30.0, 40.0]}, seeds=2)
    assert study.setting("n_envs=32").verdict == "suspected" and study.definition.startswith("Suspected means")
    assert not any(run.failed for run in study.runs)


def test_the_same_scores_are_no_failure(tmp_path):
    study = scored(tmp_path, {"n_envs=4": [500.0, 490.0, 480.0], "n_envs=32": [480.0, 500.0, 490.0]})
    assert [s.verdict for s in study.settings] == ["learned", "learned"] and not any(s.reason for s in study.settings)


def test_the_record_is_somewhere_a_reader_finds_it(finished):
    folder, _, _ = finished
    content = json.loads((Path(folder) / "study.json").read_text())
    assert {"settings", "seeds", "reference", "runs", "definition"} <= content.keys()
    assert {"run_dir", "settings", "seed", "mean_reward", "failed", "reason", "costs"} <= content["runs"][0].keys()
