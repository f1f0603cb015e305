"""The doctor's benchmark: its arithmetic by hand, its splits, and a tiny one from end to end."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from upswing.bench.doctor import corpus
from upswing.bench.doctor.advice import followed, remedied
from upswing.bench.doctor.benchmark import wrong_too_often
from upswing.bench.doctor.command import run_benchmark
from upswing.bench.doctor.corpus import Run, Size
from upswing.bench.doctor.evaluate import failed, harmful
from upswing.bench.doctor.faults import BY_NAME, FAULTS
from upswing.bench.doctor.figures import (
    Judged,
    RuleFigures,
    Share,
    headline,
    made_for,
    mean_interval,
    named,
    rule_figures,
)
from upswing.bench.doctor.harm import hurts, p_worse
from upswing.bench.doctor.limit import within_limit
from upswing.bench.doctor.tasks import REPORTING, TASKS, TUNING
from upswing.bench.doctor.training import OUTCOME, train_run, with_changes
from upswing.bench.doctor.verdicts import Advice, Said, Verdict, bands, cut, doctor, first_seen, of_rules
from upswing.cli.app import app
from upswing.doctor.causes import CAUSES
from upswing.doctor.readers import read_series
from upswing.errors import ConfigError

HEALTHY = [500.0, 490.0, 495.0, 480.0, 500.0, 470.0]


# ── harm ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_permutation_test_by_hand():
    assert p_worse([3.0, 4.0], [1.0]) == pytest.approx(1 / 3)  # one of the three ways to choose one value
    assert p_worse([3.0, 4.0], [3.5]) == pytest.approx(2 / 3)
    assert p_worse([3.0, 4.0], [9.0]) == 1.0
    assert p_worse(HEALTHY, [100.0, 120.0]) == pytest.approx(1 / math.comb(8, 2))
    assert p_worse([5.0, 5.0, 5.0], [5.0, 5.0]) == 1.0  # ties count against it
    assert p_worse([], [1.0]) == 1.0


def test_a_fault_hurts_where_it_is_significant_and_large_enough():
    assert hurts(HEALTHY, [100.0, 120.0], first=20.0)
    assert not hurts(HEALTHY, [100.0, 499.0], first=20.0)  # chance could do that
    assert not hurts(HEALTHY, [469.0, 468.0], first=20.0)  # significant, but under 5 % of what was gained
    assert not hurts(HEALTHY, [600.0, 610.0], first=20.0)
    assert not hurts([], [1.0, 2.0], first=0.0)


def test_harmful_cells_and_healthy_runs_that_failed():
    outcomes = {Run("CartPole-v1", "recipe", seed): _outcome(value) for seed, value in enumerate(HEALTHY)}
    outcomes |= {Run("CartPole-v1", "gamma_low=0.5", seed): _outcome(100.0 + seed) for seed in range(2)}
    outcomes |= {Run("CartPole-v1", "lr_high=x3", seed): _outcome(500.0) for seed in range(2)}
    outcomes |= {Run("CartPole-v1", "slow_env=1ms", seed): _outcome(10.0) for seed in range(2)}
    assert harmful(outcomes) == {("CartPole-v1", "gamma_low=0.5")}  # one that costs time alone is none
    assert failed(Run("CartPole-v1", "adaptive", 0), _outcome(100.0))
    assert not failed(Run("CartPole-v1", "adaptive", 0), _outcome(460.0))
    assert not failed(Run("CartPole-v1", "gamma_low=0.5", 0), _outcome(100.0))


def _outcome(final: float) -> dict:
    return {"first": 20.0, "final": final}


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wilson_interval_by_hand():
    low, high = Share(8, 10).interval  # textbook value
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert Share(0, 10).interval[0] == 0.0
    assert Share(10, 10).interval[1] == pytest.approx(1.0)
    assert math.isnan(Share(0, 0).value) and math.isnan(Share(0, 0).interval[0])


def test_mean_interval_holds_the_mean_and_shrinks_with_runs():
    few, many = mean_interval([0, 1, 0, 1] * 2), mean_interval([0, 1, 0, 1] * 50)
    assert few[0] < 0.5 < few[1] and many[1] - many[0] < few[1] - few[0]
    assert mean_interval([0, 0, 0]) == (0.0, 0.0)


def _judged(variant: str, harmed: bool, warnings: int, causes: tuple[str, ...] = (), said=(), failed_=False) -> Judged:
    return Judged(Run("CartPole-v1", variant, 0), harmed, Verdict(warnings, causes, said), failed_)


def test_headline_by_hand():
    of = headline([
        _judged("recipe", False, 0),
        _judged("recipe", False, 1),
        _judged("adaptive", False, 3, failed_=True),  # did not learn: left out
        _judged("lr_high=x3", False, 1),
        _judged("gamma_low=0.5", True, 1, ("gamma_low", "lr_high")),
        _judged("gamma_low=0.8", True, 1, ("lr_high", "lr_low", "gamma_low")),
        _judged("ent_high=x30", True, 1, ("a", "b", "c", "ent_high")),
        _judged("few_updates=4", True, 0),
    ])  # fmt: skip
    assert (of.healthy_runs, of.false_warnings, of.spoke_falsely) == (2, 0.5, Share(1, 2))
    assert (of.harmless, of.n_harmless) == (1.0, 1)
    assert (of.recall, of.top1, of.top3) == (Share(3, 4), Share(1, 4), Share(2, 4))


def test_a_run_that_is_worse_by_little_is_neither_harmed_nor_harmless():
    little = dataclasses.replace(_judged("lr_high=x3", False, 1, (), (Said("P01", True, ("lr_high",)),)), worse=True)
    of = headline([little, _judged("recipe", False, 0)])
    assert (of.n_harmless, of.recall.n) == (0, 0)
    assert rule_figures([little])["P01"].precision == Share(1, 1)


def test_a_judge_is_held_to_a_limit_of_false_warnings_by_the_best_of_its_rules():
    """By hand: "loud" notices all and warns in two of three healthy runs; "a" and "b" notice one each, "b" falsely once."""
    loud, a, b = Said("loud", True, ("x",)), Said("a", True, ("gamma_low",)), Said("b", True, ("lr_high", "x"))
    judged = [
        Judged(Run(env, variant, seed), variant != "recipe", of_rules(said))
        for env, variant, seed, said in [
            ("CartPole-v1", "recipe", 0, [loud]), ("CartPole-v1", "recipe", 1, [loud, b]), ("CartPole-v1", "recipe", 2, []),
            ("CartPole-v1", "gamma_low=0.5", 0, [a, loud]), ("CartPole-v1", "lr_high=x30", 0, [b, loud]),
            ("Servo", "gamma_low=0.5", 0, [b, a, loud]), ("Servo", "recipe", 0, [loud]),
        ]
    ]  # fmt: skip
    assert (judged[5].verdict.warnings, judged[5].verdict.causes) == (3, ("lr_high", "x", "gamma_low"))
    within = [within_limit(judged, limit) for limit in (0.0, 0.34, 1.0)]
    told = [[each.verdict.warnings for each in kept] for kept in within]
    assert told == [[0, 0, 0, 1, 0, 1, 0], [0, 1, 0, 1, 1, 2, 0], [1, 2, 0, 2, 2, 3, 1]]
    assert within[0][5].verdict.causes == ("gamma_low",) and within[0][5].harmed


def test_no_cause_is_right_where_no_harm_was_done():
    assert not named(_judged("gamma_low=0.5", False, 1, ("gamma_low",)), 3)


def test_rule_figures_by_hand():
    t02, remark = Said("T02", True, ("gamma_low",)), Said("T02", False, ("gamma_low",))
    found = rule_figures([
        _judged("gamma_low=0.5", True, 1, (), (t02,)),  # right
        _judged("gamma_low=0.8", True, 0, (), (remark,)),  # found, but no warning
        _judged("gamma_low=0.8", True, 0),  # missed
        _judged("recipe", False, 1, (), (t02,)),  # wrong
        _judged("ent_high=x30", True, 1, (), (t02,)),  # right that something is wrong, blaming another fault
    ])["T02"]  # fmt: skip
    assert (found.precision, found.blamed) == (Share(2, 3), Share(1, 3))
    assert found.recall == Share(2, 3)


def test_rules_that_are_wrong_too_often_are_silenced_but_those_about_the_set_up():
    def figures(hits, n):
        return RuleFigures(Share(hits, n), Share(0, n), Share(0, 0))

    rules = {"P07": figures(6, 9), "P01": figures(9, 10), "V05": figures(0, 2), "S05": figures(0, 6)}
    assert wrong_too_often(rules) == {"P07"}  # V05 warned too rarely to tell


def test_a_bug_is_one_whether_it_does_harm_or_not():
    b02 = Said("B02", True, ("stale_log_prob",))
    found = rule_figures([
        _judged("stale_log_probs=4", False, 1, (), (b02,)),
        _judged("gamma_low=0.5", True, 1, (), (b02,)),
    ])["B02"]  # fmt: skip
    assert found.precision == Share(1, 2)


def test_rules_are_made_for_the_causes_they_suspect_most():
    assert made_for("T02") == {"gamma_low", "rollout_short", "lambda_low", "gamma_high"}
    assert made_for("B02") == {"stale_log_prob"}


# ── the corpus ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_halves_are_apart_and_known_causes_are_meant():
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert all(fault.causes and fault.causes <= CAUSES.keys() for fault in FAULTS)
    families = {half: {f.family for f in FAULTS if f.half == half} for half in (TUNING, REPORTING)}
    assert not families[TUNING] & families[REPORTING]
    runs = corpus.runs(corpus.WHOLE)
    assert len({run.name for run in runs}) == len(runs)
    assert not [run for run in runs if run.task.half == TUNING and run.fault and run.fault.half == REPORTING]
    assert len({run.env for run in runs}) >= 8
    mixed = Run("Farm", "gamma_low=0.5", 0)
    assert (mixed.half, Run("Farm", "clip_tiny=1e-4", 0).half) == ("mixed", REPORTING)
    assert {Run("Acrobot-v1", "lr_low=/30", 0).half, Run("CartPole-v1", "recipe", 0).half} == {TUNING}


@pytest.mark.parametrize("run", corpus.runs(corpus.WHOLE)[::7], ids=lambda run: run.name)
def test_every_training_can_be_configured(run):
    assert run.config().env == (run.task.env or run.env)


def test_doses_by_hand():
    assert Run("CartPole-v1", "lr_high=x10", 0).config().learning_rate == "linear:0.01"
    assert Run("CartPole-v1", "few_updates=4", 0).config().n_envs == 80_000 // 4 // 32
    assert Run("CartPole-v1", "ent_high=x30", 0).config().ent_coef == 0.1
    short = Run("Acrobot-v1", "rollout_short=4", 0).config()
    assert (short.n_steps, short.batch_size) == (4, 64)
    changed = with_changes(Run("CartPole-v1", "gamma_low=0.5", 0), {"gamma": 0.99, "policy_kwargs.net_arch": [8]})
    assert (changed.config().gamma, changed.config().policy_kwargs) == (0.99, {"net_arch": [8]})
    assert changed.name != Run("CartPole-v1", "gamma_low=0.5", 0).name
    mended = dataclasses.replace(Run("CartPole-v1", "gamma_low=0.5", 0), mended=True)
    assert mended.config().gamma == 0.98
    whole = Run("PushBlock-v0", "minibatch_whole=all", 0).config()
    assert (whole.batch_size, whole.n_minibatches) == (256 * 25, None)
    assert Run("CartPole-book", "rate_ends=0.3", 0).config().learning_rate == "piecewise:0=0.001,0.3=1e-8"
    assert Run("Pendulum-heavy", "net_tiny=1", 0).config().policy_kwargs == {"net_arch": [1]}
    assert Run("CartPole-book", "recipe", 0).config().env_kwargs == {"sutton_barto_reward": True}


# ── two tiny trainings ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Trainings of the benchmark at a fraction of their budget, each with a fault that no setting shows."""
    folder = tmp_path_factory.mktemp("benchmark")
    names = ("recipe", "stale_log_probs=4", "critic_detached=hidden", "reward_large=x1e4", "units_dead=relu")
    return folder, {name: train_run(Run("CartPole-v1", name, 0, steps=0.05), folder) for name in names}


