"""Every rule: it finds its fault, passes a healthy run, and says so where it cannot look."""

import numpy as np
import pytest

from doctor.made import POOL, continuous, episodes, flat, healthy, plateau
from upswing.doctor.case import make_case
from upswing.doctor.diagnose import diagnose
from upswing.doctor.findings import ERROR, INFO, WARN, Finding, NotApplicable, NotChecked, Passed
from upswing.doctor.rules import BY_CODE, RULES
from upswing.doctor.rules.policy import clipped_share, implied_kl
from upswing.doctor.series import LAST_MINIBATCH, Source, TagMeaning


def ask(code, series, **more):
    """The rule's answer to `series`."""
    return BY_CODE[code].ask(make_case(series, **more))


def late(value, start=0.5):
    """A column that takes `value` (times the old one, where callable) in its later part."""

    def changed(old):
        new = old.copy()
        part = slice(int(start * len(old)), None)
        new[part] = value(old[part]) if callable(value) else value
        return new

    return changed


HALF = late(lambda old: old * 0.2, 0.6)
STD = {"train/std": np.ones}

FAULTS = {
    "B02": ({"ratio_error": 0.05}, ERROR, ""),
    "B03": ({"approx_kl": late(-1e-3)}, ERROR, ""),
    "B04": (dict(approx_kl=1e-9, clip_fraction=0.0, entropy_loss=-0.69, **flat()), ERROR, ""),
    "P01": (dict(approx_kl=0.08, **flat()), WARN, ""),
    "P02": (dict(approx_kl=2e-4, **flat()), WARN, ""),
    "P03": ({"clip_fraction": 0.6}, WARN, ""),
    "P04": ({"kl_update": 0.2, "clip_fraction": 0.1}, INFO, ""),
    "P05": (dict(settings={"learning_rate": "adaptive:3e-4:0.01:1e-5:1e-2"}, learning_rate=late(1e-5), **flat()), WARN, "floor"),
    "P06": (dict(settings={"target_kl": 0.001}, n_epochs_done=1.0, kl_stopped=1.0, **flat()), WARN, ""),
    "P07": (dict(entropy_loss=late(-0.005, 0.15), **flat()), WARN, ""),
    "P08": (dict(entropy_loss=-0.69, **flat()), WARN, ""),
    "P09": (continuous(**{"train/std": np.linspace(1, 3, 120)}) | flat(), WARN, ""),
    "P10": (continuous(**{"rollout/action_saturation": 0.7}) | flat(), WARN, ""),
    "V01": (dict(explained_variance=-0.3, **flat()), WARN, "negative"),
    "V03": (dict(value_bias=0.9, **flat()), WARN, ""),
    "V04": (dict(return_mean=5e5, return_std=2e5, **flat()), WARN, "large"),
    "V05": ({"value_loss": lambda old: old * np.where(np.arange(len(old)) % 20 == 19, 400, 1)}, INFO, ""),
    "V06": ({"value_loss": lambda old: old * np.exp(np.where(np.arange(len(old)) > 85, 2.0, 0) * (-1.0) ** np.arange(len(old)))}, INFO, ""),
    "O01": ({"grad_norm_max": lambda old: old * np.where(np.arange(len(old)) % 30 == 29, 40, 1)}, INFO, ""),
    "O03": ({"train/dormant_units": 0.8} | flat(), WARN, ""),
    "A01": (dict(policy_gradient_loss=30.0, **flat()), WARN, "raw"),
    "N01": ({"rollout/obs_std_max": 200.0} | flat(), WARN, "large"),
    "T02": ({"settings": {"gamma": 0.5}}, WARN, "gamma"),
    "S01": ({"settings": {"total_timesteps": 10 * POOL}, "n": 10}, WARN, "iterations"),
    "S02": ({"settings": {"batch_size": 100}}, WARN, "ragged"),
    "S04": ({"settings": {"adam_eps": 1.0}}, WARN, "high"),
    "S05": ({"settings": {"eval_freq": 40 * POOL}}, WARN, "few"),
    "L01": ({"learning_rate": lambda old: np.where(np.arange(len(old)) < 60, 3e-4, 1e-7)}, WARN, "dead"),
    "R01": (flat(), WARN, "flat"),
    "R02": ({"ep_rew_mean": HALF, "iteration_rew_mean": HALF}, WARN, ""),
    "R03": ({"eval/mean_reward": lambda old: np.where(np.isfinite(old), 10.0, np.nan)}, WARN, ""),
    "R04": (dict(ep_rew_mean=-200.0, iteration_rew_mean=-200.0, **{"eval/mean_reward": None}), WARN, "never"),
    "F01": ({"update_s": 0.4}, INFO, "share"),
    "F02": ({"env_s": 0.4, "collect_s": 0.45}, INFO, ""),
}  # fmt: skip


