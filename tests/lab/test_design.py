"""What shall be varied becomes settings; controls raise total_timesteps alone, by as much as the arithmetic asks."""

import pytest

from upswing import TrainConfig
from upswing.config import derive
from upswing.errors import ConfigError
from upswing.lab.design import combinations, label, matched, parse_vary, points, reloaded


def made(rows, **base):
    given = {"n_steps": 25, "n_minibatches": 32, "n_epochs": 4, "total_timesteps": 256_000} | base
    return points(rows, lambda values: TrainConfig(**{**given, **values}))


@pytest.mark.parametrize(("text", "name", "values"), [
    ("n_envs=256,512", "n_envs", [256, 512]),
    ("num_envs=1e3", "n_envs", [1000]),
    ("learning_rate=3e-4,linear:1e-3", "learning_rate", [3e-4, "linear:1e-3"]),
    ("policy_kwargs.net_arch=[32,32],[64]", "policy_kwargs.net_arch", [[32, 32], [64]]),
    ("target_kl=none,0.02", "target_kl", [None, 0.02]),
    ("normalize_obs=true,false", "normalize_obs", [True, False]),
])  # fmt: skip
def test_values_are_read_as_their_setting_wants_them(text, name, values):
    assert parse_vary(text) == (name, values)


@pytest.mark.parametrize(("text", "complaint"), [
    ("n_envs", "not of the form"),
    ("n_envs=8,", "not of the form"),
    ("n_envs=8,8", "names a value twice"),
    ("n_envs=many", "not a whole number"),
    ("speed=3", "is not a setting"),
    ("seed=1,2", "--seeds says how many"),
    ("env=A,B", "not comparable"),
    ("gamma.x=1", "only policy_kwargs"),
])  # fmt: skip
def test_what_cannot_be_varied_is_refused(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        parse_vary(text)


def test_grids_and_zips():
    axes = {"n_envs": [1, 2], "gamma": [0.9, 0.99]}
    assert [tuple(row.values()) for row in combinations(axes)] == [(1, 0.9), (1, 0.99), (2, 0.9), (2, 0.99)]
    assert combinations(axes, zipped=True) == [{"n_envs": 1, "gamma": 0.9}, {"n_envs": 2, "gamma": 0.99}]
    with pytest.raises(ConfigError, match="n_envs 2, gamma 1"):
        combinations({"n_envs": [1, 2], "gamma": [0.9]}, zipped=True)
    with pytest.raises(ConfigError, match="400 settings"):
        combinations({"n_envs": range(1, 21), "n_steps": range(1, 21)})


def test_what_follows_is_derived_for_each():
    few, many = made([{"n_envs": 256}, {"n_envs": 2048}])
    assert few.label == "n_envs=256"
    assert [derive(p.config).batch_size for p in (few, many)] == [200, 1600]
    assert [derive(p.config).iterations for p in (few, many)] == [40, 5]


@pytest.mark.parametrize("match", ["gradient_steps", "iterations"])
def test_a_control_has_as_much_as_the_reference_and_differs_in_the_budget_alone(match):
    few, many = made([{"n_envs": 256}, {"n_envs": 2048}])
    (control,) = matched([few, many], few.label, match)
    assert control.control_of == many.label and control.values["total_timesteps"] == 40 * 2048 * 25
    assert getattr(derive(control.config), match) == getattr(derive(few.config), match)
    changed = {k for k in vars(many.config) if getattr(many.config, k) != getattr(control.config, k)}
    assert changed == {"total_timesteps"}
    assert matched([few, many], many.label, match) == []  # who has more needs no control


def test_gradient_steps_are_matched_over_epochs_too():
    many, few = made([{"n_epochs": 8}, {"n_epochs": 2}], n_envs=256)
    (control,) = matched([many, few], many.label, "gradient_steps")
    assert derive(control.config).gradient_steps == derive(many.config).gradient_steps
    assert matched([many, few], many.label, "iterations") == []


def test_wall_time_is_matched_by_measured_times():
    slow, fast = made([{"n_envs": 256}, {"n_envs": 512}])
    (control,) = matched([slow, fast], slow.label, "wall_time", {slow.label: 10.0, fast.label: 4.0})
    assert derive(control.config).iterations == 50  # 20 x 10 / 4
    assert matched([slow, fast], slow.label, "wall_time", {slow.label: 10.0, fast.label: 0.0}) == []


def test_the_budget_cannot_be_varied_and_matched():
    with pytest.raises(ConfigError, match="which this study varies"):
        matched(made([{"total_timesteps": 1000}, {"total_timesteps": 2000}]), "total_timesteps=1000", "iterations")


def test_a_point_survives_its_record():
    (point,) = made([{"n_envs": 8, "learning_rate": "linear:0.001"}], policy_kwargs={"net_arch": [8]})
    assert reloaded(point.recorded()) == point
    assert label({"gamma": 0.99, "policy_kwargs.net_arch": [8, 8]}) == "gamma=0.99, policy_kwargs.net_arch=[8,8]"
