"""The torch engine: what it collects, what it learns from, and what it must never look at."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch

from scripted import ScriptedEnv, script
from torch_engines import HYPER, engine_for, weights
from upswing.envs.contract import Episode, Step
from upswing.errors import TrainingDiverged


def test_the_rollout_holds_what_the_policy_saw_and_what_the_environment_answered():
    env = script(16, 3)
    engine = engine_for(env)
    rollout = engine.collect()
    np.testing.assert_array_equal(rollout.obs[0], env.first_obs)
    for t, step in enumerate(env.steps):
        np.testing.assert_array_equal(rollout.rewards[t], step.rewards)
        np.testing.assert_array_equal(rollout.terminated[t], step.terminated)
        np.testing.assert_array_equal(rollout.truncated[t], step.truncated)
        np.testing.assert_array_equal(env.actions[t], rollout.actions[t])
        if t < 15:
            np.testing.assert_array_equal(rollout.obs[t + 1], step.obs)
    assert rollout.episodes == [e for step in env.steps for e in step.episodes]
    distribution, values = engine.policy(rollout.obs.flatten(0, 1))
    torch.testing.assert_close(distribution.log_prob(rollout.actions.flatten()), rollout.log_probs.flatten())
    torch.testing.assert_close(values, rollout.values.flatten())


def test_truncated_rows_are_valued_by_their_true_last_observation():
    env = script(16, 3, seed=4)
    engine = engine_for(env)
    rollout = engine.collect()
    assert rollout.truncated.any()
    for t, step in enumerate(env.steps):
        ended = np.flatnonzero(step.terminated | step.truncated)
        for k, n in enumerate(ended):
            expected = engine.policy.predict_values(torch.from_numpy(step.final_obs[k : k + 1]))[0]
            torch.testing.assert_close(rollout.final_values[t, n], expected)
    torch.testing.assert_close(rollout.last_values, engine.policy.predict_values(torch.from_numpy(env.steps[15].obs)))


def poisoned(value):
    """A script whose environment 0 resets one step late after every end; those rows hold `value`."""
    env = script(16, 2, seed=1, p_end=0.5)
    steps, late = [], False
    for step in env.steps:
        rewards, valid, final = step.rewards.copy(), np.ones(2, bool), step.final_obs
        terminated, truncated = step.terminated.copy(), step.truncated.copy()
        if late:
            rewards[0], valid[0] = value, False
            if terminated[0] or truncated[0]:  # a reset ends nothing
                final = final[1:] if len(final) > 1 else None
            terminated[0] = truncated[0] = False
        late = bool(terminated[0] or truncated[0])
        episodes = [Episode(int(n), 1.0, 3) for n in np.flatnonzero(terminated | truncated)]
        steps.append(Step(step.obs, rewards, terminated, truncated, final, episodes, valid))
    assert sum(not s.valid[0] for s in steps) > 2
    return ScriptedEnv(steps, env.first_obs)


@pytest.mark.parametrize("normalize", [False, True])
def test_rows_that_only_reset_reach_neither_weights_nor_statistics(normalize):
    """Whatever the empty row after an episode's end holds, NaN included, the update is the same to the bit."""
    outcomes = []
    for value in (0.0, np.nan, 1e30):
        engine = engine_for(poisoned(value), normalize_reward=normalize)
        rollout = engine.collect()
        for part in (rollout.obs, rollout.log_probs, rollout.values):
            part[~rollout.valid] = value
        stats = engine.update(rollout, HYPER)
        if normalize:
            assert engine.normalizer.returns.weight == pytest.approx(1e-4 + int(rollout.valid.sum()))
        outcomes.append((weights(engine), stats._replace(update_s=0), rollout.raw_reward_mean))
    for other in outcomes[1:]:
        assert torch.equal(outcomes[0][0], other[0])
        assert outcomes[0][1:] == other[1:]


def test_the_first_minibatch_has_ratio_one():
    engine = engine_for(script(16, 4))
    assert engine.update(engine.collect(), HYPER).ratio_error < 1e-5


