"""The continuous kinds against torch.distributions, numerical integration and sampling."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, TransformedDistribution, kl_divergence
from torch.distributions.transforms import TanhTransform

from upswing.ppo import gaussians
from upswing.ppo.gaussians import DiagGaussian, SquashedGaussian, StateDependentGaussian, positive_std

MEAN = torch.tensor([[0.3, -1.2, 2.0], [0.0, 0.5, -3.0]])
LOG_STD = torch.tensor([-0.7, 0.0, 0.6])
LOW, HIGH = torch.tensor([-1.0, -2.0, 0.0]), torch.tensor([1.0, 3.0, 5.0])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_diagonal_gaussian_agrees_with_torch():
    ours, theirs = DiagGaussian(MEAN, LOG_STD), Normal(MEAN, LOG_STD.exp())
    other, theirs_other = DiagGaussian(MEAN + 0.4, LOG_STD - 0.3), Normal(MEAN + 0.4, (LOG_STD - 0.3).exp())
    actions = ours.sample(generator())
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions).sum(-1))
    torch.testing.assert_close(ours.entropy(), theirs.entropy().sum(-1))
    torch.testing.assert_close(ours.kl(other), kl_divergence(theirs, theirs_other).sum(-1))
    torch.testing.assert_close(ours.std(), LOG_STD.exp().expand(2, 3))
    assert torch.equal(ours.mode(), MEAN) and torch.equal(ours.to_env(actions), actions)


def test_gaussian_draws_have_the_stated_mean_and_spread():
    drawn = DiagGaussian(MEAN[:1].expand(40_000, 3), LOG_STD).sample(generator())
    torch.testing.assert_close(drawn.mean(0), MEAN[0], atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.std(0), LOG_STD.exp(), atol=0.02, rtol=0)


def test_squashed_log_prob_agrees_with_the_change_of_variables():
    ours = SquashedGaussian(DiagGaussian(MEAN, LOG_STD), LOW, HIGH)
    theirs = TransformedDistribution(Normal(MEAN.double(), LOG_STD.double().exp()), TanhTransform())
    u = torch.tensor([[0.2, -0.9, 1.1], [-2.0, 1.5, 0.0]])
    torch.testing.assert_close(
        ours.log_prob(u).double(), theirs.log_prob(u.double().tanh()).sum(-1), atol=1e-5, rtol=1e-5
    )


def test_squashed_log_prob_is_finite_far_in_the_tails():
    far = torch.tensor([[-60.0], [60.0]], requires_grad=True)
    squashed = SquashedGaussian(DiagGaussian(torch.zeros(2, 1), torch.full((1,), 3.0)), -torch.ones(1), torch.ones(1))
    log_prob = squashed.log_prob(far)
    log_prob.sum().backward()
    # log N(60; 0, e³) - 2 (log 2 - 60), whose slope is ∓60/e⁶ ± 2
    expected = -0.5 * (60 / math.exp(3)) ** 2 - 3 - 0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - 60)
    torch.testing.assert_close(log_prob, torch.full((2,), expected))
    torch.testing.assert_close(far.grad.abs(), torch.full((2, 1), 2 - 60 / math.exp(6)))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.8, 0.3), (-1.5, 0.7), (0.2, 2.5)])
def test_squashed_density_integrates_to_one_and_gives_its_entropy_and_kl(mean: float, std: float):
    u = torch.linspace(mean - 9 * std, mean + 9 * std, 40_001).double()
    a = u.tanh()
    squashed, other = (
        SquashedGaussian(
            DiagGaussian(torch.full((len(u), 1), m).double(), torch.tensor([math.log(s)]).double()),
            -torch.ones(1),
            torch.ones(1),
        )
        for m, s in ((mean, std), (mean + 0.3, std * 1.2))
    )
    log_p, log_q = squashed.log_prob(u[:, None]), other.log_prob(u[:, None])
    width = a.diff()

    def integral(f: torch.Tensor) -> float:
        return float((0.5 * (f[1:] + f[:-1]) * width).sum())

    assert integral(log_p.exp()) == pytest.approx(1.0, abs=2e-3)
    assert integral(-log_p.exp() * log_p) == pytest.approx(float(squashed.entropy()[0]), abs=5e-3)
    assert integral(log_p.exp() * (log_p - log_q)) == pytest.approx(float(squashed.kl(other)[0]), abs=2e-3)


def test_squashed_entropy_agrees_with_the_mean_log_prob_of_draws():
    squashed = SquashedGaussian(DiagGaussian(MEAN[:1].expand(60_000, 3), LOG_STD), LOW, HIGH)
    estimate = -squashed.log_prob(squashed.sample(generator())).mean()
    assert float(estimate) == pytest.approx(float(squashed.entropy()[0]), abs=0.03)


def test_squashed_entropy_has_the_right_gradient_and_pulls_a_wide_gaussian_in():
    mean, log_std = MEAN.double().requires_grad_(), LOG_STD.double().requires_grad_()
    low, high = LOW.double(), HIGH.double()
    assert torch.autograd.gradcheck(
        lambda m, s: SquashedGaussian(DiagGaussian(m, s), low, high).entropy(), (mean, log_std), atol=1e-4
    )
    wide = torch.tensor([2.0], requires_grad=True)  # σ = 7.4: nearly all mass at the bounds, where entropy is low
    SquashedGaussian(DiagGaussian(torch.zeros(1, 1), wide), LOW[:1], HIGH[:1]).entropy().sum().backward()
    assert wide.grad.item() < 0


def test_quadrature_made_without_gradients_serves_training_too():
    gaussians._quadrature.cache_clear()
    log_std = torch.zeros(3, requires_grad=True)
    with torch.inference_mode():
        SquashedGaussian(DiagGaussian(MEAN, log_std), LOW, HIGH).entropy()
    SquashedGaussian(DiagGaussian(MEAN, log_std), LOW, HIGH).entropy().sum().backward()
    assert torch.isfinite(log_std.grad).all()


def test_squashed_actions_reach_the_environment_inside_its_bounds():
    squashed = SquashedGaussian(DiagGaussian(MEAN, LOG_STD), LOW, HIGH)
    torch.testing.assert_close(squashed.to_env(torch.zeros(1, 3)), 0.5 * (LOW + HIGH)[None])
    torch.testing.assert_close(squashed.to_env(torch.full((1, 3), 40.0)), HIGH[None])
    torch.testing.assert_close(squashed.to_env(torch.full((1, 3), -40.0)), LOW[None])
    u = torch.tensor([[0.5, -0.5, 0.0]])
    torch.testing.assert_close(squashed.to_env(u), LOW + (u.tanh() + 1) / 2 * (HIGH - LOW))
    assert torch.equal(squashed.mode(), MEAN) and torch.equal(squashed.std(), LOG_STD.exp().expand(2, 3))


@pytest.mark.parametrize("full_std", [True, False])
def test_state_dependent_variance_is_that_of_its_draws(full_std: bool):
    n, features, dims = 40_000, 5, 2
    weight_std = 0.2 + torch.rand(features, dims if full_std else 1, generator=generator(1))
    latent = torch.randn(1, features, generator=generator(2)).expand(n, features)
    mean = torch.tensor([[0.5, -2.0]]).expand(n, dims)
    distribution = StateDependentGaussian.from_latent(mean, latent, weight_std)
    noise = torch.randn(n, features, dims, generator=generator(3)) * weight_std
    expected = (latent[0].square() @ weight_std.square() + 1e-6).sqrt().expand(dims)
    torch.testing.assert_close(distribution.std()[0], expected)
    for drawn in (distribution.sample(None, noise), distribution.sample(generator(4))):
        torch.testing.assert_close(drawn.std(0), expected, rtol=0.02, atol=0)
        torch.testing.assert_close(drawn.mean(0), mean[0], rtol=0, atol=0.05)
    theirs = Normal(mean[:9], expected.expand(9, dims))
    head = StateDependentGaussian.from_latent(mean[:9], latent[:9], weight_std)
    actions = head.sample(generator(5))
    torch.testing.assert_close(head.log_prob(actions), theirs.log_prob(actions).sum(-1))
    torch.testing.assert_close(head.entropy(), theirs.entropy().sum(-1))


def test_state_dependent_noise_is_the_same_in_the_same_state_while_its_matrix_is_kept():
    weight_std, latent = torch.ones(4, 2), torch.randn(3, 4, generator=generator())
    noise = torch.randn(3, 4, 2, generator=generator(1))
    distribution = StateDependentGaussian.from_latent(torch.zeros(3, 2), latent, weight_std)
    again = StateDependentGaussian.from_latent(torch.ones(3, 2), latent, weight_std)
    torch.testing.assert_close(again.sample(generator(7), noise) - 1.0, distribution.sample(generator(8), noise))
    torch.testing.assert_close(distribution.sample(None, noise)[1], latent[1] @ noise[1])


def test_state_dependent_noise_sends_no_gradient_to_the_features():
    latent, weight_std = torch.randn(3, 4, requires_grad=True), torch.ones(4, 2, requires_grad=True)
    mean = latent @ torch.ones(4, 2)
    distribution = StateDependentGaussian.from_latent(mean, latent, weight_std)
    (reached,) = torch.autograd.grad(distribution.log_prob(torch.zeros(3, 2)).sum(), latent, retain_graph=True)
    expected = (
        (-(mean / distribution.std().square()).detach()).sum(1, keepdim=True).expand(3, 4)
    )  # through the mean alone
    torch.testing.assert_close(reached, expected)
    distribution.entropy().sum().backward()
    assert latent.grad is None and (weight_std.grad > 0).all()


def test_state_dependent_noise_never_vanishes():
    distribution = StateDependentGaussian.from_latent(torch.zeros(1, 2), torch.zeros(1, 4), torch.ones(4, 2))
    torch.testing.assert_close(distribution.std(), torch.full((1, 2), 1e-3))
    assert torch.isfinite(distribution.log_prob(torch.zeros(1, 2))).all()


def test_squashed_state_dependent_noise_uses_the_matrices():
    noise = torch.randn(3, 4, 2, generator=generator(1))
    base = StateDependentGaussian.from_latent(torch.zeros(3, 2), torch.ones(3, 4), torch.ones(4, 2))
    squashed = SquashedGaussian(base, -torch.ones(2), torch.ones(2))
    torch.testing.assert_close(squashed.sample(None, noise), noise.sum(1))


def test_positive_std_is_smooth_where_its_halves_meet_and_slow_above():
    x = torch.tensor([-2.0, -1e-4, 0.0, 1e-4, 3.0], requires_grad=True)
    std = positive_std(x, use_expln=True)
    torch.testing.assert_close(
        std, torch.tensor([math.exp(-2), 1 - 1e-4, 1.0, 1 + 1e-4, 1 + math.log(4)]), atol=1e-6, rtol=0
    )
    std.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([math.exp(-2), 1.0, 1.0, 1.0, 0.25]), atol=2e-4, rtol=0)
    torch.testing.assert_close(positive_std(x, use_expln=False), x.exp())
