"""The benchmark's arithmetic on made-up timings, and each contestant on a recipe of a few iterations."""

import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner

from upswing.bench import contestants
from upswing.bench.measure import Outcome, sgemm_rate
from upswing.bench.recipes import RECIPES, flops_per_step
from upswing.bench.report import as_json, page
from upswing.cli.app import app
from upswing.errors import ConfigError

TINY = dataclasses.replace(
    RECIPES[0], n_envs=2, n_steps=64, batch_size=32, n_epochs=1, steps=384, rival_steps=384, threshold=1.0
)


def made_up(name, *seconds):
    timing = {"steps": 1000, "env_s": None, "peak_memory_mb": 1.0, "to_threshold_s": 2.0, "n_inputs": 4, "n_outputs": 2}
    return Outcome(RECIPES[0], name, tuple(timing | {"collect_s": s / 2, "update_s": s / 2} for s in seconds))


def test_operations_per_step_by_hand():
    """d=4, h=64, a=2: M = 2·4·64 + 2·64² + 64·3 = 8896; update 10·(6M - 4·4·64) = 523,520 (541k with the collect)."""
    collect, update = flops_per_step(RECIPES[0], 4, 2)
    assert collect == 2 * 8896
    assert update == 523_520


def test_ratios_are_taken_round_by_round():
    ours, theirs = made_up("upswing", 1.0, 2.0, 4.0), made_up("sb3", 10.0, 40.0, 40.0)
    assert ours.ratios_to(theirs).tolist() == [10.0, 20.0, 10.0]
    text = page([ours, theirs], 1e9, "upswing bench")
    assert "10.0× (10.0 to 20.0)" in text
    assert as_json([ours, theirs], 1e9)["results"][1]["ratio"] == (10.0, 10.0, 20.0)


def test_the_share_of_the_ceiling():
    assert made_up("upswing", 2.0).ceiling_share(523_520 * 1000.0, "update") == pytest.approx(1.0)


@pytest.mark.parametrize("name", contestants.installed())
def test_every_installed_trainer_runs_a_recipe(name):
    timing = contestants.CONTESTANTS[name][0](TINY, 0)
    assert timing.steps == 256  # three iterations, the first of which is a warm-up
    assert timing.collect_s > 0
    assert timing.update_s > 0
    assert timing.to_threshold_s is not None


def test_the_python_environment_is_not_the_compiled_one():
    python = dataclasses.replace(TINY, python_env=True)
    assert contestants.upswing(python, 0).env_s > contestants.upswing(TINY, 0).env_s


def test_the_matrix_rate_is_a_rate():
    assert np.isfinite(sgemm_rate(0.05))


def test_the_command_lists_recipes_and_refuses_unknown_ones():
    listed = CliRunner().invoke(app, ["bench", "--list"])
    assert all(recipe.name in listed.output for recipe in RECIPES)
    with pytest.raises(ConfigError, match="cartpole-default"):
        CliRunner().invoke(app, ["bench", "no-such-recipe"], catch_exceptions=False)
