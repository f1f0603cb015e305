"""One contract, whoever steps the environments: the same episodes, number for number."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from envs.worlds import Counting, Spaced, expected
from upswing.envs.contract import Episode, VectorEnv
from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.envs.serial import SerialVectorEnv
from upswing.envs.shared import SharedVectorEnv
from upswing.envs.workers import WorkerVectorEnv

TAGS = [10, 11, 12, 13, 14]


def through_gymnasium(mode):
    return lambda factories: GymnasiumVectorEnv(SyncVectorEnv(factories, autoreset_mode=mode))


WAYS = {
    "serial": SerialVectorEnv,
    "workers": lambda factories: WorkerVectorEnv(factories, 2),
    "shared": lambda factories: SharedVectorEnv(factories, 2),
    "same step": through_gymnasium(AutoresetMode.SAME_STEP),
    "next step": through_gymnasium(AutoresetMode.NEXT_STEP),
    "disabled": through_gymnasium(AutoresetMode.DISABLED),
    "asynchronous": lambda factories: GymnasiumVectorEnv(
        AsyncVectorEnv(factories, context="forkserver", autoreset_mode="SameStep")
    ),
}


def bytes_of(obs):
    return {key: (part.tobytes(), part.dtype, part.shape) for key, part in obs.items()}


@pytest.fixture(params=list(WAYS))
def env(request):
    made = WAYS[request.param]([Counting] * len(TAGS))
    yield made
    made.close()


def test_every_way_meets_the_contract_number_for_number(env):
    assert isinstance(env, VectorEnv) and str(len(TAGS)) in env.description
    rng = np.random.default_rng(0)
    for _ in range(2):  # a second reset begins everything afresh
        obs = env.reset(TAGS)
        assert obs.tolist() == [[tag, 0, 0] for tag in TAGS] and obs.dtype == np.float32
        taken = [[] for _ in TAGS]
        for _ in range(14):
            actions = rng.integers(0, 3, len(TAGS))
            step = env.step(actions)
            told, ended, episodes = [], [], []
            for i, tag in enumerate(TAGS):
                if step.valid is not None and not step.valid[i]:  # NEXT_STEP: the action was ignored
                    assert step.rewards[i] == 0 and not step.terminated[i] and not step.truncated[i]
                    assert step.obs[i].tolist() == expected(tag, taken[i])[-1]["obs"]
                    continue
                taken[i].append(int(actions[i]))
                row = expected(tag, taken[i])[-1]
                told.append((i, row))
                assert step.rewards[i] == row["reward"]
                assert bool(step.terminated[i]) == row["terminated"]
                assert bool(step.truncated[i]) == row["truncated"]
                if row["final"] is None:
                    assert step.obs[i].tolist() == row["obs"]
                else:
                    ended.append(row["final"])
                    episodes.append(Episode(i, float(row["episode"][0]), row["episode"][1]))
                    late = isinstance(env, GymnasiumVectorEnv) and env.mode is AutoresetMode.NEXT_STEP
                    assert step.obs[i].tolist() == (row["final"] if late else row["obs"])
            assert step.episodes == episodes
            assert (None if step.final_obs is None else step.final_obs.tolist()) == (ended or None)
            assert step.rewards.dtype == np.float32 and step.terminated.dtype == step.truncated.dtype == bool


@pytest.mark.parametrize("way", ["serial", "workers", "shared", "same step", "next step", "disabled"])
def test_success_once_and_at_the_end(way):
    env = WAYS[way]([lambda: Counting(success=True)] * 2)
    env.reset([0, 1])  # episodes of 2 and 3 steps; success is told at step 2
    episodes = [episode for _ in range(3) for episode in env.step(np.zeros(2, int)).episodes]
    env.close()
    assert episodes[0][0] == 0 and episodes[0][3:] == (True, True)
    assert episodes[1][0] == 1 and episodes[1][3:] == (True, False)


def test_no_success_where_the_environment_does_not_speak_of_it():
    env = SerialVectorEnv([Counting])
    env.reset([0])
    env.step(np.zeros(1, int))
    assert env.step(np.zeros(1, int)).episodes[0][3:] == (None, None)


@pytest.mark.parametrize("way", [WorkerVectorEnv, SharedVectorEnv])
def test_workers_and_serial_agree_on_every_kind_of_observation_and_action(way):
    space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(0, 255, (5, 4, 3), np.uint8), c=spaces.MultiBinary(2))
    made = [lambda: Spaced(space, spaces.Box(-1, 1, (2, 2), np.float64))] * 3
    ours, theirs = SerialVectorEnv(made), way(made, 2)
    assert bytes_of(ours.reset([1, 2, 3])) == bytes_of(theirs.reset([1, 2, 3]))
    for t in range(6):
        actions = np.full((3, 4), t / 3, np.float32)
        a, b = ours.step(actions), theirs.step(actions)
        assert bytes_of(a.obs) == bytes_of(b.obs)
        assert bytes_of(a.final_obs or {}) == bytes_of(b.final_obs or {})
        assert (a.rewards == b.rewards).all() and (a.truncated == b.truncated).all() and a.episodes == b.episodes
    theirs.close()


def test_half_of_the_workers_can_step_while_the_others_wait():
    env = WorkerVectorEnv([Counting] * 4, 2)
    env.reset(TAGS[:4])
    left, right = slice(0, 1), slice(1, 2)
    assert env.rows_of(left) == slice(0, 2) and env.rows_of(right) == slice(2, 4)
    env.step_async(np.array([0, 1]), left)
    env.step_async(np.array([2, 0]), right)
    assert env.step_wait(right).rewards.tolist() == [3, 1]
    first = env.step_wait(left)
    assert first.rewards.tolist() == [1, 2] and first.obs.tolist() == [[10, 0, 1], [11, 0, 1]]
    env.step_async(np.array([0, 0]), right)
    step = env.step_wait(right)
    assert step.episodes == [Episode(2, 5.0, 2)] and step.final_obs.tolist() == [[12, 0, 2]]
    env.close()


def test_pictures_come_from_the_first_environment_that_makes_them():
    drawn = [lambda: Counting(render_mode="rgb_array"), Counting]
    for env in (
        SerialVectorEnv(drawn),
        WorkerVectorEnv(drawn, 2),
        SharedVectorEnv(drawn),
        GymnasiumVectorEnv(SyncVectorEnv(drawn[:1])),
    ):
        env.reset([3, 4][: env.n_envs])
        env.step(np.zeros(env.n_envs, int))
        picture = env.render()
        assert picture.shape == (4, 6, 3) and picture.dtype == np.uint8 and (picture == 1).all()
        env.close()
    blind = SerialVectorEnv([Counting])
    blind.reset([0])
    assert blind.render() is None
