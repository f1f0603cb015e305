"""The discrete kinds against torch.distributions, and what masks must and must not change."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import kl_divergence

from upswing.ppo.distributions import Bernoulli, Categorical, MultiCategorical, require_choices

NVEC = (2, 4, 3)


def logits(n: int, seed: int = 0, rows: int = 6) -> torch.Tensor:
    return 2.0 * torch.randn(rows, n, generator=torch.Generator().manual_seed(seed))


def mask_of(n: int) -> torch.Tensor:
    """[6, n] with at least one valid choice a row, and one row with exactly one."""
    mask = torch.rand(6, n, generator=torch.Generator().manual_seed(9)) < 0.6
    mask[:, 1] = True
    mask[0] = False
    mask[0, 2] = True
    return mask


def test_categorical_agrees_with_torch():
    ours, other = Categorical(logits(5)), Categorical(logits(5, seed=1))
    theirs, theirs_other = TorchCategorical(logits=logits(5)), TorchCategorical(logits=logits(5, seed=1))
    actions = torch.tensor([0, 4, 2, 1, 3, 3])
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.kl(other), kl_divergence(theirs, theirs_other))
    assert torch.equal(ours.mode(), theirs.probs.argmax(-1))
    assert ours.std() is None and torch.equal(ours.to_env(actions), actions)


def test_masked_categorical_is_the_one_over_the_valid_choices():
    mask, raw = mask_of(5), logits(5)
    ours, other = Categorical(raw, mask), Categorical(logits(5, seed=1), mask)
    for row in range(6):
        valid = mask[row].nonzero().flatten()
        theirs = TorchCategorical(logits=raw[row, valid])
        theirs_other = TorchCategorical(logits=logits(5, seed=1)[row, valid])
        torch.testing.assert_close(ours.entropy()[row], theirs.entropy())
        torch.testing.assert_close(ours.kl(other)[row], kl_divergence(theirs, theirs_other))
        for place, choice in enumerate(valid):
            chosen = torch.full((6,), int(choice))
            torch.testing.assert_close(ours.log_prob(chosen)[row], theirs.log_prob(torch.tensor(place)))
        assert ours.mode()[row] == valid[theirs.probs.argmax()]


def test_invalid_choices_are_never_drawn_and_get_no_gradient():
    raw, mask = logits(5).requires_grad_(), mask_of(5)
    generator = torch.Generator().manual_seed(0)
    distribution = Categorical(raw, mask)
    for _ in range(300):
        assert mask.gather(1, distribution.sample(generator)[:, None]).all()
    actions = distribution.sample(generator)
    (
        distribution.log_prob(actions).sum()
        + distribution.entropy().sum()
        + distribution.kl(Categorical(raw + 1, mask)).sum()
    ).backward()
    assert torch.isfinite(raw.grad).all()
    assert (raw.grad[~mask] == 0).all() and (raw.grad[1:][mask[1:]] != 0).all()


def test_kl_is_infinite_where_the_other_excludes_a_choice():
    narrow = torch.tensor([[True, False, True]])
    wide = Categorical(logits(3, rows=1))
    assert wide.kl(Categorical(logits(3, rows=1), narrow)).item() == math.inf
    assert math.isfinite(Categorical(logits(3, rows=1), narrow).kl(wide).item())


@pytest.mark.parametrize("act", ["sample", "mode"])
def test_a_row_without_a_valid_choice_is_named(act: str):
    mask = torch.ones(6, 5, dtype=torch.bool)
    mask[[1, 4]] = False
    with pytest.raises(ValueError, match=r"row 1, 4: at least one"):
        getattr(Categorical(logits(5), mask), act)()


def test_a_head_without_a_valid_choice_is_named():
    mask = torch.ones(6, sum(NVEC), dtype=torch.bool)
    mask[3, 2:6] = False  # all of the second head, while the row as a whole has valid choices
    with pytest.raises(ValueError, match=r"row 3:"):
        MultiCategorical(logits(sum(NVEC)), NVEC, mask).sample()
    require_choices(mask)  # as one head there is always something left


@pytest.mark.parametrize("nvec", [NVEC, (3, 3, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_multi_categorical_is_the_product_of_its_heads(nvec: tuple[int, ...], masked: bool):
    n = sum(nvec)
    mask = None
    if masked:
        mask = torch.ones(6, n, dtype=torch.bool)
        mask[2, 0] = mask[4, 3] = mask[4, n - 1] = False
    ours, other = MultiCategorical(logits(n), nvec, mask), MultiCategorical(logits(n, seed=1), nvec, mask)
    masks = [None] * len(nvec) if mask is None else mask.split(nvec, -1)
    heads = [Categorical(part, m) for part, m in zip(logits(n).split(nvec, -1), masks, strict=True)]
    others = [Categorical(part, m) for part, m in zip(logits(n, seed=1).split(nvec, -1), masks, strict=True)]
    actions = ours.sample(torch.Generator().manual_seed(3))
    assert actions.shape == (6, len(nvec)) and actions.dtype == torch.int64
    torch.testing.assert_close(
        ours.log_prob(actions), sum(h.log_prob(a) for h, a in zip(heads, actions.T, strict=True))
    )
    torch.testing.assert_close(ours.entropy(), sum(h.entropy() for h in heads))
    torch.testing.assert_close(ours.kl(other), sum(h.kl(o) for h, o in zip(heads, others, strict=True)))
    assert torch.equal(ours.mode(), torch.stack([h.mode() for h in heads], 1))


def test_multi_categorical_never_draws_beyond_a_narrow_head():
    distribution = MultiCategorical(torch.zeros(4000, sum(NVEC)), NVEC)
    drawn = distribution.sample(torch.Generator().manual_seed(0))
    assert drawn.max(dim=0).values.tolist() == [n - 1 for n in NVEC]
    for head, n in enumerate(NVEC):
        share = drawn[:, head].bincount(minlength=n) / len(drawn)
        torch.testing.assert_close(share, torch.full((n,), 1.0 / n), atol=0.03, rtol=0)


def test_bernoulli_agrees_with_torch():
    ours, other = Bernoulli(logits(4)), Bernoulli(logits(4, seed=1))
    theirs, theirs_other = TorchBernoulli(logits=logits(4)), TorchBernoulli(logits=logits(4, seed=1))
    actions = ours.sample(torch.Generator().manual_seed(0))
    assert actions.shape == (6, 4) and actions.dtype == torch.float32 and set(actions.flatten().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions).sum(-1))
    torch.testing.assert_close(ours.log_prob(actions.to(torch.int8)), theirs.log_prob(actions).sum(-1))
    torch.testing.assert_close(ours.entropy(), theirs.entropy().sum(-1))
    torch.testing.assert_close(ours.kl(other), kl_divergence(theirs, theirs_other).sum(-1))
    assert torch.equal(ours.mode(), theirs.probs.round())


def test_bernoulli_entropy_has_the_right_gradient():
    raw = logits(4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: Bernoulli(x).entropy(), (raw,))


@pytest.mark.parametrize("kind", [Categorical, Bernoulli])
def test_draws_have_the_stated_probabilities(kind: type):
    raw = torch.tensor([[0.5, -1.0, 2.0, 0.0]])
    many = kind(raw.expand(40_000, 4))
    drawn = many.sample(torch.Generator().manual_seed(0))
    expected = raw.softmax(-1)[0] if kind is Categorical else raw.sigmoid()[0]
    seen = drawn.bincount(minlength=4) / len(drawn) if kind is Categorical else drawn.mean(0)
    torch.testing.assert_close(seen, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    "distribution",
    [Categorical(logits(5)), MultiCategorical(logits(sum(NVEC)), NVEC), Bernoulli(logits(4))],
    ids=["categorical", "multi", "bernoulli"],
)
def test_draws_depend_on_the_generator_alone(distribution):
    before = torch.get_rng_state()
    first = distribution.sample(torch.Generator().manual_seed(1))
    again = distribution.sample(torch.Generator().manual_seed(1))
    later = [distribution.sample(torch.Generator().manual_seed(seed)) for seed in range(2, 12)]
    assert torch.equal(first, again) and any(not torch.equal(first, other) for other in later)
    assert torch.equal(before, torch.get_rng_state())
    assert distribution.kl(object()) is None