def test_faults_show_in_the_records(tiny):
    folder, outcomes = tiny
    plain, stale, detached, large, dead = (read_series(folder / f"CartPole-v1.{name}.0") for name in outcomes)
    assert np.nanmax(plain.column("train/ratio_error")) < 1e-5 < 1e-2 < np.nanmax(stale.column("train/ratio_error")[5:])
    assert np.nanmedian(detached.column("train/value_loss")[5:]) > np.nanmedian(plain.column("train/value_loss")[5:])
    assert np.nanmax(detached.column("train/explained_variance")) < 0.5
    assert np.nanmedian(large.column("rollout/iteration_rew_mean")) > 1e4
    assert outcomes["reward_large=x1e4"]["final"] < 1e3  # the true return, not the one that was told
    assert np.nanmin(dead.column("train/dormant_units")) > 0.95 > np.nanmax(plain.column("train/dormant_units"))
    assert plain.has("rollout/obs_std_max", "eval/mean_reward")
    assert large.column("eval/mean_reward")[-1] > 1e4  # evaluations live in the same world


def test_a_training_that_is_done_is_not_done_again(tiny):
    folder, _ = tiny
    run = Run("CartPole-v1", "recipe", 0, steps=0.05)
    (folder / run.name / OUTCOME).write_text('{"final": 42}')
    assert train_run(run, folder) == {"final": 42}


