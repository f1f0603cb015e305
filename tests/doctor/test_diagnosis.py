"""The diagnosis: one card for each root cause, the settings deciding between suspects, thin logs that flip nothing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from doctor.made import POOL, flat, healthy, plateau
from upswing.doctor.case import make_case
from upswing.doctor.causes import CAUSES
from upswing.doctor.diagnose import ask, diagnose, from_outcomes
from upswing.doctor.findings import ERROR, INFO, WARN
from upswing.doctor.likelihoods import along
from upswing.doctor.remedies import rescaled
from upswing.doctor.rules import BY_CODE, RULES, Rule
from upswing.doctor.suspicions import TABLE

DATA = Path(__file__).parents[1] / "data"

TOO_FAST = {"approx_kl": 0.3, "clip_fraction": 0.6, "settings": {"learning_rate": 0.03}, "learning_rate": 0.03} | flat()
FAULTS = {
    "lr_high": TOO_FAST,
    "lr_low": {"approx_kl": 1e-5, "clip_fraction": 0.0, "settings": {"learning_rate": 1e-6}, "learning_rate": 1e-6} | flat(),
    "epochs_many": {"approx_kl": 0.2, "settings": {"n_epochs": 120}} | flat(),
    "gamma_low": {"settings": {"gamma": 0.5}} | flat(),
    "reward_large": {"return_mean": 5e5, "return_std": 2e5, "explained_variance": -0.1, "approx_kl": 1e-7} | flat(),
    "ent_high": {"settings": {"ent_coef": 0.5}, "entropy_loss": -0.69} | flat(),
    "stale_log_prob": {"ratio_error": 0.3, "approx_kl": 0.06} | flat(),
    "critic_untrained": {"settings": {"vf_coef": 0.0}, "explained_variance": -0.01} | flat(),
    "obs_scale": {"rollout/obs_std_max": 300.0, "explained_variance": 0.01} | flat(),
    "few_updates": {"n": 12, "settings": {"total_timesteps": 12 * POOL}} | flat(),
    "ends_bootstrapped": {"settings": {"bootstrap_terminations": True}, "explained_variance": 0.0} | flat(),
    "clip_small": {"settings": {"clip_range": 0.005}, "clip_range": 0.005, "approx_kl": 1e-6} | flat(),
    "lambda_low": {"settings": {"gae_lambda": 0.0}} | flat(),
    "rollout_short": {"settings": {"n_envs": 128, "n_steps": 4, "batch_size": 64}} | flat(),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_a_healthy_run_has_no_finding(seed):
    diagnosis = diagnose(healthy(seed=seed))
    assert diagnosis.grave == ()
    assert diagnosis.exit_code == 0
    assert len(diagnosis.passed) > 20


@pytest.mark.parametrize("cause", FAULTS)
def test_the_true_cause_leads_the_first_card(cause):
    diagnosis = diagnose(healthy(**FAULTS[cause]))
    assert diagnosis.exit_code in (10, 20)
    assert diagnosis.grave[0].causes[0].cause == cause, [(c.cause, c.confidence) for c in diagnosis.grave[0].causes]


def test_symptoms_of_one_cause_are_one_card():
    diagnosis = diagnose(healthy(**TOO_FAST))
    (card,) = diagnosis.grave
    assert card.code == "P01"
    assert {"P03", "R01"} <= {symptom.code for symptom in card.symptoms}
    change = card.changes[0]
    assert (change.field, change.old, change.in_flight) == ("learning_rate", 0.03, True)
    assert 0.0005 < change.new < 0.01


def test_two_causes_are_two_cards_and_the_bug_comes_first():
    both = {**TOO_FAST, "ratio_error": 0.2}
    codes = [card.code for card in diagnose(healthy(**both)).grave]
    assert codes[0] == "B02"
    other = {"eval/mean_reward": lambda old: np.where(np.isfinite(old), -500.0, np.nan), "settings": {"gamma": 0.5}}
    assert {card.code for card in diagnose(healthy(**other)).grave} == {"R03", "T02"}


def test_a_rising_return_makes_remarks_of_warnings_but_not_of_bugs():
    rising = diagnose(healthy(approx_kl=0.08))
    assert [(card.code, card.severity) for card in rising.cards] == [("P01", INFO)]
    assert rising.exit_code == 0
    assert diagnose(healthy(approx_kl=0.08, **flat())).exit_code == 10
    assert diagnose(healthy(ratio_error=0.1)).exit_code == 20


def test_a_solved_task_outweighs_its_settings():
    solved = {"environment": {"reward_threshold": 60.0}, "settings": {"gamma": 0.5}} | plateau(60.0)
    assert diagnose(healthy(**solved)).exit_code == 0
    short = {**solved, "environment": {"reward_threshold": 300.0}}
    assert diagnose(healthy(**short)).exit_code == 10


def test_a_goal_of_another_scale_is_no_goal():
    scaled = {"environment": {"reward_threshold": 475.0}} | plateau(6e5)
    assert diagnose(healthy(**scaled)).case.returns.solved is None


def test_a_plateau_beside_an_odd_setting_is_a_suspicion():
    assert diagnose(healthy(**plateau())).exit_code == 0
    odd = diagnose(healthy(settings={"n_epochs": 60}, **plateau()))
    assert [(card.code, card.causes[0].cause) for card in odd.grave] == [("R01", "epochs_many")]


def columns_of(faulty):
    return sorted(healthy(**faulty).columns)


@pytest.mark.parametrize("tag", [tag for tag in columns_of({}) if tag != "time/total_timesteps"])
def test_a_missing_tag_makes_no_finding_of_a_healthy_run(tag):
    assert diagnose(healthy(**{tag: None})).grave == ()


@pytest.mark.parametrize("cause", ["lr_high", "reward_large", "lr_low"])
def test_missing_tags_lower_what_is_known_and_never_flip_it(cause):
    whole = diagnose(healthy(**FAULTS[cause]))
    for tag in columns_of(FAULTS[cause]):
        if tag.startswith("train/") and tag.split("/")[1] not in FAULTS[cause]:
            thinner = diagnose(healthy(**{**FAULTS[cause], tag: None}))
            assert thinner.exit_code >= 10, tag
            assert thinner.grave[0].causes[0].cause == whole.grave[0].causes[0].cause, tag


def test_a_log_with_the_return_alone_says_so():
    bare = {tag: None for tag in columns_of({}) if tag not in ("time/total_timesteps", "rollout/ep_rew_mean")}
    diagnosis = diagnose(dataclasses.replace(healthy(**bare), config={}))
    assert diagnosis.grave == ()
    assert len(diagnosis.not_checked) > 20
    assert "P01" in {answer.code for answer in diagnosis.not_checked}


@pytest.mark.parametrize("n", range(1, 8))
def test_the_shortest_runs_are_judged_without_a_stumble(n):
    diagnosis = diagnose(healthy(n=n))
    assert not [answer for answer in diagnosis.not_checked if answer.reason == "failed"]
    assert {card.code for card in diagnosis.grave} <= {"S01", "S05"}


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -1e30, 1e30])
def test_no_column_however_strange_makes_a_rule_stumble(value):
    for tag in columns_of({}):
        if tag != "time/total_timesteps":
            diagnosis = diagnose(healthy(n=40, **{tag: value}))
            failed = [answer for answer in diagnosis.not_checked if answer.reason == "failed"]
            assert not failed, (tag, failed)


def test_a_rule_that_fails_silences_no_other():
    def stumble(case):
        raise ZeroDivisionError("oh")

    case = make_case(healthy())
    diagnosis = from_outcomes(case, ask(case, (Rule("P01", 3, stumble), BY_CODE["P03"])))
    assert [(a.code, a.reason) for a in diagnosis.not_checked] == [("P01", "failed")]
    assert [a.code for a in diagnosis.passed] == ["P03"]


def test_suppressed_rules_are_not_asked():
    diagnosis = diagnose(healthy(**TOO_FAST), suppress=["P01", "P03", "R01"])
    told = {f.code for card in diagnosis.cards for f in (card.finding, *card.symptoms)}
    assert told.isdisjoint({"P01", "P03", "R01"})


def test_recorded_runs_of_other_programs():
    assert diagnose(DATA / "sb3_learns").exit_code == 0
    for name in ("sb3_too_fast", "cleanrl_too_fast"):
        diagnosis = diagnose(DATA / name)
        assert diagnosis.exit_code >= 10
        assert diagnosis.grave[0].causes[0].cause == "lr_high"
    assert diagnose(DATA / "rsl_rl").exit_code == 0


def test_json_holds_everything_in_plain_values():
    import json

    told = diagnose(healthy(**TOO_FAST)).to_json("en")
    again = json.loads(json.dumps(told, allow_nan=False))
    (finding,) = (f for f in again["findings"] if f["severity"] in (WARN, ERROR))
    assert {"code", "severity", "confidence", "onset_step", "claim", "evidence", "causes", "changes"} <= finding.keys()
    assert finding["changes"][0]["field"] == "learning_rate"
    assert finding["evidence"][0]["metric"] == "train/approx_kl"
    assert finding["evidence"][0]["origin"]
    assert set(again) >= {"findings", "passed", "not_checked", "not_applicable", "exit_code"}
    assert len(again["passed"]) + len(again["not_checked"]) + len(again["not_applicable"]) > 20


def test_every_suspect_is_a_known_cause_and_every_rule_has_suspects():
    assert {cause for weights in TABLE.values() for cause in weights} <= CAUSES.keys()
    assert {key.split(":")[0] for key in TABLE} == {rule.code for rule in RULES} - {"V02", "E01"}


def test_every_cause_is_weighed_and_mended_without_a_stumble():
    for series in (healthy(), healthy(n=4), healthy(**TOO_FAST), dataclasses.replace(healthy(), config={})):
        case = make_case(series)
        for name, cause in CAUSES.items():
            likely = cause.plausible(case)
            assert likely is None or 0.0 <= likely <= 1.0, name
            change = cause.change(case)
            assert change is None or change.new != change.old, name


@pytest.mark.parametrize(
    ("setting", "factor", "expected"),
    [
        (3e-4, 0.5, 1.5e-4),
        ("linear:0.001", 0.5, "linear:0.0005"),
        ("lin_0.001", 2, "linear:0.002"),
        ("cosine:3e-4:1e-5", 0.5, "cosine:0.00015:5e-06"),
        ("piecewise:0=3e-4,0.5=1e-4", 2, "piecewise:0=0.0006,0.5=0.0002"),
        ("adaptive:1e-3:0.01:1e-5:1e-2", 0.5, "adaptive:0.0005:0.01:1e-5:1e-2"),
        ("<not reloadable: function f>", 0.5, None),
    ],
)
def test_schedules_are_rescaled_in_their_own_notation(setting, factor, expected):
    assert rescaled(setting, factor) == expected


def test_likelihoods_lie_on_straight_lines_between_points():
    assert along(1e-3, (1e-4, 0.0), (1e-2, 1.0)) == pytest.approx(0.5)
    assert along(5.0, (1e-4, 0.0), (1e-2, 1.0)) == 1.0
    assert along(None, (1, 0.0), (2, 1.0)) is None
