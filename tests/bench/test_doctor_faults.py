"""The doctor's benchmark: its faults at work on environments, rollouts and settings, and its small worlds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from upswing.bench.doctor import programs, small_worlds, worlds
from upswing.envs.native import NativeVectorEnv, find


def _pendulum() -> NativeVectorEnv:
    env = NativeVectorEnv(find("Pendulum-v1", {}), 2)
    return env


def _steps(world, n: int):
    world.reset([1, 2])
    action = np.full((2, 1), 0.5, np.float32)
    return [world.step(action) for _ in range(n)]


def test_scaled_rewards_tell_scaled_returns_and_keep_the_true_ones():
    plain, scaled = worlds.World(_pendulum()), worlds.ScaledRewards(_pendulum(), 100.0)
    first, second = _steps(plain, 200)[-1], _steps(scaled, 200)[-1]
    assert len(first.episodes) == 2
    assert second.episodes[0].ret == pytest.approx(100 * first.episodes[0].ret, rel=1e-4)
    assert scaled.true_returns == pytest.approx(plain.true_returns)
    assert plain.true_returns[0] == pytest.approx(first.episodes[0].ret, rel=1e-4)


def test_unscaled_observations_and_actions():
    seen = worlds.UnscaledObservations(_pendulum(), 1000.0)
    plain = _steps(worlds.World(_pendulum()), 1)[0].obs
    assert np.allclose(_steps(seen, 1)[0].obs, plain * seen.units, rtol=1e-5)
    assert sorted(seen.units) == pytest.approx([1.0, math.sqrt(1000.0), 1000.0])
    acting = worlds.UnscaledActions(_pendulum(), 0.02)
    assert acting.action_space.high == pytest.approx(0.04)
    assert acting.acted(np.array([[0.01], [5.0]], np.float32)) == pytest.approx(np.array([[0.5], [2.0]]))
    assert worlds.MisplacedActions(_pendulum()).acted(np.array([1, 2])).tolist() == [2, 1]


def test_observations_that_lag_behind():
    world = worlds.DelayedObservations(_pendulum(), 2)
    plain = worlds.World(_pendulum())
    first = plain.reset([1, 2])
    assert (world.reset([1, 2]) == first).all()
    action = np.full((2, 1), 0.5, np.float32)
    true = [first, *(plain.step(action).obs for _ in range(250))]
    for at in range(250):
        step = world.step(action)
        assert (step.obs == true[max(0, at - 1)]).all()
        if step.truncated.any():
            assert (step.final_obs == step.obs).all()  # as old as anything else that is shown
            break
    assert at == 199


def test_observations_that_lag_behind_where_episodes_end_one_by_one():
    world = worlds.DelayedObservations(NativeVectorEnv(find("CartPole-v1", {}), 4), 1)
    before = world.reset([1, 2, 3, 4])
    for _ in range(60):
        step = world.step(np.ones(4, np.int64))
        if step.final_obs is not None and len(step.final_obs):
            ended = step.terminated | step.truncated
            assert (step.final_obs == before[ended]).all()
            return
        before = world.past[-1]
    raise AssertionError("no pole fell")


def test_rewards_that_are_late_flipped_or_shifted():
    true = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    late = worlds.LateRewards(_pendulum(), 2)
    assert np.array([late.rewarded(row) for row in true]).tolist() == [[0, 0], [0, 0], [1, 2]]
    half, whole = worlds.FlippedRewards(_pendulum(), 0.5), worlds.FlippedRewards(_pendulum(), 1.0)
    assert (half.rewarded(true[0]).tolist(), whole.rewarded(true[0]).tolist()) == ([-1.0, 2.0], [-1.0, -2.0])
    assert worlds.ShiftedRewards(_pendulum(), 100.0).rewarded(true[0]).tolist() == [101.0, 102.0]


def test_actions_that_are_ignored_late_or_weak():
    ignored = worlds.IgnoredActions(_pendulum(), 1.0)
    assert (ignored.acted(np.full((2, 1), 9.0, np.float32)) != 9.0).all()
    assert (worlds.IgnoredActions(_pendulum(), 0.0).acted(np.full((2, 1), 9.0)) == 9.0).all()
    late = worlds.LateActions(_pendulum(), 2)
    assert [int(late.acted(np.array([[k], [k]]))[0, 0]) for k in range(5)] == [0, 0, 0, 1, 2]
    held = worlds.HeldActions(_pendulum(), 2)
    assert [int(held.acted(np.array([[k], [k]]))[0, 0]) for k in range(5)] == [0, 0, 2, 2, 4]
    assert worlds.WeakActions(_pendulum(), 0.05).acted(np.array([[1.0], [2.0]])).tolist() == [[0.05], [0.1]]


def test_rewards_that_say_nothing_come_last_or_go_to_a_neighbour():
    true = np.array([1.0, 2.0])
    assert worlds.ConstantRewards(_pendulum()).rewarded(true).tolist() == [1.0, 1.0]
    noisy = worlds.NoisyRewards(_pendulum(), 10.0)
    assert 5.0 < np.std([noisy.rewarded(true) - true for _ in range(200)]) < 15.0
    assert worlds.SwappedRewards(_pendulum()).rewarded(true).tolist() == [2.0, 1.0]
    plain, last = _steps(worlds.World(_pendulum()), 201), _steps(worlds.RewardsAtEnd(_pendulum()), 201)
    assert all((step.rewards == 0.0).all() for step in (*last[:199], last[200]))
    assert last[199].rewards == pytest.approx(sum(step.rewards for step in plain[:200]), rel=1e-4)
    assert last[199].episodes[0].ret == pytest.approx(plain[199].episodes[0].ret)


def test_observations_in_another_order_or_of_the_beginning():
    plain, mixed = _steps(worlds.World(_pendulum()), 5), _steps(worlds.ShuffledFeatures(_pendulum()), 5)
    assert all((np.sort(a.obs) == np.sort(b.obs)).all() for a, b in zip(plain, mixed, strict=True))
    assert any((a.obs != b.obs).any() for a, b in zip(plain, mixed, strict=True))
    assert np.abs(_steps(worlds.CutObservations(_pendulum(), 0.1), 1)[0].obs).max() == np.float32(0.1)
    frozen = worlds.FrozenObservations(_pendulum())
    first, action = frozen.reset([1, 2]), np.full((2, 1), 0.5, np.float32)
    steps = [frozen.step(action) for _ in range(201)]
    assert all((step.obs == first).all() for step in steps[:199]) and (steps[199].final_obs == first).all()
    assert (steps[199].obs != first).any() and (steps[200].obs == steps[199].obs).all()


def test_spoiled_rollouts():
    from types import SimpleNamespace

    def rollout(**more):
        return SimpleNamespace(terminated=np.array([[True], [False]]), truncated=np.array([[False], [True]]), **more)

    ends = rollout()
    programs.LimitsAsEnds().on_rollout(ends, 0)
    assert ends.terminated.all() and not ends.truncated.any()
    limits = rollout()
    programs.EndsAsLimits().on_rollout(limits, 0)
    assert limits.truncated.all() and not limits.terminated.any()
    unseen = rollout()
    programs.EndsUnseen().on_rollout(unseen, 0)
    assert not unseen.terminated.any() and not unseen.truncated.any()
    shuffled = rollout(rewards=np.arange(100.0).reshape(50, 2))
    programs.ShuffledRewards().on_rollout(shuffled, 0)
    assert sorted(shuffled.rewards[:, 0]) == list(np.arange(0.0, 100.0, 2)) and shuffled.rewards[0, 0] != 0.0
    moved = rollout(obs=np.ones((2, 1, 3)))
    programs.NormalizerMoved(1.5).on_rollout(moved, 0)
    assert (moved.obs == 1.5).all()
    negated = rollout(rewards=np.array([[1.0], [-2.0]]))
    programs.NegatedRewards().on_rollout(negated, 0)
    assert negated.rewards.tolist() == [[-1.0], [2.0]]
    shifted = rollout(obs=np.arange(3.0).reshape(3, 1, 1))
    programs.ObservationsOffByOne().on_rollout(shifted, 0)
    assert shifted.obs.ravel().tolist() == [0.0, 0.0, 1.0]
    swapped = rollout(values=np.array([[1.0, 2.0]]))
    programs.SwappedValues().on_rollout(swapped, 0)
    assert swapped.values.tolist() == [[2.0, 1.0]]
    wrong = rollout(log_probs=np.zeros((100, 2)))
    programs.WrongLogProbs(0.5).on_rollout(wrong, 0)
    assert 0.3 < wrong.log_probs.std() < 0.7


def test_stale_data_are_the_rollout_before():
    from types import SimpleNamespace

    names = [
        "obs",
        "actions",
        "log_probs",
        "values",
        "rewards",
        "terminated",
        "truncated",
        "final_values",
        "last_values",
    ]
    stale = programs.StaleData()
    rollouts = [SimpleNamespace(**{name: np.full(2, float(k)) for name in names}) for k in range(3)]
    for each in rollouts:
        stale.on_rollout(each, 0)
    assert [each.rewards[0] for each in rollouts] == [0.0, 0.0, 1.0]
    assert all((getattr(rollouts[2], name) == 1.0).all() for name in names)


@pytest.mark.parametrize(
    ("name", "n_actions"),
    [("Catch", 3), ("Lander", 4), ("Maze", 4), ("Cards", 2), ("Ice", 4), ("Hover", 4), ("Ferry", 5), ("Farm", 3), ("Servo", 0), ("Swingup", 0), ("Tracker", 0),
     ("Chase", 0), ("Stock", 0)],
)  # fmt: skip
def test_the_small_worlds_end_within_their_limit_and_stay_finite(name, n_actions):
    spec = getattr(small_worlds, name)
    env = NativeVectorEnv(spec, 4)
    env.reset([1, 2, 3, 4])
    rng, lengths = np.random.default_rng(0), []
    for _ in range(2 * spec.max_episode_steps):
        actions = rng.integers(0, n_actions, 4) if n_actions else rng.uniform(-1, 1, (4, *env.action_space.shape))
        step = env.step(actions.astype(np.int64 if n_actions else np.float32))
        assert np.isfinite(step.obs).all() and (np.abs(step.rewards) < 100).all()
        lengths += [episode.length for episode in step.episodes]
    assert len(lengths) >= 8 and max(lengths) <= spec.max_episode_steps


def test_the_rules_of_the_small_worlds():
    rng = np.random.default_rng(0)
    obs = np.zeros(7, np.float32)
    ball = np.array([0.5, 0.05, 0.0, 0.55])  # a step above the paddle, half a step beside it
    assert small_worlds.catch_step(ball, np.array([1.0]), obs, None, rng) == (1.0, True)
    missed = np.array([0.5, 0.05, 0.0, 0.9])
    assert small_worlds.catch_step(missed, np.array([1.0]), obs, None, rng) == (-1.0, True)
    walker = np.array([2.0, 1.0, 3.0, 1.0])  # before a door, the goal in it
    assert small_worlds.maze_step(walker, np.array([3.0]), obs, None, rng) == (1.0, True)
    walled = np.array([2.0, 2.0, 0.0, 0.0])
    assert small_worlds.maze_step(walled, np.array([3.0]), obs, None, rng) == (-0.05, False) and walled[0] == 2.0
    upright = np.array([0.0, 0.0, 0.0, 0.0])
    assert small_worlds.swingup_step(upright, np.array([0.0]), obs, None, rng) == (1.0, False)
    landing = np.array([0.05, -0.5, 0.0])
    reward, over = small_worlds.lander_step(landing, np.array([0.0]), obs, None, rng)
    assert over and reward == pytest.approx(10.0 - 4.0 * 0.66)