@pytest.mark.parametrize("code", FAULTS)
def test_a_rule_finds_its_fault(code):
    changes, severity, variant = FAULTS[code]
    answer = ask(code, healthy(**changes))
    assert isinstance(answer, Finding), answer
    assert (answer.code, answer.severity, answer.variant) == (code, severity, variant)
    assert 0.0 < answer.confidence <= 0.95
    assert answer.evidence and answer.suspects


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_run_passes(rule, seed):
    answer = ask(rule.code, healthy(seed=seed))
    assert not isinstance(answer, Finding), answer


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.needs], ids=lambda rule: rule.code)
def test_what_was_not_logged_is_not_checked(rule):
    dropped = {tag: None for need in rule.needs for tag in need.split("|")}
    answer = ask(rule.code, healthy(**dropped))
    assert isinstance(answer, NotChecked)
    assert answer.reason == "not_logged"
    assert answer.missing


def test_every_rule_has_a_fault_here_or_a_test_of_its_own():
    elsewhere = {"B01", "V02", "T01", "T03", "S03", "E01"}
    assert {rule.code for rule in RULES} == set(FAULTS) | elsewhere


def test_B01_tells_the_first_figure_that_was_no_number():
    series = healthy()
    bad = {"train/value_loss": 9000.0, "train/loss": 8192.0, "train/explained_variance": 100.0}
    answer = ask("B01", dataclass_replace(series, nonfinite=bad))
    assert answer.severity == ERROR
    assert answer.values["tag"] == "train/loss"
    assert answer.onset_step == 8192


def test_B01_excuses_explained_variance_of_constant_returns():
    series = dataclass_replace(healthy(), nonfinite={"train/explained_variance": 512.0, "rollout/ep_rew_mean": 512.0})
    assert isinstance(ask("B01", series), Passed)


def test_B02_needs_more_than_single_outliers():
    assert isinstance(ask("B02", healthy(ratio_error=lambda old: np.where(np.arange(len(old)) == 7, 0.1, old))), Passed)


def test_B02_allows_mixed_precision_its_rounding():
    rounding = healthy(ratio_error=0.005, settings={"amp": "bf16"})
    assert isinstance(ask("B02", rounding), Passed)
    assert ask("B02", healthy(ratio_error=0.05, settings={"amp": "bf16"})).severity == ERROR


def test_P01_judges_by_the_runs_own_target():
    high = dict(approx_kl=0.04, **flat())
    assert isinstance(ask("P01", healthy(**high)), Passed)
    assert ask("P01", healthy(settings={"target_kl": 0.01}, **high)).values["target"] == 0.01
    assert isinstance(ask("P01", healthy(settings={"target_kl": 0.03}, **high)), Passed)


def test_P01_judges_by_the_clip_range():
    assert isinstance(ask("P01", healthy(approx_kl=0.08, clip_range=0.4)), Passed)
    assert isinstance(ask("P01", healthy(approx_kl=0.03, clip_range=0.1)), Finding)


def test_P01_is_wider_where_one_minibatch_is_all_that_was_logged():
    noisy = Source("cleanrl", (TagMeaning("losses/approx_kl", "train/approx_kl", LAST_MINIBATCH),))
    series = healthy(approx_kl=0.06, kl_update=None)
    assert isinstance(ask("P01", series), Finding)
    assert isinstance(ask("P01", dataclass_replace(series, source=noisy)), Passed)


