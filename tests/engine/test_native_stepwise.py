"""Collecting step by step: environments in this process and in workers, at once and in halves, give the same rollouts."""

import functools

import numpy as np
import pytest

from engine.test_native_rollout import HYPER, assert_same, copied, engine_for
from envs.worlds import Counting, Faulty
from scripted import script
from upswing.engine.native.race import Race
from upswing.engine.native_engine import ALTERNATING, STRETCH, TOGETHER
from upswing.envs.serial import SerialVectorEnv
from upswing.envs.workers import WorkerVectorEnv


def forced(engine, way):
    """`engine` with the race decided."""
    engine.race.left, engine.race.best[way] = 0, 0.0
    return engine


def test_at_once_in_halves_and_in_this_process_are_the_same_to_the_bit():
    factories = [functools.partial(Counting, success=True)] * 8
    engines = [engine_for(SerialVectorEnv(factories), n_steps=40)]
    engines += [forced(engine_for(WorkerVectorEnv(factories, 2), n_steps=40), way) for way in (TOGETHER, ALTERNATING)]
    racing = engine_for(WorkerVectorEnv(factories, 2), n_steps=40)
    assert [lane.where for lane in racing.lanes] == [slice(0, 4), slice(4, 8)]
    served = []
    racing._alternate = lambda *part, alternate=racing._alternate: (served.append(part[:2]), alternate(*part))
    for _ in range(3):
        rollouts = [engine.collect() for engine in (*engines, racing)]
        alone = copied(rollouts[0])
        assert len(alone["episodes"]) > 40 and alone["truncated"].any() and alone["terminated"].any()
        for rollout in rollouts[1:]:
            assert_same(alone, copied(rollout))
        for engine, rollout in zip((*engines, racing), rollouts, strict=True):
            engine.update(rollout, HYPER)
    assert served[:2] == [(STRETCH, 2 * STRETCH), (0, STRETCH)]  # the race goes on from rollout to rollout
    assert {engine.num_timesteps for engine in (*engines, racing)} == {960}
    for engine in (*engines, racing):
        engine.close()


@pytest.mark.parametrize(("n_envs", "n_workers"), [(5, 2), (3, 3), (2, 2)])
def test_halves_whose_products_are_rounded_otherwise_are_not_served_in_turns(n_envs, n_workers):
    """Whichever numbers of rows those are on this processor."""
    alone = engine_for(SerialVectorEnv([Counting] * n_envs), batch_size=n_envs)
    engine = engine_for(WorkerVectorEnv([Counting] * n_envs, n_workers), batch_size=n_envs)
    assert_same(copied(alone.collect()), copied(engine.collect()))
    if engine.lanes:
        assert_same(copied(alone.collect()), copied(forced(engine, ALTERNATING).collect()))
    engine.close()


def test_the_race_ends_with_a_sentence_and_the_faster_way():
    engine = engine_for(WorkerVectorEnv([Counting] * 8, 2), n_steps=12 * STRETCH)
    engine.collect()
    assert engine.race.left == 0 and np.isfinite(engine.race.best).all()
    assert len(engine.env.notices) == 1 and "ms in halves and" in engine.env.notices[0]
    engine.race.best[TOGETHER], engine.race.best[ALTERNATING] = 2.0, 1.0
    assert engine.race.way == ALTERNATING
    engine.close()


def test_the_fastest_way_is_taken_and_each_is_tried_as_often():
    race, times, taken = Race(2, tries=3), iter([5, 1, 1, 4, 5, 4]), []
    while race.left:
        taken.append(race.way)
        decided = race.note(next(times))
    assert sorted(taken) == [0, 0, 0, 1, 1, 1] and decided
    assert min(race.best) == 1 and race.way == race.best.index(1)
    assert Race(1).way == 0 and Race(1).left == 0


@pytest.mark.parametrize("fault", ["step kill", "step raise", "step obs"])
def test_a_failure_in_one_half_leaves_the_other_alone(fault, tmp_path):
    factories = [functools.partial(Faulty, fault, at=7, marker=str(tmp_path / "marker"), tag=1)] * 8
    engine = forced(engine_for(WorkerVectorEnv(factories, 2), n_steps=30), ALTERNATING)
    rollout = engine.collect()
    lost = [[6, 1]] if fault == "step obs" else [[6, i] for i in range(4)]
    assert np.argwhere(~rollout.valid).tolist() == lost and rollout.truncated[~rollout.valid].all()
    assert (rollout.rewards[~rollout.valid] == 0).all() and np.isfinite(rollout.final_values).all()
    assert rollout.raw_reward_mean == 1.0
    np.testing.assert_array_equal(rollout.obs[1:, 4:, 2], np.arange(1, 30)[:, None].repeat(4, 1))
    assert len(engine.env.notices) == 1
    engine.update(rollout, HYPER)
    engine.close()


@pytest.mark.parametrize("settings", [{"normalize_obs": True}, {"normalize_reward": True}])
def test_what_is_scaled_by_statistics_of_all_is_not_stepped_in_halves(settings):
    alone = engine_for(SerialVectorEnv([Counting] * 4), **settings)
    engine = engine_for(WorkerVectorEnv([Counting] * 4, 2), **settings)
    assert engine.lanes == ()
    assert_same(copied(alone.collect()), copied(engine.collect()))
    engine.close()


def test_answers_of_any_memory_order_and_dtype_are_read_and_those_reused_are_read_again():
    plain = engine_for(script(64, 3))
    env = script(64, 3)
    env.steps = [
        s._replace(obs=np.asfortranarray(s.obs.astype(np.float64)), rewards=s.rewards.astype(np.float64))
        for s in env.steps
    ]
    assert_same(copied(plain.collect()), copied(engine_for(env).collect()))
    env = script(64, 3)
    obs, rewards, terminated, truncated = (array.copy() for array in env.steps[0][:4])
    step, answers = env.step, (obs, rewards, terminated, truncated)

    def reused(actions):
        given = step(actions)
        for mine, theirs in zip(answers, given, strict=False):
            mine[...] = theirs
        return given._replace(obs=obs, rewards=rewards, terminated=terminated, truncated=truncated)

    env.step = reused
    engine = engine_for(env)
    assert_same(copied(engine_for(script(64, 3)).collect()), copied(engine.collect()))
    assert engine.lane.answered_by[0] is obs
