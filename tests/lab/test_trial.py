"""Trials: pairs that differ in one thing, from one policy; confirmed only by the mechanism and the return."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from upswing.cli import run as command
from upswing.config import TrainConfig, derive
from upswing.doctor.findings import Change
from upswing.doctor.mechanisms import RETURN, mechanism_of
from upswing.errors import UserError
from upswing.lab.paired import paired, t_quantile
from upswing.lab.trial import Arm, Plan, changed, judged, make_plan, try_remedy
from upswing.lab.trial_screen import how, verdict
from upswing.training import train

CONFIG = TrainConfig(
    env="Pendulum-v1", name="hot", n_envs=4, n_steps=64, total_timesteps=15_360, gamma=0.9, learning_rate=0.03,
    eval_freq=0, n_eval_episodes=1, checkpoint_freq=1280, keep_checkpoints=20,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a learning rate that is far too high."""
    return train(replace(CONFIG, out_dir=str(tmp_path_factory.mktemp("runs")))).run_dir


@pytest.fixture
def upswing(capsys):
    """Run a command line in this process."""

    def call(*args):
        capsys.readouterr()
        code = command([str(arg) for arg in args])
        return SimpleNamespace(code=code, out=capsys.readouterr().out)

    return call


def test_paired_intervals_by_hand():
    found = paired([3.0, 5.0, 4.0], [1.0, 1.0, 1.0])  # differences 2, 4, 3: mean 3, s = 1
    assert found.value == 3.0 and found.n == 3
    assert found.low == pytest.approx(3 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.high == pytest.approx(3 + 4.302653 / math.sqrt(3), abs=1e-5)
    assert paired([1.0, math.nan, 2.0], [0.0, 0.0, 0.0]).n == 2
    assert math.isnan(paired([1.0], [0.0]).low)
    assert [round(t_quantile(0.975, n), 3) for n in (1, 2, 4, 9)] == [12.706, 4.303, 2.776, 2.262]


def test_intervals_cover_as_often_as_they_say():
    random = np.random.default_rng(0)
    covered = [paired(x, np.zeros(3)) for x in random.normal(1.0, 2.0, (2000, 3))]
    assert np.mean([each.low <= 1.0 <= each.high for each in covered]) == pytest.approx(0.95, abs=0.015)


def plan(code="P01", change=None, **more):
    change = change or Change("learning_rate", 0.03, 0.003, True)
    given = {"start": None, "onset": 512, "whole": False, "updates": 20} | more
    return Plan("runs/x", code, change, control=CONFIG, remedy=changed(CONFIG, change), **given)


def arms(mechanism, scores):
    return tuple(Arm(m, s, (0.0, s)) for m, s in zip(mechanism, scores, strict=True))


def outcome(code, control, remedy):
    return judged(plan(code), mechanism_of(code), arms(*control), arms(*remedy))


def test_confirmed_needs_the_mechanism_and_no_loss_of_return():
    base = ([0.3, 0.31, 0.29], [10.0, 12.0, 11.0])
    good = outcome("P01", base, ([0.03, 0.032, 0.031], [10.5, 11.5, 11.2]))
    assert good.confirmed and good.as_ratio and good.outcome == "even"
    assert math.exp(good.moved.value) == pytest.approx(0.103, abs=0.002)
    worse = outcome("P01", base, ([0.03, 0.032, 0.031], [5.0, 7.0, 6.1]))
    assert worse.as_predicted and worse.outcome == "worse" and not worse.confirmed
    unmoved = outcome("P01", base, ([0.3, 0.29, 0.31], [20.0, 22.0, 21.1]))
    assert unmoved.outcome == "better" and not unmoved.confirmed
    wrong_way = outcome("P02", base, ([0.03, 0.032, 0.031], [10.0, 12.0, 11.0]))
    assert not wrong_way.as_predicted and not wrong_way.confirmed


def test_without_a_mechanism_the_return_decides():
    assert mechanism_of("R01") is RETURN
    assert not outcome("R01", ([1, 2, 3], [1, 2, 3]), ([2, 1, 3], [2, 1, 3])).confirmed
    assert outcome("R01", ([1, 2, 3], [1, 2, 3]), ([9, 10.1, 11], [9, 10.1, 11])).confirmed


def test_explained_variances_may_be_negative_and_are_subtracted():
    trial = outcome("V01", ([-0.5, -0.4, -0.6], [1, 1, 1]), ([0.5, 0.6, 0.4], [1, 1, 1]))
    assert not trial.as_ratio and trial.moved.value == pytest.approx(1.0) and trial.confirmed


def test_the_words_say_where_it_begins_and_what_came_of_it():
    good = outcome("P01", ([0.3, 0.31, 0.29], [1, 2, 3]), ([0.03, 0.032, 0.031], [1, 2, 3]))
    assert verdict(good, "en") == "Confirmed: approx_kl falls as predicted; no difference in the return is shown."
    assert verdict(good, "zh") == "已证实：approx_kl 如预期下降；回报没有显示出差别。"
    assert how(plan(start=1280, onset=2000), 3, "en")[0].startswith("Both arms begin with the checkpoint of step 1,280")
    assert "from the start" in how(plan(), 3, "en")[0]
    assert "从头训练" in how(plan(whole=True), 3, "zh")[0]


def test_a_trial_forks_before_the_onset_and_touches_nothing(run, upswing):
    made = make_plan(run, "P01", updates=20)
    assert made.change.field == "learning_rate" and made.change.new < 0.03
    assert made.start is None or made.start <= made.onset
    before = {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}
    said = upswing("try", run, "P01", "--updates", "20", "--seeds", "6", "--json")
    told = json.loads(said.out.splitlines()[-1])
    assert said.code == (0 if told["confirmed"] else 10)
    assert told["mechanism"]["as_predicted"], told
    assert np.mean(told["mechanism"]["remedy"]) < 0.5 * np.mean(told["mechanism"]["control"])
    assert told["seeds"] == 6 and told["steps"] == 20 * 256
    assert before == {path: path.read_bytes() for path in before}
    shown = upswing("try", run, "P01", "--updates", "6", "--change", "n_epochs=2", "--lang", "zh")
    assert "试验" in shown.out and "n_epochs 10 → 2" in shown.out


def test_both_arms_of_a_pair_begin_alike(run):
    """With a change that changes nothing the arms are the same, from a checkpoint and from the start."""
    made = make_plan(run, "P01", "learning_rate=0.03", 3)
    for start in (None, 2560):
        trial = try_remedy(replace(made, start=start), 3)
        assert trial.control == trial.remedy
        assert len({arm.mechanism for arm in trial.control}) == 3, "pairs differ by their seeds"
    whole = try_remedy(replace(made, start=None), 3)
    assert whole.control != trial.control, "a fork begins with the trained policy"


def test_changes_that_forks_can_take_and_those_that_need_the_start(run):
    assert make_plan(run, "P01", "normalize_obs=true").whole
    assert make_plan(run, "P01", "normalize_obs=true").start is None
    more = make_plan(run, "P01", "n_envs=8", 4)
    trial = try_remedy(replace(more, start=2560), 3)
    assert derive(trial.plan.remedy).pool == 512
    assert len(trial.remedy[0].curve) <= 2, "the same environment steps, not the same updates"


def test_what_cannot_be_tried_is_said(run, upswing):
    with pytest.raises(UserError, match="does not find B01"):
        make_plan(run, "B01")
    with pytest.raises(UserError, match="not a setting to try"):
        make_plan(run, "P01", "total_timesteps=9")
    assert upswing("try", run, "P01", "--seeds", "2").code == 2
    assert upswing("try", "nowhere", "P01").code == 4