def test_P01_finds_a_long_stretch_that_is_over():
    early = lambda old: np.where(np.arange(len(old)) < 70, 0.2, old)  # noqa: E731
    answer = ask("P01", healthy(approx_kl=early))
    assert isinstance(answer, Finding)
    assert answer.evidence[0].span[1] <= 76 * POOL
    assert isinstance(ask("P01", healthy(approx_kl=lambda old: np.where(np.arange(len(old)) < 20, 0.2, old))), Passed)


def test_onset_is_where_it_began():
    answer = ask("P01", healthy(approx_kl=late(0.3, 0.5)))
    assert abs(answer.onset_step - 60 * POOL) <= 5 * POOL


def test_a_code_in_force_clears_later_than_it_fires():
    half = lambda old: np.where((np.arange(len(old)) >= 110) & (np.arange(len(old)) % 2 == 0), 0.2, old)  # noqa: E731
    series = healthy(approx_kl=half)
    assert isinstance(ask("P01", series), Passed)
    assert isinstance(ask("P01", series, active={"P01": WARN}), Finding)


def test_P02_forgives_the_end_of_an_annealed_schedule_and_a_solved_task():
    rate = np.linspace(3e-4, 3e-7, 120)
    annealed = lambda old: old * (rate / rate[0]) ** 2  # noqa: E731
    assert isinstance(ask("P02", healthy(learning_rate=rate, approx_kl=annealed, **flat())), Passed)
    solved = healthy(approx_kl=5e-4, environment={"reward_threshold": 200.0})
    assert isinstance(ask("P02", solved), Passed)


def test_P02_says_nothing_of_a_policy_that_cannot_move_any_more():
    assert isinstance(ask("P02", healthy(approx_kl=1e-9, entropy_loss=late(-1e-6, 0.1), **flat())), NotApplicable)


@pytest.mark.parametrize(("clipped", "kl"), [(0.045, 0.005), (0.15, 0.01), (0.31, 0.02), (0.41, 0.03), (0.52, 0.05)])
def test_P04_knows_what_a_clip_fraction_implies(clipped, kl):
    assert implied_kl(np.array([clipped]), np.array([0.2]))[0] == pytest.approx(kl, rel=0.1)
    assert clipped_share(np.sqrt(2 * kl), 0.2) == pytest.approx(clipped, abs=0.012)


def test_P05_and_L01_ask_only_what_makes_sense_for_the_schedule():
    assert isinstance(ask("P05", healthy()), NotApplicable)
    assert isinstance(ask("L01", healthy(settings={"learning_rate": "adaptive:3e-4"})), NotApplicable)


def test_P07_is_silent_while_the_return_rises():
    assert isinstance(ask("P07", healthy(entropy_loss=late(-0.005, 0.2))), Passed)


def test_P07_looks_at_sigma_where_actions_are_continuous():
    sigma = 1.0 * np.exp(-np.arange(120) / 10.0)
    answer = ask("P07", healthy(**(continuous(**{"train/std": sigma}) | {"entropy_loss": 5.0} | flat())))
    assert (answer.severity, answer.variant) == (WARN, "std")


def test_negative_entropy_is_normal_for_continuous_actions():
    series = healthy(**(continuous(**{"train/std": 0.05}) | {"entropy_loss": 1.6}))
    assert isinstance(ask("P07", series), Passed)
    assert isinstance(ask("P08", series), NotApplicable)


def test_V01_ignores_returns_that_no_longer_vary():
    solved = {
        "explained_variance": lambda old: np.where(np.arange(len(old)) > 30, -5.0, old),
        "return_std": lambda old: np.where(np.arange(len(old)) > 30, 1e-4, old),
    }
    assert isinstance(ask("V01", healthy(**solved)), NotApplicable)
    assert isinstance(ask("V02", healthy(**solved)), NotApplicable)


def test_V01_does_not_trust_tiny_rollouts():
    assert isinstance(ask("V01", healthy(explained_variance=-4.0, settings={"n_envs": 1, "n_steps": 8})), NotApplicable)


