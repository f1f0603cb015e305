"""Comparisons of runs that are made to differ in known ways: claims, failures, attributions, controls, losses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from lab.made_runs import make_run, make_setting, make_study
from upswing.cli import run as command_line
from upswing.cli.app import app
from upswing.errors import ConfigError, UserError
from upswing.lab.compare import compare
from upswing.lab.losses import relative_jitter
from upswing.lab.texts import comparison_texts
from upswing.lab.worded import losses, notes, summary, why

GOOD, BAD = [480.0, 490, 495, 500, 470], [30.0, 20, 40, 25, 35]
DATA = Path(__file__).parent.parent / "data"


def keys(comparison, label):
    return [statement.key for statement in dict(comparison.statements)[label]]


def test_fewer_updates_are_named_and_the_control_that_would_settle_it(tmp_path):
    make_setting(tmp_path / "a", GOOD)
    make_setting(tmp_path / "b", BAD, n_envs=64, n_minibatches=4)
    found = compare([str(tmp_path / "a"), str(tmp_path / "b")])
    names = [row.label for row in found.rows]
    assert names == ["n_envs=8 n_minibatches=none", "n_envs=64 n_minibatches=4"]
    assert [row.verdict.state for row in found.rows] == ["learned", "failed"]
    assert found.pairs[0].claim == "lower" and found.pairs[0].improvement.value == 0
    assert keys(found, names[1])[-1] == "several"


def test_one_setting_varied_asks_for_a_control_with_equal_gradient_steps(tmp_path):
    for n in (8, 64):
        make_setting(tmp_path / f"n{n}", GOOD if n == 8 else BAD, n_envs=n, batch_size=None, n_minibatches=4)
    found = compare([str(tmp_path / "n8"), str(tmp_path / "n64")])
    assert keys(found, "n_envs=64") == ["effects", "arithmetic", "open_control"]
    said = dict(why(found, "en"))["n_envs=64"][-1]
    # 40 iterations at 8 environments; at 64 as many take 40 · 64 · 32 steps
    assert (
        said.command.endswith(f"--vary n_envs=64 --total-timesteps {40 * 64 * 32} --seeds 5")
        and "n64/s0" in said.command
    )
    _, _, *args = said.command.split()
    app.commands["study"].make_context("study", args)  # the command is one that exists
    assert "S01" in {row.reason.code for row in found.rows if row.reason}
    ratios = {r.what: (r.reference, r.value) for r in dict(found.statements)["n_envs=64"][1].values["ratios"]}
    assert ratios["iterations"] == (40, 5) and ratios["gradient_steps"] == (1600, 200)


@pytest.mark.parametrize(("control", "key"), [
    (GOOD[::-1], "arithmetic_explains"),
    (BAD[::-1], "direct_remains"),
    ([26.0, 480, 31, 490, 500], "control_undecided"),
    (GOOD[:2], "control_open"),
])  # fmt: skip
def test_what_a_control_says(tmp_path, control, key):
    base = {"batch_size": None, "n_minibatches": 4}
    found = compare([
        str(make_study(tmp_path / "study", {
            "n_envs=8": (GOOD, {"n_envs": 8, **base}, None),
            "n_envs=64": (BAD, {"n_envs": 64, **base}, None),
            "n_envs=64 [matched]": (control, {"n_envs": 64, "total_timesteps": 40 * 64 * 32, **base}, "n_envs=64"),
        }, "n_envs=8"))
    ])  # fmt: skip
    assert found.gathered.untrained == 9.0 and found.row("n_envs=8").wall_s == 2.0
    assert keys(found, "n_envs=64")[-1] == key
    assert "n_envs=64 [matched]" not in dict(found.statements)
    for lang in ("en", "zh"):
        assert "[matched]" in dict(why(found, lang))["n_envs=64"][-1].text


def test_the_poorer_side_gets_the_control_even_if_it_is_the_reference(tmp_path):
    base = {"batch_size": None, "n_minibatches": 4}
    make_setting(tmp_path / "n64", BAD, n_envs=64, **base)
    make_setting(tmp_path / "n8", GOOD, n_envs=8, **base)
    found = compare([str(tmp_path / "n64"), str(tmp_path / "n8")])
    assert found.gathered.reference == "n_envs=64" and found.pairs[0].claim == "higher"
    assert "n64/s0" in dict(found.statements)["n_envs=8"][-1].command
    shutil.rmtree(tmp_path / "n8")
    make_setting(tmp_path / "n8", [1.0, 2, 3, 4, 5], n_envs=8, **base)  # more updates, and worse
    assert keys(compare([str(tmp_path / "n64"), str(tmp_path / "n8")]), "n_envs=8")[-1] == "despite"


@pytest.mark.parametrize(("settings", "key"), [
    ({"gamma": 0.9}, "direct"),
    ({"total_timesteps": 1280}, "budget_only"),
    ({}, "same_settings"),
])  # fmt: skip
def test_direct_effects_and_budgets(tmp_path, settings, key):
    make_setting(tmp_path / "a", GOOD)
    make_setting(tmp_path / "b", BAD, **settings)
    found = compare([str(tmp_path / "a"), str(tmp_path / "b")])
    assert keys(found, found.pairs[0].setting)[-1] == key
    assert [len(row.scores) for row in found.rows] == [5, 5]  # equal settings in two folders stay apart


def test_nothing_is_claimed_from_few_seeds(tmp_path):
    make_setting(tmp_path / "a", GOOD[:4])
    make_setting(tmp_path / "b", BAD[:2], gamma=0.9)
    found = compare([str(tmp_path / "a"), str(tmp_path / "b")])
    assert found.pairs[0].claim == "too_few_seeds" and keys(found, "gamma=0.9")[-1] == "open_seeds"
    assert "--seed 2" in dict(found.statements)["gamma=0.9"][-1].command
    assert found.row("gamma=0.9").verdict.state == "suspected"
    assert any("E01" in said.text for said in summary(found, "en"))


def test_no_difference_is_said_and_near_results_do_not_become_claims(tmp_path):
    make_setting(tmp_path / "a", GOOD)
    make_setting(tmp_path / "b", GOOD[::-1], gamma=0.97)
    found = compare([str(tmp_path / "a"), str(tmp_path / "b")])
    assert found.pairs[0].claim == "no_difference" and "no difference" in summary(found, "en")[0].text
    assert keys(found, "gamma=0.97")[-1] == "none_shown"


def test_success_is_the_score_where_every_run_has_it(tmp_path):
    for seed in range(3):
        make_run(tmp_path / "runs" / f"a{seed}", 400.0, success=0.9, seed=seed)
        make_run(tmp_path / "runs" / f"b{seed}", 450.0, success=0.1, seed=seed, gamma=0.9)
    found = compare([str(tmp_path / "runs")])
    assert found.gathered.measure == "success" and found.gathered.untrained == 0.0
    assert found.row("gamma=0.9").verdict.state == "failed"
    assert "10 %" in summary(found, "en")[0].text


def test_settings_of_a_folder_stand_in_the_order_of_their_numbers(tmp_path):
    for n in (8, 64, 512):
        make_run(tmp_path / "runs" / f"envs{n}", 100.0, n_envs=n)
    make_run(tmp_path / "more" / "x", 100.0, n_envs=4)
    assert [row.label for row in compare([str(tmp_path / "runs")]).rows] == ["n_envs=8", "n_envs=64", "n_envs=512"]
    both = [str(tmp_path / "more"), str(tmp_path / "runs")]
    assert [row.setting.config["n_envs"] for row in compare(both).rows] == [4, 8, 64, 512]
    singly = [str(tmp_path / "runs" / f"envs{n}") for n in (64, 8)]
    assert [row.label for row in compare(singly).rows] == ["n_envs=64", "n_envs=8"]


def test_runs_too_short_to_judge_are_compared_all_the_same(tmp_path):
    make_setting(tmp_path / "a", GOOD, n_envs=64, total_timesteps=2048)
    row = compare([str(tmp_path / "a")]).rows[0]
    assert row.label == "a" and row.scores == pytest.approx(GOOD) and row.steps_to == 2048


def test_steps_and_seconds_to_a_threshold(tmp_path):
    make_setting(tmp_path / "a", GOOD)
    row = compare([str(tmp_path / "a")], threshold=250.0).rows[0]
    assert row.reached == 5 and row.steps_to == pytest.approx(10240 / 4, rel=0.2)
    assert row.seconds_to == pytest.approx(row.steps_to / 1000.0)
    assert compare([str(tmp_path / "a")], threshold=1e6).rows[0].steps_to == float("inf")


def test_loss_curves(tmp_path):
    make_setting(tmp_path / "a", GOOD, jitter=0.02)
    make_setting(tmp_path / "b", GOOD, jitter=0.4, gamma=0.97)
    found = compare([str(tmp_path / "a"), str(tmp_path / "b")])
    assert {label for label, _ in found.policy_loss} == {row.label for row in found.rows}
    text = " ".join(losses(found, "en"))
    assert "does not mean converged" in text and "gamma=0.97 is more jittery than gamma=0.99" in text
    make_setting(tmp_path / "c", GOOD, policy_loss=3.0, normalize_advantage=False)
    assert not compare([str(tmp_path / "c")]).policy_loss


def test_jitter_is_about_the_trend_and_relative():
    x = np.arange(1, 201, dtype=float)
    noise = np.random.default_rng(0).normal(size=200)
    assert relative_jitter(np.exp(-x / 30)) < 0.01  # steady fall by a factor of 800
    for level in (1e-6, 1.0, 1e6):
        assert relative_jitter(level * (1 + 0.1 * noise)) == pytest.approx(0.1, rel=0.25)
    assert np.isnan(relative_jitter(x[:10]))


def test_logs_of_other_programs(tmp_path):
    found = compare([str(DATA / "sb3_learns"), str(DATA / "sb3_too_fast")])
    assert found.gathered.measure == "evaluation" and found.pairs[0].claim == "too_few_seeds"
    assert all(s.command is None for _, said in found.statements for s in said)
    json.dumps(found.to_json("zh"), allow_nan=False)


def test_what_cannot_be_compared(tmp_path):
    make_run(tmp_path / "a", 100.0)
    make_run(tmp_path / "b", -100.0, env="Pendulum-v1")
    with pytest.raises(ConfigError, match="no common scale"):
        compare([str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(ConfigError, match="none of the settings"):
        compare([str(tmp_path / "a")], reference="n_envs=9")
    with pytest.raises(UserError, match="does not exist"):
        compare([str(tmp_path / "nothing")])


def test_runs_that_broke_or_stopped_are_named(tmp_path):
    study = make_study(tmp_path / "study", {"gamma=0.9": (GOOD, {"gamma": 0.9}, None)}, "gamma=0.9")
    shutil.rmtree(study / "gamma=0.9-seed4")
    shutil.rmtree(study / "gamma=0.9-seed0")
    make_run(study / "gamma=0.9-seed0", 100.0, gamma=0.9, iterations=10)
    text = " ".join(notes(compare([str(study)]), "en"))
    assert "gamma=0.9-seed4" in text and "gamma=0.9-seed0 has taken 2,560 of 10,240 steps" in text


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command_in_both_languages(tmp_path, capsys, lang):
    make_setting(tmp_path / "a", GOOD)
    make_setting(tmp_path / "b", BAD, n_envs=64)
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert command_line(["compare", *paths, "--lang", lang]) == 0
    words = comparison_texts(lang)
    out = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert (
        words["verdict"] in out
        and words["differences"] in out
        and "upswing study CartPole-v1 --config" in out
        and words["iterations"] in out
    )
    assert command_line(["compare", *paths, "--lang", lang, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"][1]["verdict"] == "failed" and told["comparisons"][0]["claim"] == "lower"
    assert told["settings"][1]["runs"][0]["run_dir"].endswith("b/s0")


def test_both_languages_say_the_same_things():
    import string

    named = lambda text: {name for _, name, _, _ in string.Formatter().parse(text) if name}  # noqa: E731
    english, chinese = comparison_texts("en"), comparison_texts("zh")
    assert english.keys() == chinese.keys()
    assert {key for key in english if named(english[key]) != named(chinese[key])} == set()
