"""Every hyperparameter is declared completely and consistently."""

import dataclasses
import re

import pytest

from upswing.config import ALIASES, FIELDS, SCHEDULED, WORDS, TrainConfig, check

NUMBERS = [name for name, f in FIELDS.items() if str(f.type).startswith(("int", "float"))]
KNOBS = (
    "learning_rate",
    "n_steps",
    "batch_size",
    "n_epochs",
    "gamma",
    "gae_lambda",
    "clip_range",
    "ent_coef",
    "vf_coef",
)
PROMISED = [
    "env",
    "env_kwargs",
    "n_envs",
    "out_dir",
    "name",
    "checkpoint_path",
    "seed",
    "policy",
    "policy_kwargs",
    "total_timesteps",
    "learning_rate",
    "n_steps",
    "batch_size",
    "n_minibatches",
    "n_epochs",
    "gamma",
    "gae_lambda",
    "clip_range",
    "clip_range_vf",
    "normalize_advantage",
    "ent_coef",
    "vf_coef",
    "max_grad_norm",
    "target_kl",
    "normalize_obs",
    "normalize_reward",
    "eval_freq",
    "n_eval_envs",
    "n_eval_episodes",
    "eval_deterministic",
    "checkpoint_freq",
    "early_stop_reward",
    "device",
    "engine",
    "vectorization",
    "threads",
]
STABLE_BASELINES3 = {
    "learning_rate": 3e-4,
    "n_steps": 2048,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "clip_range_vf": None,
    "normalize_advantage": True,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "target_kl": None,
    "use_sde": False,
    "sde_sample_freq": -1,
    "stats_window_size": 100,
}


def test_everything_a_user_expects_is_there():
    assert set(PROMISED) <= set(FIELDS)


def test_defaults_are_stable_baselines3s():
    config = TrainConfig()
    assert {name: getattr(config, name) for name in STABLE_BASELINES3} == STABLE_BASELINES3


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_explains_itself(name):
    word = WORDS[name]
    assert word.group and len(word.help) > 10
    assert not word.help[0].isascii() or word.help[0].isupper()  # γ, λ and ε are as they are
    assert word.help.endswith((".", ")"))
    assert all(effect.endswith((".", ")")) for effect in (word.low, word.high) if effect)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_limits(name):
    if name == "early_stop_reward":  # a return may be anything
        return
    assert WORDS[name].limits is not None


@pytest.mark.parametrize("name", [*KNOBS, "n_envs", "total_timesteps", "max_grad_norm", "target_kl", "n_eval_episodes"])
def test_every_knob_says_what_too_small_and_too_large_do(name):
    assert WORDS[name].low and WORDS[name].high


@pytest.mark.parametrize("name", [*KNOBS, "n_envs", "max_grad_norm", "target_kl"])
def test_every_knob_has_a_usual_range(name):
    assert WORDS[name].sane is not None


@pytest.mark.parametrize("name", [name for name in FIELDS if re.search(r"(^n_|steps|_freq$|_s$|size$)", name)])
def test_every_count_and_duration_has_a_unit(name):
    assert WORDS[name].unit


@pytest.mark.parametrize("name", [name for name, word in WORDS.items() if word.sane])
def test_usual_ranges_lie_within_the_limits_and_hold_the_default(name):
    word, default = WORDS[name], getattr(TrainConfig(), name)
    low, high = word.limits or (None, None)
    assert word.sane[0] < word.sane[1]
    assert low is None or word.sane[0] >= low
    assert high is None or word.sane[1] <= high
    assert default is None or word.sane[0] <= default <= word.sane[1]


def test_choices_hold_the_default():
    for name, word in WORDS.items():
        assert word.choices is None or getattr(TrainConfig(), name) in word.choices


def test_names_and_aliases_do_not_collide():
    aliases = [alias for word in WORDS.values() for alias in word.aliases]
    assert len(aliases) == len(set(aliases)) == len(ALIASES)
    assert not set(aliases) & set(FIELDS)


def test_scheduled_settings_are_those_typed_so():
    assert tuple(name for name, f in FIELDS.items() if "Setting" in str(f.type)) == SCHEDULED


def test_the_defaults_pass_their_own_check():
    assert check(TrainConfig()) == TrainConfig()


def test_a_config_is_immutable_and_its_tables_are_its_own():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().seed = 1
    assert TrainConfig().env_kwargs is not TrainConfig().env_kwargs
