"""The benchmark's arithmetic on made-up timings, and each contestant on a recipe of a few iterations."""

import dataclasses
import json
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner

from upswing.bench import contestants, figures, measure
from upswing.bench.measure import Outcome, sgemm_rate
from upswing.bench.recipes import RECIPES, flops_per_step
from upswing.bench.report import as_json, page
from upswing.bench.sections import SECTIONS
from upswing.cli.app import app
from upswing.cli.bench import FIGURES
from upswing.errors import ConfigError, UserError

TINY = dataclasses.replace(
    RECIPES[0], n_envs=2, n_steps=64, batch_size=32, n_epochs=1, steps=384, rival_steps=384, threshold=1.0
)


def made_up(name, *seconds):
    timing = {"steps": 1000, "env_s": None, "peak_memory_mb": 1.0, "to_threshold_s": 2.0, "n_inputs": 4, "n_outputs": 2}
    timing["sgemm_flops"] = 523_520 * 1000.0
    return Outcome(RECIPES[0], name, tuple(timing | {"collect_s": s / 2, "update_s": s / 2} for s in seconds))


def test_operations_per_step_by_hand():
    """d=4, h=64, a=2: M = 2·4·64 + 2·64² + 64·3 = 8896; update 10·(6M - 4·4·64) = 523,520 (541k with the collect)."""
    collect, update = flops_per_step(RECIPES[0], 4, 2)
    assert collect == 2 * 8896
    assert update == 523_520


def test_ratios_are_taken_round_by_round():
    ours, theirs = made_up("upswing", 1.0, 2.0, 4.0), made_up("sb3", 10.0, 40.0, 40.0)
    assert ours.ratios_to(theirs).tolist() == [10.0, 20.0, 10.0]
    text = page([ours, theirs], {}, 1e9, "upswing bench")
    assert "10.0× (10.0 to 20.0)" in text
    assert as_json([ours, theirs], {}, 1e9)["results"][1]["ratio"] == (10.0, 10.0, 20.0)


def test_the_share_of_the_ceiling():
    assert made_up("upswing", 2.0).ceiling_share("update") == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the rivals' libraries
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
    for flags, hint in (
        (["--recipes", "x"], "cartpole-default"),
        (["--figures", "x"], "learning"),
        (["--against", "x"], "sb3"),
    ):
        with pytest.raises(ConfigError, match=hint):
            CliRunner().invoke(app, ["bench", *flags], catch_exceptions=False)


@pytest.mark.parametrize(("flags", "recipes", "names"), [
    ([], [recipe.name for recipe in RECIPES], list(FIGURES)),
    (["--recipes", "pendulum, cartpole-zoo"], ["cartpole-zoo", "pendulum"], []),
    (["--figures", "start"], [], ["start"]),
    (["--figures", "start", "--recipes", "pendulum"], ["pendulum"], ["start"]),
])  # fmt: skip
def test_what_is_measured(monkeypatch, tmp_path, flags, recipes, names):
    asked = {}

    def compare(chosen, trainers, rounds, tell):
        asked.update(recipes=[recipe.name for recipe in chosen], rounds=rounds)
        return []

    def measured(chosen, rounds, tell):
        asked["figures"] = chosen
        return {"start": [{"to_first_update_s": 0.5, "imports_s": 3.0}]} if "start" in chosen else {}

    monkeypatch.setattr(measure, "compare", compare)
    monkeypatch.setattr(measure, "figures", measured)
    monkeypatch.setattr(measure, "sgemm_rate", lambda: 1e11)
    page = tmp_path / "benchmarks.md"
    done = CliRunner().invoke(
        app, ["bench", *flags, "--rounds", "2", "-o", str(page), "--json"], catch_exceptions=False
    )
    assert asked == {"recipes": recipes, "figures": names, "rounds": 2}
    assert json.loads(done.output.splitlines()[-1])["sgemm_flops"] == 1e11
    assert ("0.50 s after the imports" in page.read_text()) == ("start" in names)


def test_figures_in_words():
    def said(name, found):
        return "\n".join(SECTIONS[name](found))

    assert "after 2.50 s of collect" in said("learning", {"threshold": 475.0, "seconds": [1.0, 2.0, 3.0, 4.0]})
    missed = said("learning", {"threshold": 475.0, "seconds": [1.0, None, None]})
    assert "inf s" in missed and "in 2 of 3 trainings" in missed
    assert "4.00 times as long" in said(
        "together", {"seconds": [[1.0, 4.0], [1.0, 3.0], [2.0, 10.0]], "two_at_once": 2.0}
    )
    row = {"batch_size": 64, "net_arch": [64, 64], "microseconds": [[40.0, 20.0], [40.0, 10.0], [80.0, 40.0]]}
    assert "| 64 | 64×64 | 40 | 20 | 2.00 (2.00 to 4.00) |" in said("threads", {"cores": 2, "rows": [row]})


def test_figures_are_measured(monkeypatch):
    """Each on a small scale; the start in a process of its own, as always."""
    monkeypatch.setattr(figures, "SEEDS", 1)
    monkeypatch.setattr(figures, "TOGETHER", 2)
    monkeypatch.setattr(figures, "TOGETHER_STEPS", 4096)
    monkeypatch.setattr(figures, "SHAPES", ((64, (8,)),))
    assert figures.learning(1)["seconds"] == [None]
    found = figures.together(1)
    assert len(found["seconds"]) == 1 and min(found["seconds"][0]) > 0 and found["two_at_once"] > 0
    row = figures.threads(1)["rows"][0]
    assert row["batch_size"] == 64 and np.array(row["microseconds"]).shape == (1, 2)
    said = []
    start = measure.figures(["start"], 1, said.append)["start"][0]
    assert said and start["imports_s"] > 0 and start["to_first_update_s"] > 0


def test_every_micro_benchmark_runs():
    from benchmarks import test_micro

    class Once:
        extra_info: ClassVar[dict] = {}

        def __call__(self, function, *args):
            function(*args)

    test_micro.test_minibatch_steps(Once(), 64, (8,))
    test_micro.test_gae(Once(), (128, 4))
    test_micro.test_native_rollout(Once(), "CartPole-v1", 4, 32)


def test_a_figure_that_cannot_be_measured_is_one_sentence():
    with pytest.raises(UserError, match="no-such-figure"):
        measure.figures(["no-such-figure"], 1, print)
