"""Advantages against hand values, a quadratic-time reference, and the identities at λ = 0 and λ = 1."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from upswing.ppo.advantages import discounted_sums, gae, normalize_advantages


def reference(rewards, values, last_values, terminated, truncated, final_values, gamma, lam, bootstrap=False):
    """A_t = Σ_k (γλ)^k δ_{t+k} up to the end of the episode, each sum written out: O(T²)."""
    T, N = rewards.shape
    advantages = torch.zeros(T, N, dtype=torch.float64)
    for n in range(N):
        for t in range(T):
            weight = 1.0
            for k in range(t, T):
                ended = bool(terminated[k, n] or truncated[k, n])
                if terminated[k, n] and not bootstrap:
                    following = 0.0
                elif ended:
                    following = float(final_values[k, n])
                else:
                    following = float(last_values[n] if k == T - 1 else values[k + 1, n])
                advantages[t, n] += weight * (float(rewards[k, n]) + gamma * following - float(values[k, n]))
                weight *= gamma * lam
                if ended:
                    break
    return advantages


def random_rollout(T, N, seed, p_end=0.3):
    g = torch.Generator().manual_seed(seed)

    def draw():
        return torch.randn(T, N, generator=g, dtype=torch.float64)

    terminated, truncated = (torch.rand(T, N, generator=g) < p_end for _ in range(2))
    return draw(), draw(), draw()[0], terminated, truncated, draw()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_equals_the_sum_written_out(T, N, seed, gamma, lam, bootstrap):
    rollout = random_rollout(T, N, seed)
    advantages, returns = gae(*rollout, gamma, lam, bootstrap)
    torch.testing.assert_close(advantages, reference(*rollout, gamma, lam, bootstrap))
    torch.testing.assert_close(returns, advantages + rollout[1])


def test_hand_values_of_a_truncation_and_a_termination():
    """γ = 0.5, λ = 0.5, rewards 1, values 2; truncated at t=1 with final value 8; terminated at t=3.

    δ_3 = 1 - 2 = -1                  A_3 = -1
    δ_2 = 1 + 0.5·2 - 2 = 0           A_2 = 0 + 0.25·(-1) = -0.25
    δ_1 = 1 + 0.5·8 - 2 = 3           A_1 = 3           (the trace is cut at the truncation)
    δ_0 = 1 + 0.5·2 - 2 = 0           A_0 = 0.25·3 = 0.75
    """
    ones = torch.ones(4, 1)
    no = torch.zeros(4, 1, dtype=torch.bool)
    truncated, terminated = no.clone(), no.clone()
    truncated[1], terminated[3] = True, True
    final = torch.zeros(4, 1)
    final[1], final[3] = 8.0, 99.0  # a termination's final value must not matter
    advantages, _ = gae(ones, 2 * ones, torch.tensor([7.0]), terminated, truncated, final, 0.5, 0.5)
    assert advantages[:, 0].tolist() == [0.75, 3.0, -0.25, -1.0]


def test_lambda_0_is_the_temporal_difference():
    rewards, values, last, terminated, truncated, final = random_rollout(8, 3, 0)
    advantages, _ = gae(rewards, values, last, terminated, truncated, final, 0.9, 0.0)
    following = torch.cat([values[1:], last[None]])
    following = torch.where(truncated, final, following)
    following = torch.where(terminated, torch.zeros_like(final), following)
    torch.testing.assert_close(advantages, rewards + 0.9 * following - values)


def test_lambda_1_is_the_discounted_return():
    rewards, values, last, *_ = random_rollout(6, 2, 1)
    never = torch.zeros(6, 2, dtype=torch.bool)
    _, returns = gae(rewards, values, last, never, never, torch.zeros(6, 2), 0.9, 1.0)
    expected = last.clone()
    for t in range(5, -1, -1):
        expected = rewards[t] + 0.9 * expected
        torch.testing.assert_close(returns[t], expected)


def test_normalised_advantages_have_mean_0_and_spread_1():
    scaled = normalize_advantages(torch.tensor([1.0, 2.0, 6.0]))
    assert scaled.mean().item() == pytest.approx(0, abs=1e-6)
    assert scaled.std().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("advantages", [[3.0], [2.0, 2.0, 2.0]])
def test_normalising_one_sample_or_no_spread_stays_finite(advantages):
    assert torch.isfinite(normalize_advantages(torch.tensor(advantages))).all()


def test_a_row_without_a_transition_gives_nothing_to_the_steps_before_it():
    """An episode lost on step 3: the steps before are valued by V of the last state that was seen, whatever follows."""
    rewards, values, last, terminated, truncated, final = random_rollout(6, 1, 3, p_end=0.0)
    valid = torch.ones(6, 1, dtype=torch.bool)
    truncated[3], valid[3] = True, False
    found = [
        gae(rewards, values, last, terminated, truncated, final + junk, 0.9, 0.8, valid=valid)[0] for junk in (0, 1e6)
    ]
    assert torch.equal(found[0], found[1])
    head = gae(rewards[:3], values[:3], values[3], terminated[:3], truncated[:3], final[:3], 0.9, 0.8)[0]
    torch.testing.assert_close(found[0][:3], head)


@pytest.mark.parametrize("T", [1, 2, 3, 8, 13, 64])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_sums_by_doubling_are_the_recursion(T, bootstrap):
    rollout = random_rollout(T, 5, seed=T)
    one_by_one = gae(*rollout, 0.99, 0.95, bootstrap)
    torch.testing.assert_close(gae(*rollout, 0.99, 0.95, bootstrap, by_doubling=True), one_by_one)


def test_sums_by_doubling_by_hand():
    x, c = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.5], [0.25], [9.0]])
    assert discounted_sums(x, c).flatten().tolist() == [1 + 0.5 * 3, 2 + 0.25 * 4, 4]
