"""Collecting the next rollout while the last one is learned from: what is stale, how it is weighted, what is kept."""

import sys
import threading
import time

import numpy as np
import pytest
import torch

from scripted import ScriptedEnv, script
from torch_engines import HYPER, engine_for, weights
from upswing.engine.group import Group
from upswing.engine.learner import MAX_WEIGHT
from upswing.engine.overlap import USUAL_S, pays
from upswing.errors import ConfigError, EnvironmentFault
from upswing.ppo.losses import effective_share


def iterate(engine, n, **hyper):
    """`n` iterations: rollouts (copies of what is checked), statistics, and the weights before each update."""
    seen = []
    for _ in range(n):
        rollout = engine.collect()
        seen.append((rollout.log_probs.clone(), rollout.obs.clone(), rollout.actions.clone(), weights(engine)))
        seen[-1] += (engine.update(rollout, HYPER._replace(**hyper)),)
    engine.collector.close()
    return seen


def acted_by(engine, flat, obs, actions):
    """Log-probabilities of `actions` under the weights `flat`."""
    torch.nn.utils.vector_to_parameters(flat, engine.policy.parameters())
    with torch.no_grad():
        return engine.policy(obs.flatten(0, 1))[0].log_prob(actions.flatten()).view_as(actions)


def test_each_rollout_after_the_first_was_acted_one_update_ago():
    engine = engine_for(script(16, 4), collect="overlap")
    seen = iterate(engine, 4)
    assert [stats.staleness for *_, stats in seen] == [0, 1, 1, 1]
    for k, (log_probs, obs, actions, _, _) in enumerate(seen):
        acting = seen[max(0, k - 1)][3]
        torch.testing.assert_close(acted_by(engine, acting, obs, actions), log_probs)
        if k:
            assert not torch.equal(acted_by(engine, seen[k][3], obs, actions), log_probs)


def test_stale_samples_are_weighted_around_the_policy_that_learns():
    """The first minibatch's ratio is 1 though the samples are old, and the first loss is the weighted advantages' mean."""
    engine = engine_for(script(16, 4), collect="overlap", batch_size=64, normalize_advantage=False)
    engine.update(engine.collect(), HYPER._replace(learning_rate=0.02))
    rollout = engine.collect()
    log_probs, obs, actions = rollout.log_probs.clone(), rollout.obs.clone(), rollout.actions.clone()
    before = weights(engine)
    advantages = engine.learner._batch(rollout).advantages
    stats = engine.update(rollout, HYPER._replace(n_epochs=1))
    engine.close()
    w = (acted_by(engine, before, obs, actions) - log_probs).exp().clamp(max=MAX_WEIGHT).flatten()
    assert stats.ratio_error < 1e-5
    assert stats.policy_gradient_loss == pytest.approx(-float((w * advantages).mean()), rel=1e-4)
    assert stats.ess == pytest.approx(float(w.sum() ** 2 / (64 * (w**2).sum())), rel=1e-5)
    assert stats.ess < 0.999


def test_effective_share_by_hand():
    assert effective_share(None) is None
    assert effective_share(torch.full((5,), 0.7)) == pytest.approx(1.0)
    assert effective_share(torch.tensor([2.0, 0.0, 0.0, 0.0])) == pytest.approx(0.25)
    assert effective_share(torch.tensor([1.0, 2.0])) == pytest.approx(9 / 10)


class Delayed(ScriptedEnv):
    """A script whose every step waits."""

    def __init__(self, base, wait_s):
        super().__init__(base.steps, base.first_obs)
        self.wait_s, self.threads, self.notices = wait_s, set(), []

    def step(self, actions):
        self.threads.add(threading.current_thread())
        time.sleep(self.wait_s)
        return super().step(actions)


def test_results_do_not_depend_on_how_fast_either_side_is():
    """A slow environment, or a learner held up before each update: the same numbers to the bit."""
    outcomes = []
    for wait_s, pause_s in ((0.0, 0.0), (0.003, 0.0), (0.0, 0.1)):
        engine = engine_for(
            Delayed(script(16, 4), wait_s), collect="overlap", normalize_obs=True, normalize_reward=True
        )
        for _ in range(4):
            rollout = engine.collect()
            time.sleep(pause_s)
            stats = engine.update(rollout, HYPER)
        engine.close()
        moments = engine.normalizer.arrays()
        outcomes.append((weights(engine), stats._replace(update_s=0), moments))
    for w, stats, moments in outcomes[1:]:
        assert torch.equal(w, outcomes[0][0])
        assert stats == outcomes[0][1]
        for name, value in moments.items():
            np.testing.assert_array_equal(value, outcomes[0][2][name])