def test_V04_knows_small_targets_too_and_leaves_normalised_rewards_alone():
    tiny = dict(return_mean=1e-3, return_std=1e-4, **flat())
    assert ask("V04", healthy(**tiny)).variant == "small"
    assert isinstance(ask("V04", healthy(settings={"normalize_reward": True}, **tiny)), NotApplicable)


def test_V04_estimates_the_scale_where_only_the_value_loss_is_known():
    series = healthy(return_mean=None, return_std=None, value_loss=4e9, explained_variance=0.1, **flat())
    answer = ask("V04", series)
    assert answer.values["size"] == pytest.approx(np.sqrt(4e9 / 0.9), rel=0.01)


def test_N01_looks_at_the_few_iterations_that_were_observed():
    rare = lambda value: np.where(np.arange(120) % 40 == 5, value, np.nan)  # noqa: E731
    assert ask("N01", healthy(**{"rollout/obs_offset": rare(90.0)})).variant == "offset"
    assert ask("N01", healthy(**{"rollout/obs_clipped": rare(0.3)})).variant == "clipped"
    assert isinstance(ask("N01", healthy(**{"rollout/obs_std_max": rare(2.0)})), Passed)


def test_T01_sees_a_time_limit_that_passes_for_an_end():
    raw = episodes(np.random.default_rng(0).normal(20, 3, 400), np.where(np.arange(400) % 3 == 0, 37, 200))
    answer = ask("T01", healthy(episodes=raw, **flat()))
    assert (answer.severity, answer.variant) == (WARN, "limit")
    assert answer.values["length"] == 200
    told = healthy(episodes=raw, truncated_fraction=0.66)
    assert isinstance(ask("T01", told), Passed)


def test_T01_sees_ends_that_cost_nothing():
    series = healthy(settings={"bootstrap_terminations": True}, **flat())
    assert ask("T01", series).variant == "bootstrapped"


def test_T02_passes_known_good_horizons_and_flags_rollouts_that_see_nothing():
    for gamma, lam, n_steps in ((0.99, 0.98, 16), (0.9999, 0.9, 8), (0.8, 0.9, 4), (0.98, 0.8, 32), (0.99, 0.95, 24)):
        series = healthy(settings={"gamma": gamma, "gae_lambda": lam, "n_steps": n_steps})
        assert isinstance(ask("T02", series), Passed), (gamma, lam, n_steps)
    assert ask("T02", healthy(settings={"n_steps": 4})).variant == "rollout"


def test_T02_suspects_a_short_horizon_only_where_the_return_fails():
    short = {"settings": {"gamma": 0.9}, "ep_len_mean": 400.0}
    assert isinstance(ask("T02", healthy(**short)), Passed)
    assert ask("T02", healthy(**short, **flat())).variant == "short"
    assert ask("T02", healthy(settings={"gae_lambda": 0.0}, ep_len_mean=30.0, **flat())).variant == "lambda"


def test_T03_sees_environments_that_reset_together():
    together = np.where(np.arange(120) % 4 == 3, 8.0, 0.0)
    series = healthy(settings={"n_envs": 8, "n_steps": 50}, iteration_episodes=together, ep_len_mean=200.0)
    answer = ask("T03", series)
    assert answer.values["period"] == 4
    assert isinstance(ask("T03", healthy(settings={"n_envs": 8, "n_steps": 50}, ep_len_mean=200.0)), Passed)


def test_S01_knows_the_users_own_case_and_a_single_update():
    maniskill = {"n_envs": 2048, "n_steps": 50, "batch_size": 3200, "n_epochs": 4, "total_timesteps": 2_000_000}
    answer = ask("S01", healthy(n=3, settings=maniskill, **{"time/total_timesteps": 102_400.0 * np.arange(1, 4)}))
    assert answer.values["iterations"] == 20
    assert answer.values["gradient_steps"] == 2560
    one = ask("S01", healthy(n=3, settings={"total_timesteps": 3 * POOL, "n_steps": 2048}))
    assert (one.severity, one.variant) == (ERROR, "one")


