"""From settings to what follows from them, and the sentences for what cannot be or is probably not meant."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upswing.config import FIELDS, TrainConfig, canonical, check, coerce, derive, is_folder_name, warnings
from upswing.errors import ConfigError


def error_of(**settings):
    with pytest.raises(ConfigError) as caught:
        check(TrainConfig(**settings))
    message = str(caught.value)
    assert "\n" not in message and message.endswith((".", "?"))
    return message


def test_stable_baselines3s_defaults():
    """1 × 2048 transitions, 64 a minibatch: 32 minibatches, 10 epochs; 100,000 / 2,048 = 48.8 → 49 rollouts."""
    derived = derive(TrainConfig())
    assert (derived.pool, derived.batch_size, derived.n_minibatches) == (2048, 64, 32)
    assert (derived.iterations, derived.total_timesteps) == (49, 49 * 2048)
    assert derived.gradient_steps == 49 * 10 * 32
    assert (derived.eval_freq, derived.n_evaluations) == (5_000, 20)  # 100,352 / 5,000 = 20.07
    assert derived.checkpoint_freq == 10_000


@pytest.mark.parametrize(("rounding", "iterations", "gradient_steps"), [("up", 20, 2560), ("down", 19, 2432)])
def test_two_thousand_parallel_environments_learn_in_few_steps(rounding, iterations, gradient_steps):
    """2,048 × 50 = 102,400 transitions; 2,000,000 / 102,400 = 19.53; 4 epochs × 32 minibatches = 128 steps each."""
    config = TrainConfig(
        n_envs=2048, n_steps=50, total_timesteps=2_000_000, n_epochs=4, n_minibatches=32, rollout_rounding=rounding
    )
    derived = derive(config)
    assert (derived.pool, derived.batch_size, derived.n_minibatches) == (102_400, 3_200, 32)
    assert (derived.iterations, derived.gradient_steps) == (iterations, gradient_steps)
    assert derived.total_timesteps == iterations * 102_400
    few = derive(TrainConfig(n_envs=256, n_steps=50, total_timesteps=2_000_000, n_epochs=4, n_minibatches=32))
    assert (few.iterations, few.gradient_steps) == (157, 157 * 128)  # 156.25 rollouts


def test_batch_size_and_n_minibatches_derive_each_other_last():
    assert derive(TrainConfig(n_envs=8, n_steps=32, batch_size=64)).n_minibatches == 4
    assert derive(TrainConfig(n_envs=8, n_steps=32, n_minibatches=4)).batch_size == 64
    assert derive(TrainConfig(n_envs=16, n_steps=32, n_minibatches=4)).batch_size == 128  # follows the pool


def test_a_batch_that_does_not_divide_the_pool_leaves_a_smaller_last_one():
    derived = derive(TrainConfig(n_envs=1, n_steps=100, batch_size=64, total_timesteps=100, n_epochs=1))
    assert (derived.n_minibatches, derived.gradient_steps) == (2, 2)
    derived = derive(TrainConfig(n_envs=1, n_steps=100, n_minibatches=32))  # 100 // 32 = 3; 33 × 3 + 1 = 100
    assert (derived.batch_size, derived.n_minibatches) == (3, 34)


def test_a_batch_beyond_the_pool_is_one_step_an_epoch():
    assert derive(TrainConfig(n_steps=32, batch_size=64)).n_minibatches == 1


def test_at_least_one_rollout_is_taken():
    for rounding in ("up", "down"):
        derived = derive(TrainConfig(total_timesteps=100, rollout_rounding=rounding))
        assert (derived.iterations, derived.total_timesteps) == (1, 2048)


def test_a_budget_of_whole_rollouts_is_not_rounded():
    for rounding in ("up", "down"):
        assert derive(TrainConfig(total_timesteps=4096, rollout_rounding=rounding)).iterations == 2


@pytest.mark.parametrize(
    ("freq", "expected"),
    [(0, 0), (2048, 10), (1, 10), (3000, 6), (4096, 5), (5000, 4), (20_480, 1), (20_481, 0), (None, 10)],
)
def test_evaluations_are_counted_as_crossings(freq, expected):
    """Ten rollouts of 2,048 steps; those in which a multiple of eval_freq is reached, counted one by one."""
    config = TrainConfig(total_timesteps=20_480, eval_freq=freq)
    derived = derive(config)
    every = derived.eval_freq
    crossings = sum(every > 0 and i * 2048 // every > (i - 1) * 2048 // every for i in range(1, 11))
    assert derived.n_evaluations == crossings == expected


@given(
    n_envs=st.integers(1, 64),
    n_steps=st.integers(1, 300),
    total=st.integers(1, 100_000),
    freq=st.integers(0, 30_000),
    up=st.booleans(),
)
def test_arithmetic_holds_for_all_sizes(n_envs, n_steps, total, freq, up):
    config = TrainConfig(
        n_envs=n_envs, n_steps=n_steps, total_timesteps=total, eval_freq=freq, rollout_rounding="up" if up else "down"
    )
    d = derive(config)
    assert d.pool == n_envs * n_steps and d.total_timesteps == d.iterations * d.pool
    assert (d.n_minibatches - 1) * d.batch_size < d.pool <= d.n_minibatches * d.batch_size
    if up:
        assert d.total_timesteps - d.pool < total <= d.total_timesteps
    else:
        assert d.iterations == 1 or d.total_timesteps <= total < d.total_timesteps + d.pool
    crossings = sum(freq > 0 and i * d.pool // freq > (i - 1) * d.pool // freq for i in range(1, d.iterations + 1))
    assert d.n_evaluations == crossings


def test_a_checked_config_has_values_of_the_declared_types():
    config = check(
        TrainConfig(n_envs=8.0, gamma=1, seed=np.int64(3), normalize_obs="yes", learning_rate="3e-4", n_epochs="4")
    )
    assert (config.n_envs, config.gamma, config.seed, config.n_epochs) == (8, 1.0, 3, 4)
    assert [type(v) for v in (config.n_envs, config.gamma, config.seed)] == [int, float, int]
    assert config.normalize_obs is True and config.learning_rate == 3e-4
    assert check(config) == config


IMPOSSIBLE = [
    ({"n_envs": 0}, "n_envs = 0 is impossible: give a value of at least 1."),
    ({"n_envs": 2.5}, "n_envs = 2.5 is not a whole number: write one, such as 2."),
    ({"n_envs": "many"}, "n_envs = 'many' is not a whole number: Environments that step"),
    ({"n_envs": True}, "n_envs = True is not a whole number"),
    ({"n_envs": None}, "n_envs needs a value"),
    ({"gamma": 1.5}, "gamma = 1.5 is impossible: give a value of between 0 and 1."),
    ({"gamma": "nan"}, "gamma = 'nan' is not a finite number"),
    ({"gamma": float("inf")}, "gamma = inf is not a finite number"),
    ({"gamma": [0.9]}, r"gamma = \[0.9\] is not a number"),
    ({"seed": -1}, "seed = -1 is impossible"),
    ({"seed": 2**32}, "seed = 4294967296 is impossible: give a value of between 0 and 4294967295."),
    ({"normalize_obs": "perhaps"}, "normalize_obs = 'perhaps' is neither true nor false: write one of the two."),
    ({"normalize_obs": 2}, "neither true nor false"),
    ({"engine": "warp"}, "engine = 'warp' is not known: choose one of auto, torch, native."),
    ({"engine": 5}, "engine = 5 is not a text"),
    ({"env": 5}, "env = 5 is not a text"),
    ({"env": ""}, "env = '' is not a text"),
    ({"policy": None}, "policy needs a value"),
    ({"name": 5}, "name = 5 is not a text"),
    ({"out_dir": lambda: 1}, "out_dir = .* is not a text"),
    ({"env_kwargs": "gravity"}, "env_kwargs = 'gravity' is not a table of settings: write key=value or JSON"),
    ({"env_kwargs": {1: 2}}, "is not a table of settings"),
    ({"policy_kwargs": [64, 64]}, "is not a table of settings"),
    ({"batch_size": 64, "n_minibatches": 4}, "are alternatives: set one of them."),
    ({"n_minibatches": 5000}, "n_minibatches = 5000 is more than the rollout's n_envs × n_steps = 2048 transitions"),
    ({"n_steps": 1}, "n_envs × n_steps = 1 leaves nothing to normalise advantages with: raise n_steps"),
    ({"learning_rate": -1e-3}, "learning_rate = -0.001 is or becomes negative"),
    ({"learning_rate": "linear:1e-3:-1e-3"}, "learning_rate = 'linear:1e-3:-1e-3' is or becomes negative"),
    ({"learning_rate": float("nan")}, "learning_rate = nan is not a schedule"),
    ({"clip_range": "adaptive:0.2"}, "clip_range = 'adaptive:0.2' is not a schedule"),
    ({"clip_range_vf": "wide"}, "clip_range_vf = 'wide' is not a schedule"),
    ({"ent_coef": lambda remaining: remaining - 1}, "is or becomes negative"),
    ({"name": "../up"}, "name = '../up' cannot be a folder's name"),
    ({"name": "<script>"}, "cannot be a folder's name"),
    ({"device": "gpu"}, "device = 'gpu' is not known: choose auto, cpu, cuda or a numbered cuda:1."),
    ({"env": "<not reloadable: class Mine of my_code>"}, "env was a Python object, .* set env again."),
    ({"policy_kwargs": {"activation_fn": "<not reloadable: class A of b>"}}, "policy_kwargs was a Python object"),
]


@pytest.mark.parametrize(("settings", "sentence"), IMPOSSIBLE, ids=lambda value: str(value)[:24])
def test_impossible_values_are_one_clear_sentence(settings, sentence):
    assert re.search(sentence, error_of(**settings))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n_envs", "8", 8),
        ("total_timesteps", "1e6", 1_000_000),
        ("total_timesteps", "1_000_000", 1_000_000),
        ("gamma", ".9", 0.9),
        ("normalize_obs", "False", False),
        ("normalize_obs", "on", True),
        ("normalize_obs", 1, True),
        ("target_kl", "none", None),
        ("target_kl", "None", None),
        ("target_kl", "0.02", 0.02),
        ("eval_freq", "0", 0),
        ("learning_rate", "linear:3e-4", "linear:3e-4"),
        ("learning_rate", "1e-3", 1e-3),
        ("clip_range_vf", "none", None),
        ("name", "none", None),
        ("env", "none", "none"),
        ("device", "cuda:1", "cuda:1"),
        ("env_kwargs", {"a": 1}, {"a": 1}),
    ],
)
def test_texts_from_flags_become_values(name, text, value):
    assert coerce(name, text) == value and type(coerce(name, text)) is type(value)


def test_classes_and_functions_are_welcome_where_they_make_sense():
    def make():
        return None

    assert coerce("env", make) is make and coerce("policy", dict) is dict


def test_the_table_of_a_config_is_its_own():
    mine = {"gravity": 9.8}
    config = check(TrainConfig(env_kwargs=mine))
    mine["gravity"] = 0
    assert config.env_kwargs == {"gravity": 9.8}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("n_envs", "n_envs"),
        ("--n-envs", "n_envs"),
        ("--n_envs", "n_envs"),
        (" num-envs ", "n_envs"),
        ("--env-id", "env"),
        ("num_steps", "n_steps"),
        ("num_minibatches", "n_minibatches"),
        ("minibatch_size", "batch_size"),
        ("update-epochs", "n_epochs"),
        ("clip_coef", "clip_range"),
        ("num_eval_envs", "n_eval_envs"),
        ("norm-adv", "normalize_advantage"),
        ("exp_name", "name"),
        ("checkpoint", "checkpoint_path"),
    ],
)
def test_other_frameworks_words_are_understood(given, field):
    assert canonical(given) == field


def test_every_field_is_its_own_name():
    assert [canonical(name) for name in FIELDS] == list(FIELDS)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("learning_rte", "did you mean learning_rate?"),
        ("--n-env", "did you mean n_envs?"),
        ("xyzzy", "upswing train --help"),
    ],
)
def test_unknown_names_get_a_hint(given, hint):
    with pytest.raises(ConfigError, match=re.escape(f"{given} is not a setting: ") + f".*{re.escape(hint)}"):
        canonical(given)


def test_nothing_is_said_about_the_defaults():
    assert warnings(TrainConfig()) == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_steps": 32}, "batch_size 64 exceeds the rollout of n_envs × n_steps = 32 transitions: each epoch is one"),
        ({"n_steps": 100}, "batch_size 64 does not divide .* = 100 transitions: the last minibatch .* holds only 36."),
        (
            {"n_steps": 130, "n_minibatches": 4},
            "n_minibatches 4 does not divide .* 5 minibatches of 32, the last of 2.",
        ),
        ({"learning_rate": 1.0}, "learning_rate = 1 is outside its usual range 1e-05 to 0.01. The policy jumps"),
        ({"learning_rate": "linear:1"}, "learning_rate = 1 is outside"),
        ({"learning_rate": 1e-7}, "learning_rate = 1e-07 is outside .* Learning crawls"),
        ({"gamma": 0.5}, "gamma = 0.5 is outside .* Short-sighted"),
        ({"n_minibatches": 1024}, "batch_size = 2 is outside its usual range 16 to 65536. Noisy gradients"),
        ({"eval_freq": 0, "early_stop_reward": 475}, "early_stop_reward has no effect"),
        ({"total_timesteps": 100}, "total_timesteps 100 is less than one rollout .* = 2048 transitions: one whole"),
    ],
)
def test_what_is_probably_not_meant_is_said(settings, sentence):
    (found,) = warnings(check(TrainConfig(**settings)))
    assert re.search(sentence, found)


def test_effects_are_said_of_adaptive_rates_and_callables_too():
    assert warnings(TrainConfig(learning_rate="adaptive:3e-4")) == []
    assert "clip_range = 0.9" in warnings(TrainConfig(clip_range=lambda remaining: 0.9))[0]


def test_early_stopping_with_evaluations_is_fine():
    assert warnings(TrainConfig(early_stop_reward=475)) == []


@pytest.mark.parametrize(
    "name", ["a", "CartPole-v1-20250101-120000-0", "lr=3e-4, big", "1", "_x", "倒立摆", "v1.2+x@y"]
)
def test_ordinary_names_are_folder_names(name):
    assert is_folder_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "a.", "a ", " a", "a/b", "a\\b", "a\n", "a:b", "a" * 201, "~"]
)
def test_odd_names_are_not(name):
    assert not is_folder_name(name)