def test_statistics_are_those_of_the_rollout_in_hand():
    engine = engine_for(Delayed(script(16, 4), 0.0), collect="overlap", normalize_obs=True)
    engine.collect()
    engine.collector._pending.result()  # the next one is complete
    assert engine.normalizer.obs[""].weight == pytest.approx(1e-4 + 4 + 64)
    assert engine.num_timesteps == 64
    engine.close()


def test_a_checkpoint_does_not_change_the_training_and_a_resume_goes_on():
    engine, other = (engine_for(script(16, 4), collect="overlap") for _ in range(2))
    for k in range(3):
        engine.update(engine.collect(), HYPER)
        other.update(other.collect(), HYPER)
        if k == 1:
            snapshot = engine.snapshot()
    assert torch.equal(weights(engine), weights(other))
    fresh = engine_for(script(16, 4), collect="overlap")
    assert any("left out" in sentence for sentence in fresh.restore(snapshot))
    assert fresh.num_timesteps == 128
    assert fresh.env.at == 48  # three rollouts were collected when it was saved
    assert fresh.collect().staleness == 0
    for each in (engine, other, fresh):
        each.close()


def test_weights_and_statistics_taken_up_again_are_acted_by():
    engine = engine_for(Delayed(script(16, 4), 0.0), collect="overlap", normalize_obs=True)
    engine.update(engine.collect(), HYPER)
    snapshot, before = engine.snapshot(), weights(engine)
    engine.update(engine.collect(), HYPER._replace(learning_rate=0.1))
    engine.restore(snapshot, environments=False)
    rollout = engine.collect()
    assert rollout.staleness == 0
    torch.testing.assert_close(acted_by(engine, before, rollout.obs, rollout.actions), rollout.log_probs)
    assert engine.normalizer.obs[""].weight == pytest.approx(1e-4 + 4 + 2 * 64)
    engine.close()


def test_hooks_on_steps_are_served_in_the_trainings_own_thread():
    env = Delayed(script(16, 4), 0.0)
    engine = engine_for(env, collect="overlap")
    steps = []
    for _ in range(2):
        engine.update(engine.collect(steps.append), HYPER)
    assert len(steps) == 32
    assert env.threads == {threading.current_thread()}
    engine.close()


def test_threads_hand_over_quickly_only_while_both_are_at_work():
    sys.setswitchinterval(USUAL_S)  # engines of other tests may not have been closed
    engine = engine_for(Delayed(script(16, 4), 0.001), collect="overlap")
    rollout = engine.collect()
    assert sys.getswitchinterval() < USUAL_S / 10
    engine.update(rollout, HYPER)
    engine.close()
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)


@pytest.mark.parametrize(
    ("collect_s", "idle_s", "update_s", "worth"),
    [
        (1.0, 0.9, 1.0, True),  # two halves: almost twice as fast
        (1.0, 0.0, 1.0, False),  # collecting needs the processor itself
        (1.0, 0.9, 0.1, False),  # there is little to hide
        (1.0, 0.9, 9.0, False),
        (0.7, 0.25, 0.3, True),
    ],
)
def test_overlapping_pays_where_an_update_fits_into_waiting(collect_s, idle_s, update_s, worth):
    assert pays(collect_s, idle_s, update_s) is worth


@pytest.mark.parametrize("overlaps", [True, False])
def test_auto_decides_once_by_what_it_measured(overlaps, monkeypatch):
    asked = []
    monkeypatch.setattr("upswing.engine.overlap.pays", lambda *times: asked.append(times) or overlaps)
    env = Delayed(script(16, 4), 0.002)
    engine = engine_for(env, collect="auto")
    for _ in range(6):
        engine.update(engine.collect(), HYPER)
    [(collect_s, idle_s, update_s)] = asked
    assert collect_s > idle_s > 0.9 * 16 * 0.002
    assert update_s > 0
    assert engine.collector.overlaps is overlaps
    assert any("collect auto" in sentence for sentence in env.notices)
    assert (len(env.threads) == 2) is overlaps
    engine.close()


def test_a_fault_in_the_thread_reaches_the_training():
    class Broken(ScriptedEnv):
        def step(self, actions):
            if self.at == 20:
                raise EnvironmentFault("environment 0 broke")
            return super().step(actions)

    base = script(16, 4)
    engine = engine_for(Broken(base.steps, base.first_obs), collect="overlap")
    engine.update(engine.collect(), HYPER)
    with pytest.raises(EnvironmentFault, match="broke"):
        engine.collect()
    engine.close()


def test_not_in_a_group():
    with pytest.raises(ConfigError, match="not under torchrun"):
        engine_for(script(16, 4), group=Group(0, 2), collect="overlap")