def test_S01_counts_how_far_weights_can_travel():
    answer = ask("S01", healthy(settings={"learning_rate": 1e-6}, learning_rate=1e-6))
    assert answer.variant == "travel"
    assert answer.values["travel"] == pytest.approx(120 * 10 * 8 * 1e-6)


def test_S02_allows_a_batch_of_the_whole_rollout_and_more():
    assert isinstance(ask("S02", healthy(settings={"batch_size": POOL})), Passed)
    assert ask("S02", healthy(settings={"batch_size": 2 * POOL})).severity == INFO


def test_S03_speaks_of_a_noisy_plateau_only():
    noisy = plateau()
    noisy["iteration_rew_mean"] = lambda old: (
        60 + np.random.default_rng(0).normal(0, 12, len(old)) - 40 * np.exp(-np.arange(len(old)))
    )
    answer = ask("S03", healthy(**noisy))
    assert not isinstance(answer, Finding) or answer.severity == INFO


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"adam_eps": 1e-2}, "eps_large"),
        ({"max_grad_norm": 1e-3}, "grad_clip_small"),
        ({"max_grad_norm": 0.0}, "grad_clip_small"),
        ({"clip_range": "linear:0.005"}, "clip_small"),
        ({"clip_range": 3.0}, "clip_large"),
        ({"clip_range_vf": 1e-3}, "clip_vf_small"),
        ({"learning_rate": 0.1}, "lr_high"),
        ({"learning_rate": "linear:1e-7"}, "lr_low"),
        ({"batch_size": 2}, "batch_small"),
        ({"batch_size": 2**20}, "batch_large"),
        ({"n_epochs": 200}, "epochs_many"),
        ({"gae_lambda": 0.0}, "lambda_low"),
        ({"ent_coef": 1.0}, "ent_high"),
        ({"vf_coef": 0.0}, "critic_untrained"),
        ({"vf_coef": 100.0}, "critic_dominates"),
        ({"target_kl": 1e-4}, "target_kl_small"),
    ],
)
def test_S04_names_the_cause_of_each_odd_setting(settings, cause):
    series = healthy(settings=settings, kl_stopped=1.0)
    answer = ask("S04", series)
    assert isinstance(answer, Finding)
    assert [suspect.cause for suspect in answer.suspects] == [cause]
    assert answer.evidence[0].what == next(iter(settings))
    card = next(card for card in diagnose(series).grave if card.code == "S04")
    assert card.causes[0].cause == cause
    assert card.changes[0].field == next(iter(settings))


def test_S04_speaks_of_the_setting_that_lies_furthest_out():
    answer = ask("S04", healthy(settings={"max_grad_norm": 0.01, "adam_eps": 1.0}))
    assert answer.values["name"] == "adam_eps"
    assert answer.excess == pytest.approx(1.0 / 1e-3 / 5.0)


def test_S04_leaves_alone_what_is_off_or_only_a_little_odd():
    assert isinstance(ask("S04", healthy(settings={"clip_range_vf": None, "target_kl": None})), Passed)
    assert isinstance(ask("S04", healthy(settings={"target_kl": 1e-4})), Passed)  # it never ended an update
    assert isinstance(ask("S04", healthy(settings={"max_grad_norm": 0.05, "vf_coef": 4.0})), Passed)
    unknown = healthy()
    assert isinstance(ask("S04", dataclass_replace(unknown, config={})), NotChecked)


def test_S04_is_a_remark_where_the_task_is_solved():
    solved = {"environment": {"reward_threshold": 150.0}}
    assert diagnose(healthy(settings={"adam_eps": 1.0}, **solved)).exit_code == 0
    assert diagnose(healthy(settings={"adam_eps": 1.0})).exit_code == 10


def test_ends_that_were_bootstrapped_at_first_count_though_the_policy_learned_to_avoid_them():
    settings = {"bootstrap_terminations": True}
    avoided = healthy(settings=settings, truncated_fraction=np.linspace(0.0, 1.0, 120), **flat())
    assert ask("T01", avoided).variant == "bootstrapped"
    never = healthy(settings=settings, truncated_fraction=0.95, **flat())
    assert not isinstance(ask("T01", never), Finding) or ask("T01", never).variant != "bootstrapped"


