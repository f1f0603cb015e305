"""The plan: the arithmetic of settings, warnings for the user's own case, none for recipes that are known to work."""

import pytest

from upswing.config import TrainConfig
from upswing.doctor.measure import measure, shortened
from upswing.doctor.plan import plan
from upswing.presets import PRESETS, preset

# RL-Zoo, hyperparams/ppo.yml at commit 22e3ff2: every recipe with settings of its own. (steps, n_envs, n_steps,
# batch_size, n_epochs, gamma, gae_lambda, learning_rate)
RL_ZOO = {
    "atari": (10_000_000, 8, 128, 256, 4, 0.99, 0.95, "lin_2.5e-4"),
    "Pendulum-v1": (100_000, 4, 1024, 64, 10, 0.9, 0.95, 1e-3),
    "CartPole-v1": (100_000, 8, 32, 256, 20, 0.98, 0.8, "lin_0.001"),
    "MountainCar-v0": (1_000_000, 16, 16, 64, 4, 0.99, 0.98, 3e-4),
    "MountainCarContinuous-v0": (20_000, 1, 8, 256, 10, 0.9999, 0.9, 7.77e-5),
    "Acrobot-v1": (1_000_000, 16, 256, 64, 4, 0.99, 0.94, 3e-4),
    "BipedalWalker-v3": (5_000_000, 32, 2048, 64, 10, 0.999, 0.95, 3e-4),
    "BipedalWalkerHardcore-v3": (100_000_000, 16, 2048, 64, 10, 0.99, 0.95, "lin_2.5e-4"),
    "LunarLander-v3": (1_000_000, 16, 1024, 64, 4, 0.999, 0.98, 3e-4),
    "HalfCheetahBulletEnv-v0": (2_000_000, 16, 512, 128, 20, 0.99, 0.9, 3e-5),
    "ReacherBulletEnv-v0": (1_000_000, 8, 512, 64, 20, 0.99, 0.9, 3e-5),
    "MinitaurBulletEnv-v0": (2_000_000, 8, 2048, 64, 10, 0.99, 0.95, 2.5e-4),
    "HumanoidBulletEnv-v0": (10_000_000, 8, 2048, 64, 10, 0.99, 0.95, 2.5e-4),
    "MiniGrid-DoorKey-5x5-v0": (100_000, 8, 128, 64, 10, 0.99, 0.95, 2.5e-4),
    "MiniGrid-FourRooms-v0": (5_000_000, 8, 512, 64, 10, 0.99, 0.95, 2.5e-4),
    "CarRacing-v3": (4_000_000, 8, 512, 128, 10, 0.99, 0.95, "lin_1e-4"),
    "Ant-v4": (1_000_000, 1, 2048, 64, 10, 0.99, 0.95, 3e-4),
    "Swimmer-v4": (1_000_000, 4, 1024, 256, 10, 0.9999, 0.98, 6e-4),
    "HalfCheetah-v4": (1_000_000, 1, 512, 64, 20, 0.98, 0.92, 2.0633e-05),
    "Hopper-v4": (1_000_000, 1, 512, 32, 5, 0.999, 0.99, 9.80828e-05),
    "HumanoidStandup-v2": (10_000_000, 1, 512, 32, 20, 0.99, 0.9, 2.55673e-05),
    "Humanoid-v4": (10_000_000, 1, 512, 256, 5, 0.95, 0.9, 3.56987e-05),
    "InvertedDoublePendulum-v2": (1_000_000, 1, 128, 512, 10, 0.98, 0.8, 0.000155454),
    "InvertedPendulum-v2": (1_000_000, 1, 32, 64, 5, 0.999, 0.9, 0.000222425),
    "Reacher-v2": (1_000_000, 1, 512, 32, 5, 0.9, 1.0, 0.000104019),
    "Walker2d-v4": (1_000_000, 1, 512, 32, 20, 0.99, 0.95, 5.05041e-05),
}
KNOWN_GOOD = {
    # recipes of other projects: ManiSkill's PushCube and its 4-step rollouts, CleanRL's, Isaac Lab's cartpole and ants
    "PushCube, 20 steps": (2_000_000, 2048, 20, 1280, 8, 0.8, 0.9, 3e-4),
    "PushCube, 4 steps": (10_000_000, 4096, 4, 512, 8, 0.8, 0.9, 3e-4),
    "256 environments": (2_000_000, 256, 50, 400, 4, 0.8, 0.9, 3e-4),
    "CleanRL CartPole": (500_000, 4, 128, 128, 4, 0.99, 0.95, "linear:2.5e-4"),
    "CleanRL MuJoCo": (1_000_000, 1, 2048, 64, 10, 0.99, 0.95, "linear:3e-4"),
    "Isaac Lab cartpole": (9_830_400, 4096, 16, 16384, 5, 0.99, 0.95, "adaptive:1e-3"),
    "SB3 defaults": (100_000, 1, 2048, 64, 10, 0.99, 0.95, 3e-4),
}


def config(recipe, **more):
    """The configuration of a recipe."""
    steps, n_envs, n_steps, batch, epochs, gamma, lam, rate = recipe
    return TrainConfig(
        env="Some-v0",
        total_timesteps=steps,
        n_envs=n_envs,
        n_steps=n_steps,
        batch_size=batch,
        n_epochs=epochs,
        gamma=gamma,
        gae_lambda=lam,
        learning_rate=rate,
        **more,
    )


