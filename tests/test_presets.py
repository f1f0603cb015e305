import pytest

from upswing import TrainConfig, preset
from upswing.config import check, derive
from upswing.envs.maniskill.tasks import task_name
from upswing.envs.registry import find_env
from upswing.envs.starcraft.names import MINI_GAMES
from upswing.errors import ConfigError
from upswing.presets import PRESETS, Layers

# environment: steps, n_envs, n_steps, batch_size, n_epochs, gamma, gae_lambda, learning rate, clip range, normalised
# (RL-Zoo, hyperparams/ppo.yml at commits 22e3ff2 and 208b6fd; InvertedPendulum and Hopper: CleanRL, ppo_continuous_action.py; what it leaves out is Stable-Baselines3's default)
PUBLISHED = {
    "CartPole-v1": (1e5, 8, 32, 256, 20, 0.98, 0.8, "linear:0.001", "linear:0.2", False),
    "Acrobot-v1": (1e6, 16, 256, 64, 4, 0.99, 0.94, 3e-4, 0.2, True),
    "Pendulum-v1": (1e5, 4, 1024, 64, 10, 0.9, 0.95, 1e-3, 0.2, False),
    "MountainCar-v0": (1e6, 16, 16, 64, 4, 0.99, 0.98, 3e-4, 0.2, True),
    "MountainCarContinuous-v0": (2e4, 1, 8, 256, 10, 0.9999, 0.9, 7.77e-5, 0.1, True),
    "PushBlock-v0": (3.2e5, 256, 25, 200, 4, 0.8, 0.9, 2e-3, 0.2, False),
    "LunarLander-v3": (1e6, 16, 1024, 64, 4, 0.999, 0.98, 3e-4, 0.2, False),
    "LunarLanderContinuous-v3": (1e6, 16, 1024, 64, 4, 0.999, 0.98, 3e-4, 0.2, False),
    "InvertedPendulum-v5": (1e6, 1, 2048, 64, 10, 0.99, 0.95, "linear:0.0003", 0.2, True),
    "BipedalWalker-v3": (5e6, 32, 2048, 64, 10, 0.999, 0.95, 3e-4, 0.18, True),
    "Swimmer-v5": (1e6, 4, 1024, 256, 10, 0.9999, 0.98, 6e-4, 0.2, True),
    "Ant-v5": (1e6, 64, 32, 64, 10, 0.99, 0.95, "linear:0.0003", 0.2, True),
    "HalfCheetah-v5": (1e6, 1, 512, 64, 20, 0.98, 0.92, 2.0633e-5, 0.1, True),
    "Hopper-v5": (1e6, 1, 2048, 64, 10, 0.99, 0.95, "linear:0.0003", 0.2, True),
    "Walker2d-v5": (1e6, 1, 512, 32, 20, 0.99, 0.95, 5.05041e-5, 0.1, True),
    "ALE/Pong-v5": (1e7, 8, 128, 256, 4, 0.99, 0.95, "linear:0.00025", "linear:0.1", False),
    "ALE/Breakout-v5": (1e7, 8, 128, 256, 4, 0.99, 0.95, "linear:0.00025", "linear:0.1", False),
    "ALE/RoadRunner-v5": (150_000, 8, 128, 256, 4, 0.99, 0.95, "linear:0.001", 0.15, False),
    "PushCube-v1": (150_000, 32, 32, 128, 8, 0.8, 0.9, 3e-4, 0.2, False),
    "PickCube-v1": (2e6, 64, 50, 400, 8, 0.8, 0.9, 3e-4, 0.2, False),
    **dict.fromkeys(MINI_GAMES, (1e6, 3, 64, 64, 4, 0.95, 0.95, 5e-4, 0.2, False)),
    "PushCube-v1-gpu": (2e6, 2048, 20, 1280, 8, 0.8, 0.9, 3e-4, 0.2, False),
    "PickCube-v1-gpu": (1e7, 1024, 50, 1600, 8, 0.8, 0.9, 3e-4, 0.2, False),
}
MANISKILL = {  # examples/baselines/ppo/ppo.py: it stops above target_kl = 0.1, which is 1.5 times ours
    "target_kl": pytest.approx(0.1 / 1.5),
    "policy_kwargs": {"net_arch": [256, 256, 256], "log_std_init": -0.5},
    "bootstrap_terminations": True,
    "rollout_rounding": "down",
}
WIDE = {
    "log_std_init": -2,
    "ortho_init": False,
    "activation_fn": "relu",
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}
OTHERS = {
    "Pendulum-v1": {"use_sde": True, "sde_sample_freq": 4},
    "MountainCarContinuous-v0": {
        "ent_coef": 0.00429,
        "max_grad_norm": 5,
        "vf_coef": 0.19,
        "use_sde": True,
        "sde_sample_freq": -1,
        "policy_kwargs": {"log_std_init": -3.29, "ortho_init": False},
    },
    "PushBlock-v0": {"policy_kwargs": {"net_arch": [32, 32]}},
    "LunarLander-v3": {"ent_coef": 0.01},
    "LunarLanderContinuous-v3": {"ent_coef": 0.01},
    "InvertedPendulum-v5": {"vf_coef": 0.25},
    "HalfCheetah-v5": {"ent_coef": 0.000401762, "max_grad_norm": 0.8, "vf_coef": 0.58096, "policy_kwargs": WIDE},
    "Hopper-v5": {"vf_coef": 0.25},
    **{
        key: {"ent_coef": 0.01, "eval_deterministic": False}
        for key in ("ALE/Pong-v5", "ALE/Breakout-v5", "ALE/RoadRunner-v5")
    },
    **{name: {"ent_coef": 1e-3} for name in MINI_GAMES},
    "Ant-v5": {"vf_coef": 0.25, "policy_kwargs": {"log_std_init": -0.5}},
    **dict.fromkeys(("PushCube-v1", "PickCube-v1", "PushCube-v1-gpu", "PickCube-v1-gpu"), MANISKILL),
    "Walker2d-v5": {"ent_coef": 0.000585045, "max_grad_norm": 1.0, "vf_coef": 0.871923},
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_published_recipe(name):
    config = check(preset(name))
    found = (
        config.total_timesteps,
        config.n_envs,
        config.n_steps,
        config.batch_size or derive(config).batch_size,
        config.n_epochs,
        config.gamma,
        config.gae_lambda,
        config.learning_rate,
        config.clip_range,
        config.normalize_obs and config.normalize_reward,
    )
    assert found == PUBLISHED[name]
    defaults = TrainConfig()
    plain = ("ent_coef", "max_grad_norm", "vf_coef", "use_sde", "sde_sample_freq", "policy_kwargs", "target_kl")
    for field in (*plain, "bootstrap_terminations", "rollout_rounding", "eval_deterministic"):
        assert getattr(config, field) == OTHERS.get(name, {}).get(field, getattr(defaults, field)), field


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_for_an_environment_that_exists_and_says_what_to_expect(name):
    recipe = PRESETS[name]
    env = recipe.settings["env"]
    assert name in (env, f"{env}-gpu")
    assert task_name(env) == env or env.startswith("ALE/") or find_env(env).id == env
    assert recipe.source.startswith(("RL-Zoo", "CleanRL", "ManiSkill", "Tianshou", "Upswing"))
    assert recipe.expected_from


def test_overrides_win_and_replace_alternatives():
    config = preset("CartPole-v1", num_envs=2, n_minibatches=4)
    assert (config.n_envs, config.n_minibatches, config.batch_size, config.n_steps) == (2, 4, None, 32)
    assert preset("CartPole-v1", batch_size=32).batch_size == 32


def test_there_is_no_preset_for_everything():
    with pytest.raises(ConfigError, match="There is no preset for Taxi-v4: choose one of CartPole-v1"):
        preset("Taxi-v4")


def test_python_does_not_use_presets_unasked():
    assert TrainConfig(env="CartPole-v1").n_envs == 1


def test_layers_remember_where_settings_come_from():
    below = Layers().over({"batch_size": 64, "seed": 1, "env_kwargs": {"a": 1, "b": 1}}, "file")
    above = below.over({"n_minibatches": 4, "env_kwargs": {"b": 2}}, "flags")
    assert above.settings == {"seed": 1, "n_minibatches": 4, "env_kwargs": {"a": 1, "b": 2}}
    assert above.origin == {"seed": "file", "n_minibatches": "flags", "env_kwargs": "flags"}
    assert below.settings["batch_size"] == 64
    both = below.over({"batch_size": 8, "n_minibatches": 4}, "flags")  # a contradiction is not hidden
    assert both.settings["batch_size"] == 8
    unset = below.over({"batch_size": None, "n_minibatches": 4}, "a run's config.json")
    assert (unset.settings["batch_size"], unset.settings["n_minibatches"]) == (None, 4)