def test_targets_beyond_ends_are_judged_only_where_each_step_pays_alike():
    from upswing.doctor.likelihoods import even

    paid = healthy(episodes=episodes(np.full(50, 100.0), np.full(50, 100.0)))
    goal = healthy(episodes=episodes(np.linspace(-1.0, 1.0, 50), np.full(50, 20.0)))
    assert even(make_case(paid)) and not even(make_case(goal))


def test_T02_calls_a_sum_without_end_a_fault():
    endless = {"settings": {"gamma": 1.0}, "truncated_fraction": 1.0}
    answer = ask("T02", healthy(**endless))
    assert (answer.variant, answer.severity, answer.suspects[0].cause) == ("endless", WARN, "gamma_high")
    assert diagnose(healthy(**endless)).exit_code == 10  # a rising return does not excuse it
    assert isinstance(ask("T02", healthy(settings={"gamma": 1.0}, truncated_fraction=0.0)), Passed)


def test_what_no_recipe_has_is_excused_by_a_solved_task_alone():
    short = {"settings": {"n_steps": 4, "total_timesteps": 120 * POOL}}
    assert ask("T02", healthy(**short)).variant == "rollout"
    assert "T02" in {card.code for card in diagnose(healthy(**short)).grave}
    solved = diagnose(healthy(**short, environment={"reward_threshold": 150.0}))
    assert "T02" not in {card.code for card in solved.grave}


def test_a_critic_that_learned_nothing_is_a_fault_though_the_return_rises():
    blind = {"explained_variance": 0.1, "value_bias": 1.5}
    assert [card.code for card in diagnose(healthy(**blind)).grave] == ["V03"]
    assert diagnose(healthy(explained_variance=0.8, value_bias=1.5)).exit_code == 0
    assert diagnose(healthy(**blind, environment={"reward_threshold": 150.0})).exit_code == 0
    worse_than_a_constant = {"explained_variance": -0.2} | plateau()
    assert [card.code for card in diagnose(healthy(**worse_than_a_constant)).grave] == ["V01"]
    assert diagnose(healthy(explained_variance=0.1, **plateau())).exit_code == 0


def test_a_network_of_dead_units_is_a_fault_though_the_return_rises():
    assert [card.code for card in diagnose(healthy(**{"train/dormant_units": 0.96})).grave] == ["O03"]
    assert diagnose(healthy(**{"train/dormant_units": 0.7})).exit_code == 0


def test_updates_that_do_not_add_up_are_lost():
    constant = dict(entropy_loss=-0.69, approx_kl=0.01, **flat())
    causes = [cause.cause for cause in diagnose(healthy(**constant)).grave[0].causes]
    assert causes[0] == "not_in_optimiser"
    drifting = dict(entropy_loss=np.linspace(-0.69, -0.66, 120), approx_kl=0.01, **flat())
    assert "not_in_optimiser" not in [cause.cause for cause in diagnose(healthy(**drifting)).grave[0].causes][:1]


def test_a_policy_that_gets_worse_by_healthy_updates_learns_from_wrong_rewards():
    down = lambda old: np.linspace(200.0, 20.0, len(old))  # noqa: E731
    worse = dict(ep_rew_mean=down, iteration_rew_mean=down, approx_kl=0.04, **{"eval/mean_reward": None})
    assert diagnose(healthy(**worse)).grave[0].causes[0].cause == "out_of_step"


def test_S05_tells_that_only_the_untrained_policy_was_evaluated():
    scores = np.full(19, np.nan)
    scores[0] = 0.2
    series = healthy(n=19, **{"eval/mean_reward": scores, "time/total_timesteps": 102_400.0 * np.arange(1, 20)})
    foreign = dataclass_replace(series, source=Source("maniskill"), environment={"eval_steps": (0.0,)})
    config = {**series.config, "n_envs": 2048, "n_steps": 50, "total_timesteps": 1_945_600}
    answer = ask("S05", dataclass_replace(foreign, config=config))
    assert (answer.severity, answer.variant) == (WARN, "untrained")
    assert answer.values["count"] == 1