# ── verdicts and advice ──────────────────────────────────────────────────────────────────────────────────────────


def test_verdicts_of_a_run_and_of_its_beginning(tiny):
    folder, _ = tiny
    path = folder / "CartPole-v1.stale_log_probs=4.0"
    verdict = doctor(path, remarks_only=frozenset())
    assert verdict.warnings >= 1 and verdict.causes[0] == "stale_log_prob"
    assert verdict.warned("B02") and verdict.mentions("B02") and verdict.warned("S02") is None
    silenced = doctor(path, remarks_only=frozenset({"B02"}))
    assert silenced.warned("B02") is None and silenced.mentions("B02")
    whole = read_series(path)
    part = cut(whole, 0.5)
    assert len(part) == len(whole) // 2 and part.episodes.steps.max() <= part.steps[-1]
    assert first_seen(path) <= 0.5
    assert bands(path).warnings >= 0


def test_bands_by_hand(tmp_path, monkeypatch):
    from upswing.bench.doctor import verdicts
    from upswing.doctor.series import STEP, Series, Source

    columns = {
        STEP: np.arange(1.0, 41.0),
        "train/approx_kl": np.full(40, 0.2),
        "train/clip_fraction": np.full(40, 0.6),
        "train/explained_variance": np.full(40, 0.1),
        "rollout/ep_rew_mean": np.arange(10.0, 50.0),
    }
    monkeypatch.setattr(verdicts, "read_series", lambda path: Series(Source("upswing"), columns))
    assert bands(tmp_path).warnings == 3  # KL, clip fraction and critic; the return rises
    assert bands(tmp_path).causes[0] == "lr_high"
    columns["rollout/ep_rew_mean"][:] = 10.0
    assert bands(tmp_path).warnings == 4
    columns |= {"train/approx_kl": np.full(40, 0.02), "train/clip_fraction": np.full(40, 0.2)}
    columns |= {"train/explained_variance": np.full(40, 0.9), "rollout/ep_rew_mean": np.arange(10.0, 50.0)}
    assert bands(tmp_path) == Verdict(0, ())