def test_target_kl_ends_the_update_before_the_step_that_would_exceed_it():
    engine = engine_for(script(16, 4))
    rollout = engine.collect()
    stats = engine.update(rollout, HYPER._replace(target_kl=1e-9, n_epochs=5))
    assert stats.kl_stopped
    assert stats.gradient_steps == 1  # the first minibatch has KL 0; the second is over and takes no step
    assert stats.n_epochs_done == 1
    after_one = weights(engine)
    other = engine_for(script(16, 4))
    other.update(other.collect(), HYPER._replace(target_kl=None, n_epochs=1), on_epoch=lambda view: False)
    assert not torch.equal(after_one, weights(other))


def test_an_epoch_hook_ends_the_epochs():
    engine = engine_for(script(16, 4))
    seen = []
    stats = engine.update(engine.collect(), HYPER._replace(n_epochs=5), lambda view: seen.append(view) or len(seen) < 3)
    assert [view.epoch for view in seen] == [0, 1, 2]
    assert stats.n_epochs_done == 3
    assert stats.approx_kl == pytest.approx(seen[-1].approx_kl)


def test_a_nan_reward_stops_training_with_finite_weights():
    env = script(16, 2)
    env.steps[3].rewards[1] = np.nan
    engine = engine_for(env)
    before = weights(engine)
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        engine.update(engine.collect(), HYPER)
    assert torch.isfinite(weights(engine)).all()
    assert len(before) == len(weights(engine))


def test_the_learning_rate_entropy_and_clip_in_force_are_the_ones_given():
    engine = engine_for(script(16, 4))
    before = weights(engine)
    engine.update(engine.collect(), HYPER._replace(learning_rate=0.0))
    assert torch.equal(before, weights(engine))


def test_terminations_are_bootstrapped_only_when_asked():
    def advantages(**settings):
        engine = engine_for(script(16, 3, seed=2), **settings)
        return engine.learner._batch(engine.collect()).advantages

    assert not torch.equal(advantages(), advantages(bootstrap_terminations=True))


@pytest.mark.parametrize("scope", ["minibatch", "batch"])
def test_both_scopes_of_advantage_normalisation_train(scope):
    engine = engine_for(script(16, 4), advantage_scope=scope)
    stats = engine.update(engine.collect(), HYPER)
    assert abs(stats.policy_gradient_loss) < 1.0
    assert stats.adv_std > 0


def test_actions_are_stored_unclipped():
    space = gymnasium.spaces.Box(-0.01, 0.01, (2,), np.float32)
    env = script(16, 4)
    env.action_space = space
    engine = engine_for(env)
    rollout = engine.collect()
    assert (rollout.actions.abs() > 0.5).any()
    assert engine.update(rollout, HYPER).ratio_error < 1e-5


def test_a_snapshot_continues_to_the_bit():
    first = engine_for(script(64, 3), normalize_obs=True, normalize_reward=True)
    first.update(first.collect(), HYPER)
    snapshot = first.snapshot()
    second = engine_for(script(64, 3), normalize_obs=True, normalize_reward=True)
    assert second.restore(snapshot) == []
    for engine in (first, second):
        for _ in range(2):
            engine.update(engine.collect(), HYPER)
    assert torch.equal(weights(first), weights(second))
    assert dataclasses.asdict(first.snapshot())["state"] == dataclasses.asdict(second.snapshot())["state"]


def test_statistics_follow_the_references_aggregation(monkeypatch):
    """Stable-Baselines3's: KL over the last epoch, the loss of the last minibatch, everything else over all."""
    engine = engine_for(script(16, 4))
    seen = []
    step = engine.learner._minibatch
    monkeypatch.setattr(engine.learner, "_minibatch", lambda *a: seen.append(step(*a)) or seen[-1])
    stats = engine.update(engine.collect(), HYPER)
    figures = [s for s, _ in seen]
    per_epoch = len(figures) // 2
    mean = lambda name, rows: float(torch.stack([getattr(s, name) for s in rows]).mean())  # noqa: E731
    assert stats.approx_kl == pytest.approx(mean("approx_kl", figures[per_epoch:]))
    assert stats.kl_update == pytest.approx(mean("approx_kl", figures))
    assert stats.clip_fraction == pytest.approx(mean("clip_fraction", figures))
    assert stats.value_loss == pytest.approx(mean("value_loss", figures))
    assert stats.entropy_loss == pytest.approx(mean("entropy_loss", figures))
    assert stats.loss == pytest.approx(float(figures[-1].loss))
    assert stats.entropy_loss < 0
