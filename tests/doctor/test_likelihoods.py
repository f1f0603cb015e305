"""Causes: how much a run speaks for each, their order, and the changes that are advised."""

from dataclasses import replace as dataclass_replace

import numpy as np
import pytest

from doctor.made import POOL, flat, healthy
from upswing.doctor.case import make_case
from upswing.doctor.causes import CAUSES
from upswing.doctor.diagnose import diagnose
from upswing.doctor.environment import known_environment
from upswing.doctor.grouping import odds
from upswing.doctor.likelihoods import beyond_ends
from upswing.doctor.remedies import more_updates


def likely(cause, series):
    """How much a run speaks for `cause`."""
    return CAUSES[cause].plausible(make_case(series))


def test_an_adaptive_rate_is_no_odd_setting():
    case = make_case(healthy(settings={"learning_rate": "adaptive:1e-3"}, learning_rate=1e-2))
    assert CAUSES["lr_high"].plausible(case) < 0.5


def test_a_setting_that_is_off_is_no_suspect_and_one_that_is_unknown_may_be():
    off = healthy(settings={"target_kl": None}, kl_stopped=None, n_epochs_done=None, n_updates=None)
    unknown = dataclass_replace(off, config={k: v for k, v in off.config.items() if k != "target_kl"})
    assert likely("target_kl_small", off) == 0.0
    assert likely("target_kl_small", unknown) is None
    small = {"settings": {"target_kl": 1e-4}}
    assert likely("target_kl_small", healthy(**small, kl_stopped=1.0)) > 0.9
    assert likely("target_kl_small", healthy(**small)) == 0.0  # it never ended an update
    every_epoch = healthy(**small, kl_stopped=None, n_epochs_done=None)  # Stable-Baselines3 logs the count alone
    assert likely("target_kl_small", every_epoch) == 0.0


def test_a_batch_given_as_a_number_of_minibatches_is_judged_by_its_size():
    parts = healthy(settings={"batch_size": None, "n_minibatches": 128})
    assert likely("batch_small", parts) == likely("batch_small", healthy(settings={"batch_size": 4})) == 0.9


def test_settings_that_hardly_any_recipe_has():
    for cause, name, odd in (
        ("eps_large", "adam_eps", 1.0),
        ("clip_vf_small", "clip_range_vf", 1e-3),
        ("net_small", "policy_kwargs", {"net_arch": {"pi": [1], "vf": [64]}}),
    ):
        assert likely(cause, healthy(settings={name: odd})) > 0.9 > 0.2 > (likely(cause, healthy()) or 0.0), cause
    assert likely("units_dead", healthy(**{"train/dormant_units": 1.0})) > 0.9


def test_more_updates_are_bought_by_what_is_cheap_first_and_never_for_more_than_four_budgets():
    def change(**settings):
        return more_updates(make_case(healthy(n=4, settings={"total_timesteps": 4 * POOL, **settings})))

    assert change(n_envs=1, n_steps=64, total_timesteps=4 * 64).new == 1000  # 4 × 256, rounded
    many = {"n_envs": 2048, "n_steps": 50, "total_timesteps": 2_000_000}
    assert (change(**many).field, change(**many).new) == ("n_envs", 512)
    long = {"n_envs": 34, "n_steps": 1024, "total_timesteps": 4 * 34 * 1024}
    assert (change(**long).field, change(**long).new) == ("n_steps", 64)
    slow = {"n_envs": 1, "n_steps": 64, "total_timesteps": 64_000, "learning_rate": 1e-7}
    assert (change(**slow, n_epochs=4).field, change(**slow, n_epochs=4).new) == ("n_epochs", 8)
    assert (change(**slow, n_epochs=10, batch_size=64).field) == "total_timesteps"


def test_the_return_that_is_known_to_be_reachable_is_that_of_the_published_task():
    assert known_environment("Pendulum-v1")["reward_threshold"] == -200.0
    assert "reward_threshold" not in known_environment("Pendulum-v1", {"g": 13.0})
    assert known_environment("Pendulum-v1", {"render_mode": "rgb_array"})["reward_threshold"] == -200.0


def test_a_bug_that_no_setting_shows_is_suspected_where_healthy_updates_lead_nowhere():
    lost = healthy(**flat())
    assert likely("out_of_step", lost) == 0.8 and likely("out_of_step", healthy()) < 0.3
    assert likely("out_of_step", healthy(settings={"gamma": 0.5}, **flat())) < 0.3  # something else to blame
    assert likely("out_of_step", healthy(approx_kl=0.2, **flat())) < 0.3
    first = diagnose(lost).grave[0]
    assert first.causes[0].cause == "out_of_step" and first.causes[0].change is None
    odd = diagnose(healthy(settings={"clip_range": 0.005}, **flat())).grave[0]
    assert (odd.causes[0].cause, odd.changes[0].new) == ("clip_small", 0.2)


def test_a_critic_that_never_loses_a_constant_error_is_not_trained():
    off = {"value_bias": 1.5, "explained_variance": 0.3}
    assert likely("critic_untrained", healthy(**off)) > 0.65
    swinging = {**off, "value_bias": lambda old: 1.5 * (-1.0) ** np.arange(len(old))}
    assert likely("critic_untrained", healthy(**swinging)) < 0.2
    large = {**off, "return_mean": 5e4, "return_std": 1e4}  # too far away to be reached
    assert likely("critic_untrained", healthy(**large)) < 0.2
    assert likely("critic_untrained", healthy(settings={"vf_coef": 0.0})) == 0.99


def test_rewards_that_leap_without_a_reason():
    leaping = lambda old: -1.0 + 3.0 * np.random.default_rng(0).normal(size=len(old))  # noqa: E731
    blind = {"explained_variance": 0.0, "value_bias": 0.02}
    assert likely("reward_outliers", healthy(**{**blind, "rollout/reward_mean": leaping(np.zeros(120))})) > 0.6
    assert likely("reward_outliers", healthy(**{**blind, "rollout/reward_mean": -1.0})) < 0.2
    assert likely("reward_outliers", healthy(**{"rollout/reward_mean": leaping(np.zeros(120))})) < 0.2  # foreseen


def test_targets_tell_whether_the_return_goes_on_beyond_ends():
    def share(**columns):
        short = {"ep_len_mean": 10.0, "rollout/reward_mean": 1.0, "settings": {"gamma": 0.98}}
        return beyond_ends(make_case(healthy(**short, **columns)))

    mean = np.mean([(1 - 0.98**k) / 0.02 for k in range(1, 11)])  # what ten steps of 1 are worth, from each of them
    assert share(return_mean=mean) == pytest.approx(0.0, abs=1e-9)
    assert share(return_mean=50.0) == pytest.approx(1.0)
    assert beyond_ends(make_case(healthy(settings={"normalize_reward": True}))) is None
    endless = {"ep_len_mean": 10.0, "rollout/reward_mean": 1.0, "return_mean": 50.0}
    assert likely("ends_bootstrapped", healthy(settings={"gamma": 0.98}, **endless)) == 0.9


def test_a_setting_that_hardly_any_recipe_has_outweighs_a_likely_one():
    assert (odds(0.5), odds(0.99)) == (1.0, 12.0)
    both = {"settings": {"target_kl": 1e-4, "learning_rate": 3e-3}, "learning_rate": 3e-3, "kl_stopped": 1.0}
    series = healthy(**both, n_epochs_done=2.0, approx_kl=5e-4, **flat())
    assert likely("lr_high", series) > 0.6
    assert [cause.cause for cause in diagnose(series).grave[0].causes][:2] == ["target_kl_small", "lr_high"]
