"""Calls of functions with arguments: only what a function takes counts."""

import itertools
import math

import pytest
import torch

from upswing.ppo.calls import FunctionCall
from upswing.ppo.distributions import Categorical

USES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])  # no_op(), select(x), move(x, y)


def drawn(seed=0, n=4, mask=None):
    generator = torch.Generator().manual_seed(seed)
    logits = [torch.randn(n, k, generator=generator, dtype=torch.float64) for k in (3, 2, 4)]
    return FunctionCall(Categorical(logits[0], mask), tuple(Categorical(part) for part in logits[1:]), USES.double())


def test_hand_values():
    """p(f) = ½, ¼, ¼; x is 0 with ¾; y one of four, all alike."""
    function = Categorical(torch.tensor([[0.5, 0.25, 0.25]]).log())
    x, y = Categorical(torch.tensor([[0.75, 0.25]]).log()), Categorical(torch.zeros(1, 4))
    call = FunctionCall(function, (x, y), USES)
    for action, p in (
        ([0, 1, 3], 0.5),
        ([1, 0, 3], 0.25 * 0.75),
        ([1, 1, 0], 0.25 * 0.25),
        ([2, 0, 2], 0.25 * 0.75 / 4),
    ):
        assert float(call.log_prob(torch.tensor([action]))) == pytest.approx(math.log(p))
    h_function, h_x, h_y = 1.5 * math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), math.log(4)
    assert float(call.entropy()) == pytest.approx(h_function + 0.5 * h_x + 0.25 * h_y)
    assert call.mode().tolist() == [[0, 0, 0]]
    assert float(call.kl(call)) == pytest.approx(0.0, abs=1e-7)


def calls():
    """Every call that there is, with arguments that are not taken left at 0."""
    for f, x, y in itertools.product(range(3), range(2), range(4)):
        if (USES[f, 0] or x == 0) and (USES[f, 1] or y == 0):
            yield f, x, y


@pytest.mark.parametrize("mask", [None, torch.tensor([[True, False, True]] * 4)])
def test_entropy_and_kl_are_sums_over_all_calls(mask):
    one, other = drawn(0, mask=mask), drawn(1, mask=mask)
    log_p, log_q = (torch.stack([d.log_prob(torch.tensor([call] * 4)) for call in calls()]) for d in (one, other))
    assert torch.allclose(log_p.exp().sum(0), torch.ones(4, dtype=torch.float64))
    possible = log_p.exp() > 0
    torch.testing.assert_close(one.entropy(), -torch.where(possible, log_p.exp() * log_p, 0.0).sum(0))
    torch.testing.assert_close(one.kl(other), torch.where(possible, log_p.exp() * (log_p - log_q), 0.0).sum(0))
    assert one.kl(one.function) is None


def test_arguments_that_are_not_taken_get_no_gradient():
    logits = [torch.randn(2, k, requires_grad=True) for k in (3, 2, 4)]
    call = FunctionCall(Categorical(logits[0]), tuple(Categorical(part) for part in logits[1:]), USES)
    call.log_prob(torch.tensor([[1, 0, 3], [1, 1, 0]])).sum().backward()
    assert logits[1].grad.any() and not logits[2].grad.any()


def test_an_impossible_value_of_an_argument_that_is_not_taken_changes_nothing():
    forbidden = torch.tensor([[True, False, True, True]])
    call = FunctionCall(Categorical(torch.zeros(1, 3)), (Categorical(torch.zeros(1, 2)), Categorical(torch.zeros(1, 4), forbidden)), USES)  # fmt: skip
    assert float(call.log_prob(torch.tensor([[1, 0, 1]]))) == pytest.approx(math.log(1 / 6))
    assert float(call.log_prob(torch.tensor([[2, 0, 1]]))) == -math.inf
    assert torch.isfinite(call.entropy())


def test_draws_follow_the_probabilities():
    call = drawn(2, n=1)
    many = FunctionCall(*[Categorical(call.function.logits.expand(20_000, -1))],
                        tuple(Categorical(a.logits.expand(20_000, -1)) for a in call.arguments), call.uses)  # fmt: skip
    actions = many.sample(torch.Generator().manual_seed(0))
    assert actions.shape == (20_000, 3) and actions.dtype == torch.int64
    for f, x, y in calls():
        taken = (
            (actions[:, 0] == f)
            & ((actions[:, 1] == x) | ~USES[f, 0].bool())
            & ((actions[:, 2] == y) | ~USES[f, 1].bool())
        )
        assert float(taken.float().mean()) == pytest.approx(
            float(call.log_prob(torch.tensor([[f, x, y]])).exp()), abs=0.02
        )
