"""The same study on a local Ray: the same results, resumable, a poison run alone."""

import os

import pytest

pytest.importorskip("ray", reason="Ray, the extra `cluster`, is not installed")

from upswing import TrainConfig
from upswing.lab.design import points
from upswing.lab.running import Plan, new_study, run_study
from upswing.lab.study_record import BROKEN, DONE

pytestmark = [
    pytest.mark.skipif("UPSWING_SLOW" not in os.environ, reason="starting Ray takes a minute: set UPSWING_SLOW=1"),
    pytest.mark.filterwarnings("ignore"),  # Ray warns of itself
]


def test_a_study_on_ray_is_the_study_at_home(tmp_path):
    base = {"n_envs": 4, "n_steps": 32, "batch_size": 32, "n_epochs": 2, "total_timesteps": 1024, "n_eval_episodes": 2}
    rows = [{"gamma": 0.9}, {"policy_kwargs": {"net_arch": "poison"}}]
    made = points(rows, lambda values: TrainConfig(**{**base, **values}))
    for name, plan in (("home", Plan(n_jobs=2)), ("away", Plan("ray", n_jobs=2))):
        new_study(tmp_path / name, made, [0])
        study = run_study(tmp_path / name, plan).study
        assert [run.state for run in study.runs] == [DONE, BROKEN] and "poison" in study.runs[1].reason
        if name == "home":
            score = study.runs[0].mean_reward
        assert study.runs[0].mean_reward == score and study.runs[0].costs.iterations == 8
