"""Losses against hand values."""

import math

import pytest
import torch

from upswing.ppo.losses import approx_kl, clip_fraction, explained_variance, policy_loss, value_bias, value_loss


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective"),
    [
        (1.1, 2.0, 2.2),  # inside the range: r·A
        (1.5, 2.0, 2.4),  # a gain beyond 1+ε is not counted: 1.2·2
        (0.5, 2.0, 1.0),  # a loss is: min(0.5·2, 0.8·2)
        (0.5, -2.0, -1.6),  # A < 0: a gain beyond 1-ε is not counted: 0.8·(-2)
        (1.5, -2.0, -3.0),  # a loss is: 1.5·(-2)
    ],
)
def test_the_clipped_objective_case_by_case(ratio, advantage, objective):
    loss = policy_loss(torch.tensor([math.log(ratio)]), torch.tensor([advantage]), 0.2)
    assert loss.item() == pytest.approx(-objective, rel=1e-6)


@pytest.mark.parametrize(("ratio", "advantage", "slope"), [(1.5, 2.0, 0.0), (0.5, 2.0, -1.0), (0.5, -2.0, 0.0)])
def test_the_gradient_vanishes_only_beyond_the_clip_on_the_gaining_side(ratio, advantage, slope):
    log_ratio = torch.tensor([math.log(ratio)], requires_grad=True)
    policy_loss(log_ratio, torch.tensor([advantage]), 0.2).backward()
    assert log_ratio.grad.item() == pytest.approx(slope, abs=1e-6)  # d(-rA)/d log r = -rA


def test_value_loss_is_the_mean_squared_error():
    loss = value_loss(torch.tensor([1.0, 3.0]), torch.zeros(2), torch.tensor([2.0, 1.0]), None)
    assert loss.item() == pytest.approx((1 + 4) / 2)


def test_clipped_value_loss_uses_the_clipped_value_only():
    loss = value_loss(torch.tensor([5.0]), torch.tensor([1.0]), torch.tensor([5.0]), 0.5)
    assert loss.item() == pytest.approx((5 - 1.5) ** 2)


def test_kl_estimate_and_clip_fraction():
    log_ratio = torch.tensor([math.log(2.0), 0.0])
    assert approx_kl(log_ratio).item() == pytest.approx((1 - math.log(2)) / 2, rel=1e-6)
    assert clip_fraction(log_ratio, 0.2).item() == 0.5
    assert approx_kl(torch.randn(1000)) >= 0


def test_explained_variance():
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns).item() == 1.0
    assert explained_variance(torch.full((3,), 2.0), returns).item() == pytest.approx(0.0)
    assert explained_variance(-returns, returns).item() == pytest.approx(-3.0)
    assert explained_variance(returns, torch.full((3,), 0.1)).isnan()
    assert value_bias(returns, torch.full((3,), 0.1)).isnan()


def test_value_bias_sees_the_constant_that_explained_variance_cannot():
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns - 5, returns).item() == pytest.approx(1.0)
    assert value_bias(returns - 5, returns).item() == pytest.approx(5 / math.sqrt(2 / 3))
