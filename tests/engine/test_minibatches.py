"""Policies with memory in the torch engine: states while collecting, and minibatches of whole sequences."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from envs.recall import Recall
from scripted import script
from torch_engines import HYPER, engine_for, weights
from upswing.engine.group import Group
from upswing.engine.minibatches import Sequences, cut
from upswing.envs.serial import SerialVectorEnv
from upswing.ppo.losses import policy_loss, value_loss

RECURRENT = {"policy": "MlpLstmPolicy", "policy_kwargs": {"lstm_hidden_size": 8, "net_arch": [8]}}


def world(n_steps=64, n_envs=4, empty=True, seed=0):
    """Random steps whose episodes end now and then; with `empty`, the row after an end is often not valid, as where
    environments reset one step late."""
    env = script(n_steps, n_envs, seed=seed)
    if empty:
        rng = np.random.default_rng(seed)
        over = np.stack([s.terminated | s.truncated for s in env.steps])
        late = over[:-1] & ~over[1:] & (rng.random(over[1:].shape) < 0.7)
        env.steps[1:] = [step._replace(valid=~row) for step, row in zip(env.steps[1:], late, strict=True)]
        assert late.sum() > 5
    return env


def test_sequences_cover_every_valid_transition_once_and_cross_no_episode():
    for size in (1, 3, 8, 100):
        engine = engine_for(world(), n_steps=32, batch_size=size, **RECURRENT)
        rollout = engine.collect()
        ended, valid = rollout.terminated | rollout.truncated, rollout.valid
        where = valid.flatten().nonzero()[:, 0]  # of a batch's rows in the rollout
        parts = list(cut(engine.policy, rollout, size, Group()).shuffled(torch.Generator().manual_seed(1)))
        assert sorted(torch.cat([rows for rows, *_ in parts]).tolist()) == list(range(int(valid.sum())))
        assert len(parts) <= -(-len(where) // size)
        for rows, _, _, evaluate in parts:
            lengths, states = evaluate.keywords["lengths"].tolist(), evaluate.keywords["state"]
            assert sum(lengths) == len(rows) < 2 * max(size, 2)
            for sequence, state in zip(rows.split(lengths), states, strict=True):
                t, n = where[sequence] // 4, where[sequence] % 4
                assert (t.diff() == 1).all() and (n == n[0]).all() and len(sequence) <= size
                assert not ended[t[:-1], n[:-1]].any()
                assert torch.equal(state, rollout.memory[t[0], n[0]])


def test_the_memory_is_empty_where_an_episode_begins_and_goes_on_everywhere_else():
    engine = engine_for(world(), n_steps=16, **RECURRENT)
    rollout = engine.collect()
    fresh = (rollout.terminated | rollout.truncated | ~rollout.valid)[:-1]
    assert fresh.any() and not rollout.memory[1:][fresh].any()
    assert not rollout.memory[0].any() and rollout.memory[1:][~fresh].ne(0).all()
    with torch.no_grad():
        for t in range(15):
            after = engine.policy.step(rollout.obs[t], rollout.memory[t])[2]
            torch.testing.assert_close(after[~fresh[t]], rollout.memory[t + 1][~fresh[t]])
    following = engine.collector.memory.clone()
    assert torch.equal(engine.collect().memory[0], following)


def test_last_observations_are_valued_with_what_was_known_before_them():
    env = world(empty=False)
    engine = engine_for(env, n_steps=16, **RECURRENT)
    rollout = engine.collect()
    with torch.no_grad():
        for t, step in enumerate(env.steps[:16]):
            if step.final_obs is not None:
                rows = np.flatnonzero(step.terminated | step.truncated)
                known = engine.policy.step(rollout.obs[t], rollout.memory[t])[2][rows]
                expected = engine.policy.step_values(torch.from_numpy(step.final_obs), known)
                torch.testing.assert_close(rollout.final_values[t, rows], expected)
                assert not torch.allclose(expected, engine.policy.predict_values(torch.from_numpy(step.final_obs)))
        torch.testing.assert_close(
            rollout.last_values, engine.policy.step_values(torch.tensor(engine.collector.obs), engine.collector.memory)
        )


@pytest.mark.parametrize("size", [4, 13, 64])
@pytest.mark.parametrize("policy", ["MlpLstmPolicy", "MlpGruPolicy"])
def test_the_first_minibatch_repeats_what_was_collected(policy, size):
    engine = engine_for(world(), batch_size=size, **(RECURRENT | {"policy": policy}))
    for _ in range(3):
        assert engine.update(engine.collect(), HYPER).ratio_error < 1e-5


def test_padding_counts_nowhere():
    """The losses of one minibatch of ragged sequences are means over its transitions, each computed step by step."""
    engine = engine_for(world(), batch_size=1000, **RECURRENT)
    rollout = engine.collect()
    with torch.no_grad():
        for parameter in engine.policy.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    batch = engine.learner._batch(rollout)
    log_probs, values, entropies = [], [], []
    with torch.no_grad():
        memory = rollout.memory[0]
        for t in range(16):
            distribution, value, memory = engine.policy.step(rollout.obs[t], memory)
            log_probs.append(distribution.log_prob(rollout.actions[t]))
            values.append(value)
            entropies.append(distribution.entropy())
            memory = memory.masked_fill((rollout.terminated | rollout.truncated | ~rollout.valid)[t][:, None], 0.0)
    valid = rollout.valid.flatten()
    log_probs, values, entropies = (torch.cat(part)[valid] for part in (log_probs, values, entropies))
    advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    stats = engine.update(rollout, HYPER._replace(n_epochs=1))
    expected = float(policy_loss(log_probs - batch.log_probs, advantages, 0.2))
    assert stats.policy_gradient_loss == pytest.approx(expected, abs=1e-5)
    assert stats.value_loss == pytest.approx(float(value_loss(values, batch.values, batch.returns, None)), rel=1e-4)
    assert stats.entropy_loss == pytest.approx(-float(entropies.mean()), rel=1e-5)


def test_rows_that_only_reset_reach_neither_weights_nor_memory():
    outcomes = []
    for value in (0.0, np.nan, 1e30):
        engine = engine_for(world(), **RECURRENT)
        rollout = engine.collect()
        for part in (rollout.obs, rollout.log_probs, rollout.values, rollout.memory):
            part[~rollout.valid] = value
        outcomes.append((engine.update(rollout, HYPER)._replace(update_s=0), weights(engine)))
    assert all(torch.equal(outcomes[0][1], other[1]) and outcomes[0][0] == other[0] for other in outcomes)


def test_masks_and_memory_together():
    env = SerialVectorEnv([lambda: Recall(masked=True)] * 3)
    engine = engine_for(env, **(RECURRENT | {"policy_kwargs": {"lstm_hidden_size": 8, "shared_lstm": True}}))
    rollout = engine.collect()
    assert rollout.obs["action_mask"].gather(2, rollout.actions[..., None]).all()
    assert engine.update(rollout, HYPER).ratio_error < 1e-5


def test_state_dependent_noise_and_memory_together():
    env = script(16, 2)
    env.action_space = spaces.Box(-1, 1, (2,), np.float32)
    engine = engine_for(env, use_sde=True, **RECURRENT)
    stats = engine.update(engine.collect(), HYPER)
    assert stats.ratio_error < 1e-5 and stats.std > 0


def test_a_snapshot_continues_to_the_bit_in_the_middle_of_episodes():
    def make():
        return engine_for(world(empty=False), n_steps=5, **RECURRENT)

    first = make()
    first.update(first.collect(), HYPER)
    assert first.collector.memory.any()
    second = make()
    assert second.restore(first.snapshot()) == []
    assert torch.equal(first.collector.memory, second.collector.memory)
    for engine in (first, second):
        engine.update(engine.collect(), HYPER)
    assert torch.equal(weights(first), weights(second))
    first.reset()
    assert not first.collector.memory.any()


def test_policies_without_memory_keep_their_minibatches():
    engine = engine_for(script(16, 4))
    rollout = engine.collect()
    assert rollout.memory.shape == (16, 4, 0)
    parts = list(cut(engine.policy, rollout, 10, Group()).shuffled(torch.Generator().manual_seed(3)))
    expected = torch.randperm(64, generator=torch.Generator().manual_seed(3)).split(10)
    assert all(torch.equal(rows, want) for (rows, *_), want in zip(parts, expected, strict=True))
    assert not isinstance(cut(engine.policy, rollout, 10, Group()), Sequences)


def test_the_shares_of_a_group_are_the_whole_minibatch():
    """Sequences are shared between processes; the weighted means add up to the mean, though shares are unequal."""
    engine = engine_for(world(), batch_size=20, **RECURRENT)
    rollout = engine.collect()
    obs = rollout.obs.flatten(0, 1)[rollout.valid.flatten()]

    def parts(*group):
        return cut(engine.policy, rollout, 20, Group(*group)).shuffled(torch.Generator().manual_seed(1))

    for whole, *shares in zip(parts(), *(parts(rank, 3) for rank in range(3)), strict=True):
        values = whole.evaluate(obs[whole.rows])[1]
        assert sum(share.weight for share in shares) == pytest.approx(1.0)
        means = [share.weight * share.evaluate(obs[share.rows][share.mine])[1].mean() for share in shares]
        torch.testing.assert_close(sum(means), values.mean())
