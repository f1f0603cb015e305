"""The same study on a local Ray: the same results, a poison run alone, Ctrl-C saved and resumed."""

import os
import signal
import threading

import numpy as np
import pytest

pytest.importorskip("ray", reason="Ray, the extra `cluster`, is not installed")

from upswing import TrainConfig
from upswing.lab.design import points
from upswing.lab.running import NoWatcher, Plan, new_study, run_study, unfinished
from upswing.lab.study_record import BROKEN, DONE
from upswing.run.records import read_metrics

pytestmark = [
    pytest.mark.skipif("UPSWING_SLOW" not in os.environ, reason="starting Ray takes half a minute: set UPSWING_SLOW=1"),
    pytest.mark.filterwarnings("ignore"),  # Ray warns of itself
]
BASE = {"n_envs": 4, "n_steps": 32, "batch_size": 32, "n_epochs": 2, "n_eval_episodes": 2}


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    """A local Ray as a study starts one, shared by these tests."""
    import ray

    from upswing.lab.on_ray import _begin

    os.environ.pop("RAY_ADDRESS", None)
    _begin(ray)
    yield ray
    ray.shutdown()


def test_a_study_on_ray_is_the_study_at_home(tmp_path):
    rows = [{"gamma": 0.9}, {"policy_kwargs": {"net_arch": "poison"}}]
    made = points(rows, lambda values: TrainConfig(**{**BASE, "total_timesteps": 1024, **values}))
    scores = {}
    for name, plan in (("home", Plan(n_jobs=2)), ("away", Plan("ray"))):
        new_study(tmp_path / name, made, [0])
        study = run_study(tmp_path / name, plan).study
        assert [run.state for run in study.runs] == [DONE, BROKEN] and "poison" in study.runs[1].reason
        assert study.runs[0].costs.iterations == 8
        scores[name] = (study.runs[0].mean_reward, read_metrics(tmp_path / name / study.runs[0].run_dir)["train/loss"])
    assert scores["home"][0] == scores["away"][0]
    np.testing.assert_array_equal(scores["home"][1], scores["away"][1])


class StopsSoon(NoWatcher):
    """Sends Ctrl-C as soon as a run has come somewhere."""

    def __init__(self):
        self.sent = False

    def on_progress(self, index, values):
        if not self.sent and 0 < values["steps"] < values["total"]:
            self.sent = True
            threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()


def test_an_interrupted_study_on_ray_goes_on_without_loss(tmp_path):
    made = points([{"gamma": 0.9}], lambda values: TrainConfig(**{**BASE, "total_timesteps": 200_000, **values}))
    new_study(tmp_path / "s", made, [0, 1])
    stopped = run_study(tmp_path / "s", Plan("ray"), StopsSoon())
    assert stopped.exit_code == 130 and unfinished(stopped.study) == 2
    study = run_study(tmp_path / "s", Plan("ray")).study
    assert [run.state for run in study.runs] == [DONE] * 2
    for run in study.runs:
        steps = read_metrics(tmp_path / "s" / run.run_dir)["time/total_timesteps"]
        np.testing.assert_array_equal(steps, 128 * np.arange(1, len(steps) + 1))
        assert steps[-1] >= 200_000


def test_ray_processes_do_not_starve(local_ray):
    def nice():
        return os.getpriority(os.PRIO_PROCESS, 0)

    assert local_ray.get(local_ray.remote(nice).remote()) == nice()
