"""What a run to compare with adds: a low plateau is told from all there is, and settings that differ are suspected."""

import numpy as np
import pytest

from doctor.made import healthy, plateau
from upswing.doctor.case import make_case
from upswing.doctor.diagnose import diagnose
from upswing.doctor.findings import Change
from upswing.doctor.reference import DIFFERS, SHARED, Reference, beside, reference_of, same_settings
from upswing.errors import UserError

RATE = Change("learning_rate", 1e-5, 3e-5)


def causes(diagnosis):
    return [cause.cause for cause in diagnosis.grave[0].causes]


def low(**settings):
    """A run that stands at a third of what a healthy one reaches."""
    return healthy(settings=settings, approx_kl=0.01, **plateau(60.0))


def test_a_low_plateau_is_a_fault_beside_what_is_known_to_be_reachable():
    assert diagnose(low()).exit_code == 0
    assert [card.code for card in diagnose(low(), reference=200.0).grave] == ["R01"]
    assert diagnose(low(), reference=60.0).exit_code == 0
    assert diagnose(healthy(), reference=healthy(seed=1)).exit_code == 0


def test_a_return_that_rises_too_slowly_is_a_fault_at_the_end_alone():
    assert diagnose(healthy(), reference=400.0).exit_code == 10
    assert diagnose(healthy(), reference=400.0, live=True).exit_code == 0


def test_the_setting_that_differs_is_suspected_first_and_takes_the_reference_s_value():
    found = diagnose(low(learning_rate=1e-4), reference=healthy(settings={"learning_rate": 2.5e-3}))
    assert causes(found)[0] == "lr_low"
    assert found.grave[0].changes[0] == Change("learning_rate", 1e-4, 2.5e-3, True)


def test_with_the_same_settings_it_is_no_setting():
    assert causes(diagnose(low(), reference=healthy()))[0] == "out_of_step"


def test_returns_of_another_scale_are_not_compared():
    """A reward that was multiplied would seem to solve the task."""
    good = reference_of(healthy())
    for factor, solved in ((1.0, True), (1e4, None), (1e-4, False), (-1.0, False)):
        scaled = lambda old, factor=factor: factor * old  # noqa: E731
        run = healthy(ep_rew_mean=scaled, iteration_rew_mean=scaled, **{"eval/mean_reward": None})
        assert make_case(run, reference=good).returns.solved is solved, factor
    around_nothing = lambda old: np.linspace(-1.0, 0.0, len(old))  # noqa: E731
    run = healthy(ep_rew_mean=around_nothing, iteration_rew_mean=around_nothing, **{"eval/mean_reward": None})
    assert make_case(run, reference=reference_of(0.0)).returns.solved is not None


def test_a_cause_beside_a_reference():
    assert beside(None, 0.4, RATE) == (0.4, RATE)
    assert beside(Reference(1.0), 0.4, RATE) == (0.4, RATE)  # a return alone says nothing of settings
    assert beside(Reference(1.0, {"learning_rate": 1e-5}), 0.4, RATE) == (SHARED * 0.4, RATE)
    assert beside(Reference(1.0, {"learning_rate": 1e-6}), 0.4, RATE) == (SHARED * 0.4, RATE)
    assert beside(Reference(1.0, {"learning_rate": "linear:0.001"}), 0.4, RATE) == (
        DIFFERS,
        RATE._replace(new="linear:0.001"),
    )
    assert beside(Reference(1.0, {"learning_rate": 1e-3}), 0.4, None) == (0.4, None)


def test_settings_that_learning_does_not_depend_on_are_not_compared():
    reference = Reference(1.0, {"gamma": 0.99, "seed": 1, "total_timesteps": 5})
    assert same_settings(reference, {"gamma": 0.99, "seed": 2, "total_timesteps": 7})
    assert not same_settings(reference, {"gamma": 0.9})
    assert not same_settings(reference, {}) and not same_settings(Reference(1.0), {"gamma": 0.99})


def test_a_reference_that_tells_no_return_is_refused():
    silent = healthy(ep_rew_mean=None, iteration_rew_mean=None, **{"eval/mean_reward": None})
    with pytest.raises(UserError, match="too few episodes"):
        reference_of(silent)
    assert reference_of(12).reached == 12.0
    assert np.isfinite(reference_of(healthy()).reached)