def test_L01_sees_a_schedule_restarted_by_a_resume():
    rate = np.concatenate([np.linspace(3e-4, 3e-5, 60), np.linspace(3e-4, 3e-6, 60)])
    answer = ask("L01", healthy(learning_rate=rate))
    assert answer.variant == "leap"
    assert answer.values["step"] == 61 * POOL


def test_R01_knows_solved_rising_standing_and_short_of_the_goal():
    assert isinstance(ask("R01", healthy()), Passed)
    solved = ask("R01", healthy(environment={"reward_threshold": 60.0}, **plateau(60.0)))
    assert isinstance(solved, Passed)
    short = ask("R01", healthy(environment={"reward_threshold": 500.0}, **plateau(60.0)))
    assert (short.severity, short.variant) == (WARN, "far")
    unknown = ask("R01", healthy(**plateau(60.0)))
    assert (unknown.severity, unknown.variant) == (INFO, "plateau")


def test_R01_waits_for_a_third_of_a_running_training():
    series = healthy(n=20, settings={"total_timesteps": 200 * POOL}, **flat())
    assert isinstance(ask("R01", series, live=True), NotChecked)


def test_R02_tells_where_the_fall_began():
    answer = ask("R02", healthy(ep_rew_mean=HALF, iteration_rew_mean=HALF))
    assert abs(answer.onset_step - 72 * POOL) <= 6 * POOL


def test_R04_is_content_with_a_maximum_that_was_reached():
    solved = {
        "ep_rew_mean": lambda old: np.minimum(old * 4, 500),
        "iteration_rew_mean": lambda old: np.minimum(old * 8, 500),
    }
    answer = ask("R04", healthy(**solved))
    assert (answer.severity, answer.variant) == (INFO, "constant")
    known = healthy(environment={"reward_threshold": 475.0}, **solved)
    assert isinstance(ask("R04", known), NotApplicable)


def test_F01_sees_a_run_that_slows_down_and_only_suspects_without_a_split():
    slowing = ask("F01", healthy(fps=late(3000.0, 0.6)))
    assert slowing.variant == "slowing"
    thin = {"collect_s": None, "update_s": None, "fps": None}
    assert ask("F01", healthy(**thin, **{"time/fps_mean": 12.0})).variant == "suspected"
    assert isinstance(ask("F01", healthy(**thin, **{"time/fps_mean": 900.0})), NotChecked)


def test_E01_is_for_comparisons():
    assert isinstance(ask("E01", healthy()), NotApplicable)


def dataclass_replace(series, **changes):
    """`series` with other fields."""
    import dataclasses

    return dataclasses.replace(series, **changes)


def test_P08_and_P09_see_that_the_policys_own_randomness_costs_the_return():
    solved = {"settings": {"ent_coef": 1.0}, **plateau(60.0), "eval/mean_reward": 200.0}
    world = {"n_actions": 2, "reward_threshold": 190.0}
    grave = diagnose(healthy(environment=world, **solved))
    assert [(card.code, card.causes[0].cause) for card in grave.grave] == [("P08", "ent_high")]
    assert grave.grave[0].changes[0].new == 0.01
    usual = diagnose(healthy(environment=world, **{**solved, "settings": {"ent_coef": 0.01}}))
    assert not usual.grave  # nothing in the settings that would explain it: a remark
    near = diagnose(healthy(environment=world, **{**solved, **plateau(150.0), "eval/mean_reward": 200.0}))
    assert not any(card.code == "P08" for card in near.cards)
    sigma = continuous() | solved | {"environment": {"n_actions": None, "continuous": True, "reward_threshold": 190.0}}
    assert [card.code for card in diagnose(healthy(**sigma)).grave] == ["P09"]


def test_a_task_is_not_solved_while_the_return_of_training_falls():
    curve = lambda old: 200 - np.maximum(0.0, np.arange(len(old)) - 80) * 1.2  # noqa: E731
    falling = {"ep_rew_mean": curve, "iteration_rew_mean": curve, "eval/mean_reward": 200.0}
    world = {"n_actions": 2, "reward_threshold": 190.0}
    assert make_case(healthy(environment=world, **falling)).returns.solved is False
    standing = {**plateau(150.0), "eval/mean_reward": 200.0}
    assert make_case(healthy(environment=world, **standing)).returns.solved is True