@pytest.mark.filterwarnings("ignore")  # pandas warns of zen-rl's reader
def test_zen_rl_is_given_what_it_would_read_itself(tiny):
    pytest.importorskip("zen")
    from zen.ingest.tensorboard import load_run

    from upswing.bench.doctor.verdicts import scalars, zen

    path = tiny[0] / "CartPole-v1.stale_log_probs=4.0"
    own, given = load_run(str(path)), scalars(path)
    assert own.keys() == given.keys()
    for tag, pairs in own.items():
        assert np.allclose(np.array(pairs, float), np.array(given[tag], float)), tag
    assert "lr_low" in zen(path).causes  # its DEAD_RUN: a return below 50


def test_advice_is_followed_in_order():
    def judged(variant, *advice):
        run = Run("CartPole-v1", variant, 0)
        return Judged(run, True, Verdict(1, tuple(each.cause for each in advice), (), advice))

    setting = followed(judged("gamma_low=0.5", Advice("out_of_step"), Advice("gamma_low", "gamma", 0.99)))
    assert setting.config().gamma == 0.99 and not setting.mended
    bug = followed(judged("stale_log_probs=4", Advice("stale_log_prob"), Advice("lr_high", "learning_rate", 1e-4)))
    assert bug.mended and bug.config().learning_rate == "linear:0.001"
    spoiled = followed(judged("units_dead=relu", Advice("units_dead")))  # a setting shows a part of it alone
    assert spoiled.mended and "activation_fn" not in spoiled.config().policy_kwargs
    other = followed(judged("stale_log_probs=4", Advice("mask_bug"), Advice("lr_high", "learning_rate", 1e-4)))
    assert not other.mended and other.config().learning_rate == 1e-4
    assert followed(judged("gamma_low=0.5", Advice("mask_bug"))) is None
    dear = (Advice("few_updates", "total_timesteps", 10_000_000), Advice("lr_low", "learning_rate", 1e-3))
    assert followed(judged("gamma_low=0.5", *dear)).config().learning_rate == 1e-3