MANISKILL = {
    "env": "PushCube-v1", "n_envs": 2048, "n_steps": 50, "n_minibatches": 32, "n_epochs": 4, "gamma": 0.8, "gae_lambda": 0.9,
    "total_timesteps": 2_000_000, "eval_freq": 25 * 2048 * 50,
}  # fmt: skip


def codes(made):
    """The warnings' codes."""
    return [card.code for card in made.warnings]


def test_the_users_own_case_is_caught():
    made = plan(TrainConfig(**MANISKILL))
    assert (made.iterations, made.gradient_steps, made.evaluations) == (20, 2560, 1)
    assert made.evaluations_before_first_update == 1
    assert codes(made) == ["S01", "S05"]
    assert made.cards[1].finding.variant == "untrained"
    assert made.exit_code == 10
    down = plan(TrainConfig(**MANISKILL, rollout_rounding="down"))
    assert (down.iterations, down.gradient_steps) == (19, 2432)
    assert codes(down) == ["S01", "S05"]


def test_the_cure_it_names_is_a_setting_that_passes():
    made = plan(TrainConfig(**MANISKILL))
    changes = {change.field: change.new for card in made.cards for change in card.changes[:1]}
    assert changes == {"n_envs": 512, "eval_freq": 102_400}
    assert codes(plan(TrainConfig(**{**MANISKILL, **changes}))) == []


@pytest.mark.parametrize("env", PRESETS)
def test_presets_have_no_warning(env):
    made = plan(preset(env))
    assert codes(made) == []
    assert made.exit_code == 0


@pytest.mark.parametrize("name", RL_ZOO)
def test_rl_zoos_recipes_have_no_warning(name):
    assert codes(plan(config(RL_ZOO[name]))) == []


@pytest.mark.parametrize("name", KNOWN_GOOD)
def test_other_known_good_recipes_have_no_warning(name):
    assert codes(plan(config(KNOWN_GOOD[name]))) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"gamma": 0.5}, "T02"),
        ({"n_steps": 4, "n_envs": 128, "batch_size": 256}, "T02"),
        ({"learning_rate": 1e-5}, "S01"),
        ({"learning_rate": "piecewise:0=3e-4,0.5=1e-9"}, "L01"),
        ({"batch_size": 60, "total_timesteps": 200_000}, "S02"),
        ({"eval_freq": 60_000}, "S05"),
        ({"n_steps": 8192}, "S01"),
    ],
)
def test_set_up_mistakes_are_caught(changes, code):
    assert codes(plan(TrainConfig(**changes))) == [code]


def test_the_numbers_hang_together():
    made = plan(
        TrainConfig(gamma=0.9, gae_lambda=0.5),
        episode_length=200,
        n_parameters=1000,
        observation_size=4,
        steps_per_second=500,
    )
    assert made.horizon == pytest.approx(10)
    assert made.gae_horizon == pytest.approx(1 / 0.55)
    assert made.travel == pytest.approx(49 * 10 * 32 * 3e-4)
    assert made.samples_per_parameter == pytest.approx(49 * 2048 / 1000)
    assert made.rollouts_per_episode == pytest.approx(200 / 2048)
    assert made.expected_s == pytest.approx(49 * 2048 / 500)
    assert 300 < made.memory_mb < 400
    assert plan(TrainConfig(gamma=1.0)).horizon == float("inf")


def test_the_time_limit_is_known_where_gymnasium_knows_it():
    assert plan(TrainConfig()).episode_length == 500
    assert plan(TrainConfig(env="my_module:Thing-v0")).episode_length is None


def test_json_has_what_programs_need():
    told = plan(TrainConfig(**MANISKILL)).to_json("zh")
    assert {"iterations", "gradient_steps", "evaluations", "findings"} <= told.keys()
    assert [finding["code"] for finding in told["findings"]] == ["S01", "S05"]
    assert "更新" in told["findings"][0]["claim"]
    assert told["findings"][0]["changes"][0] == {"field": "n_envs", "old": 2048, "new": 512, "in_flight": False}


def test_a_measurement_takes_short_rollouts_that_still_hold_a_minibatch():
    short = shortened(TrainConfig(n_envs=2048, n_steps=50, n_minibatches=32))
    assert (short.n_envs, short.n_steps, short.batch_size) == (2048, 2, 3200)
    assert shortened(TrainConfig(n_envs=8, n_steps=32, batch_size=256)).n_steps == 32
    assert shortened(TrainConfig(n_envs=4, n_steps=4096, batch_size=16384)).n_steps == 4096


def test_a_measurement_scales_to_the_whole_rollout():
    small = TrainConfig(
        n_envs=4, n_steps=32, batch_size=64, n_epochs=3, engine="torch", vectorization="serial", threads=1
    )
    measured = measure(small, seconds=0.01)
    assert (measured.n_parameters, measured.observation_size, measured.engine) == (9155, 4, "torch")
    assert measured.steps_per_second == pytest.approx(128 / (measured.collect_s + measured.update_s))
