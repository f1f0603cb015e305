"""Actions drawn in compiled code follow the policy's distribution, and draws do not depend on one another."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats

from native_policies import SPACES, make_policy
from upswing.compiled.random import stream
from upswing.config import TrainConfig
from upswing.engine.native.buffers import PolicyBuffers
from upswing.engine.native.moments import NativeMoments
from upswing.engine.native.rollout import DETERMINISTIC
from upswing.engine.native.stepwise import Lane
from upswing.engine.native.storage import RolloutStorage
from upswing.engine.normalizer import Normalizer

N = 60_000


def draws(policy, seed=0, deterministic=False):
    """Actions [N, A] and log-probabilities [N] for one observation, N times, and torch's distribution for it."""
    buffers, space = PolicyBuffers(policy), spaces.Box(-1.0, 1.0, (5,))
    storage = RolloutStorage(1, SimpleNamespace(n_envs=N, observation_space=space, action_space=space), buffers.layout)
    moments = NativeMoments(Normalizer(TrainConfig(), space, N), 5)
    moments.scaling[DETERMINISTIC] = deterministic
    storage.current[:] = 0.3
    lane = Lane(storage, buffers, moments, stream(seed), slice(0, N))
    lane.begin()
    lane.act(0, refresh=True)
    with torch.no_grad():
        distribution, expected = policy(torch.from_numpy(storage.current))
    np.testing.assert_allclose(storage.values[0], expected, rtol=1e-5, atol=1e-6)
    return storage.actions[0], storage.log_probs[0], distribution


def as_torch(space, actions):
    whole = torch.from_numpy(actions).long()
    return {"discrete": whole[:, 0], "multi_discrete": whole}.get(space, torch.from_numpy(actions))


@pytest.mark.parametrize("space", SPACES)
def test_log_probs_of_what_was_drawn(space):
    actions, log_probs, distribution = draws(make_policy(space))
    np.testing.assert_allclose(
        log_probs, distribution.log_prob(as_torch(space, actions)).detach(), rtol=2e-6, atol=2e-6
    )


@pytest.mark.parametrize(
    ("space", "nvec"), [("discrete", [3]), ("multi_discrete", [2, 5, 3]), ("multi_binary", [2] * 4)]
)
def test_choices_are_as_frequent_as_they_are_likely(space, nvec):
    actions, _, distribution = draws(make_policy(space))
    logits = distribution.logits[0]
    heads = torch.stack([0 * logits, logits], 1) if space == "multi_binary" else logits.split(nvec, 0)
    for k, head in enumerate(heads):
        counts = np.bincount(actions[:, k].astype(int), minlength=nvec[k])
        expected = head.double().softmax(-1).numpy() * N
        assert (
            len(counts) == nvec[k] and stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 0.001
        )
    if len(nvec) > 1:  # parts are drawn independently
        assert abs(np.corrcoef(actions[:, 0], actions[:, 1])[0, 1]) < 0.02


def test_gaussian_draws_have_its_mean_and_deviation():
    actions, _, distribution = draws(make_policy("box"))
    z = (actions - distribution.mean.numpy()) / distribution.log_std.detach().exp().numpy()
    for k in range(3):
        assert stats.kstest(z[:, k], "norm").pvalue > 0.001
    assert np.abs(np.corrcoef(z.T) - np.eye(3)).max() < 0.02


def test_an_almost_certain_choice_is_drawn():
    policy = make_policy("discrete")
    policy.action_head.net.bias.data[:] = torch.tensor([-50.0, 60.0, -90.0])
    actions, log_probs, _ = draws(policy)
    assert (actions == 1.0).all() and (log_probs == 0.0).all()


@pytest.mark.parametrize("space", SPACES)
def test_the_most_likely_action_is_torchs(space):
    for seed in range(5):
        actions, _, distribution = draws(make_policy(space, seed=seed), deterministic=True)
        expected = distribution.mode()[0].detach().numpy().reshape(-1)
        np.testing.assert_allclose(actions, np.broadcast_to(expected, actions.shape), rtol=1e-5, atol=1e-6)


def test_the_stream_decides():
    policy = make_policy("box")
    a, b, c = (draws(policy, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