def test_remedied_by_hand():
    healthy = {Run("CartPole-v1", "recipe", seed): _outcome(500.0) for seed in range(6)}
    advice = (Advice("gamma_low", "gamma", 0.99),)
    sick = [Run("CartPole-v1", "gamma_low=0.5", seed) for seed in range(3)]
    judged = [Judged(run, True, Verdict(1, ("gamma_low",), (), advice)) for run in sick]
    after = {
        followed(judged[0]): _outcome(490.0),
        followed(judged[1]): _outcome(150.0),
        followed(judged[2]): _outcome(90.0),
    }
    found = remedied(judged, healthy | {run: _outcome(100.0) for run in sick}, after)
    assert (found.improved, found.recovered, found.advised) == (Share(2, 3), Share(1, 3), Share(3, 3))
    assert remedied(judged, healthy | {run: _outcome(100.0) for run in sick}, {}).improved == Share(0, 3)


# ── from end to end ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_tiny_benchmark_from_end_to_end(tmp_path, monkeypatch):
    size = Size(("CartPole-v1",), 1, {"recipe": 1}, ("few_updates",), steps=0.05)
    monkeypatch.setattr("upswing.bench.doctor.command.QUICK", size)
    lines: list[str] = []
    output, figures = tmp_path / "page.md", tmp_path / "measured.json"
    found = run_benchmark(tmp_path / "runs", lines.append, quick=True, output=output, figures=figures, processes=1)
    assert found["trainings"] == 3
    assert lines[0].startswith("trained 1 of 3")
    text = output.read_text()
    for heading in ("no threshold was tuned on", "By fault", "By rule", "The trainings", "How it is measured"):
        assert f"{heading}\n" in text
    assert "| few_updates 4 | tuning |" in text and "nan" not in text
    written = json.loads(figures.read_text())
    assert written["runs"] == 3 and isinstance(written["remarks_only"], list)
    again: list[str] = []
    run_benchmark(tmp_path / "runs", again.append, quick=True, processes=1)
    assert not [line for line in again if line.startswith("trained ")]


def test_command_line_refuses_what_does_not_belong_together():
    runner = CliRunner()
    for arguments in (["doctor", "--quick"], ["doctor", "runs/x", "--benchmark"], ["doctor", "-o", "page.md"]):
        assert isinstance(runner.invoke(app, arguments).exception, ConfigError), arguments
    assert BY_NAME["gamma_low=0.5"].suits(TASKS["CartPole-v1"])