def test_V03_warns_of_a_gross_bias_on_a_plateau():
    half = lambda old: np.where(np.arange(len(old)) < 70, 1.0, 0.1)  # noqa: E731
    found = {size: ask("V03", healthy(value_bias=size, **plateau())).severity for size in (1.0, 3.0)}
    assert found == {1.0: "warn", 3.0: "warn"}  # of one sign to the end
    assert ask("V03", healthy(value_bias=half, **plateau())).severity == "info"  # lost on the way


def test_rules_that_were_wrong_too_often_speak_in_remarks():
    series = healthy(approx_kl=0.2, clip_fraction=0.7, **flat())
    loud, soft = diagnose(series, remarks_only=()), diagnose(series, remarks_only={"P01"})
    assert "P01" in {card.code for card in loud.grave}
    findings = [f for card in soft.cards for f in (card.finding, *card.symptoms) if f.code == "P01"]
    assert [finding.severity for finding in findings] == ["info"]


def test_P08_sees_a_run_that_ends_nearly_random_although_its_return_rises():
    def entropy(level, fall=0.0):
        return {"entropy_loss": lambda old: -np.log(2) * (level - fall * np.linspace(0, 1, len(old)))}

    found = ask("P08", healthy(**entropy(0.92)))
    assert (found.variant, found.severity, found.demotable) == ("end", WARN, False)
    assert isinstance(ask("P08", healthy(**entropy(0.99, fall=0.1))), Passed)  # still becoming less so
    assert isinstance(ask("P08", healthy(**entropy(0.8))), Passed)
    assert isinstance(ask("P08", healthy(**entropy(0.92)), live=True), Passed)  # who knows what is to come


def test_V01_warns_of_a_critic_that_never_foresaw_anything_unless_the_return_is_capped():
    blind = {"explained_variance": lambda old: 0.02 * np.sin(np.arange(len(old)))}
    assert ask("V01", healthy(**blind, **plateau())).severity == WARN
    seen_once = {"explained_variance": lambda old: np.where(np.arange(len(old)) < 30, 0.5, 0.0)}
    assert ask("V01", healthy(**seen_once, **plateau())).severity == INFO
    top = episodes(np.minimum(500.0, 20.0 + 5.0 * np.arange(900)), 100)
    assert ask("V01", healthy(**blind, **plateau(), episodes=top)).severity == INFO


def test_T01_sees_ends_that_are_reported_as_limits():
    raw = episodes(np.random.default_rng(0).normal(20, 3, 400), np.random.default_rng(1).integers(8, 40, 400))
    answer = ask("T01", healthy(episodes=raw, truncated_fraction=1.0, **flat()))
    assert (answer.severity, answer.variant) == (WARN, "cut")
    assert isinstance(ask("T01", healthy(episodes=raw, truncated_fraction=0.0, **flat())), Passed)


def test_a_rate_that_is_dead_for_long_is_told_whatever_the_return_does():
    dead = {"learning_rate": lambda old: np.where(np.arange(len(old)) < 36, 3e-4, 1e-8)}
    card = diagnose(healthy(**dead, settings={"learning_rate": "piecewise:0=3e-4,0.3=1e-8"})).grave[0]
    assert (card.code, card.causes[0].cause) == ("L01", "schedule_short")
    assert card.changes[0].new == "linear:0.0003"


def test_a_return_that_only_evaluations_reach_is_a_warning_where_a_setting_explains_it():
    solved = {**plateau(150.0), "eval/mean_reward": 200.0, "environment": {"n_actions": 2, "reward_threshold": 190.0}}
    assert (ask("R01", healthy(**solved)).severity, ask("R01", healthy(**solved)).variant) == (INFO, "training")
    assert not diagnose(healthy(**solved)).grave
    slow = diagnose(healthy(**solved, settings={"clip_range": 0.005})).grave[0]
    assert slow.causes[0].cause == "clip_small"
