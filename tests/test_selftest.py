"""The self-test passes on the program as it is, and names the part that was broken on purpose."""

import pytest
import torch

from upswing.engine import learner, objective
from upswing.selftest import run_selftest


@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_everything_works(engine):
    findings = list(run_selftest(engine))
    assert len(findings) == 5
    assert all(finding.passed for finding in findings), findings


def failures():
    return [finding.probe for finding in run_selftest("torch") if not finding.passed]


def test_a_broken_critic_fails_from_the_first_probe_on(monkeypatch):
    monkeypatch.setattr(objective, "value_loss", lambda values, old, returns, clip: 0 * values.mean())
    assert failures()[0] == "ConstantReward"


def test_no_discounting_fails_the_probe_of_discounting(monkeypatch):
    right = learner.gae
    monkeypatch.setattr(learner, "gae", lambda *args: right(*args[:6], 1.0, *args[7:]))
    assert failures() == ["RewardLater"]


def test_a_policy_that_does_not_learn_fails_the_probes_of_actions(monkeypatch):
    monkeypatch.setattr(objective, "policy_loss", lambda log_ratio, advantages, clip: 0 * log_ratio.mean())
    assert set(failures()) <= {"RightAction", "RightAnswer"}
    assert failures()


def test_advantages_of_the_wrong_rows_fail_only_where_observations_matter(monkeypatch):
    right = objective.policy_loss

    def shuffled(log_ratio, advantages, clip):
        return right(log_ratio, advantages[torch.randperm(len(advantages))], clip)

    monkeypatch.setattr(objective, "policy_loss", shuffled)
    assert "RightAnswer" in failures()
