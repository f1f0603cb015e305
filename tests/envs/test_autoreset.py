"""Gymnasium's ways to reset, in all the shapes that real vector environments give them."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from envs.worlds import Counting, Faulty
from upswing.config import TrainConfig
from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.envs.make import make_vector_env
from upswing.errors import ConfigError, EnvironmentFault


class Scripted(gymnasium.vector.VectorEnv):
    """Two environments that return the given (obs, rewards, terminated, truncated, info), one after the other."""

    def __init__(self, mode, told, space=None):
        self.metadata = {"autoreset_mode": mode} if mode else {}
        self.num_envs, self.told = 2, list(told)
        self.single_observation_space = space or spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.seeds = []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions):
        return self.told.pop(0)


def rows(*values):
    return np.array(values, np.float32)[:, None]


def flags(*values):
    return np.array(values, bool)


NO = flags(0, 0)


def test_the_reset_row_of_next_step_is_poison_and_harms_nothing():
    poisoned = [
        (rows(1, 1), np.array([1.0, 1.0]), flags(1, 0), NO, {"success": flags(1, 0)}),
        (rows(0, 2), np.array([np.nan, 1.0]), flags(1, 0), flags(1, 0), {"success": flags(0, 0)}),
        (rows(1, 3), np.array([1.0, 1.0]), NO, flags(1, 1), {"success": flags(0, 1)}),
    ]
    env = GymnasiumVectorEnv(Scripted(AutoresetMode.NEXT_STEP, poisoned))
    env.reset([1, 2])
    first, reset_row, last = (env.step(np.zeros(2, int)) for _ in range(3))
    assert first.valid is None and first.final_obs.tolist() == [[1.0]] and first.obs[0] == 1.0
    assert first.episodes == [(0, 1.0, 1, True, True)]
    assert reset_row.valid.tolist() == [False, True]
    assert reset_row.rewards.tolist() == [0.0, 1.0] and reset_row.obs[0] == 0.0
    assert not reset_row.terminated[0] and not reset_row.truncated[0]
    assert reset_row.final_obs is None and reset_row.episodes == []
    assert last.valid is None  # the poison has left nothing in the statistics
    assert last.episodes == [(0, 1.0, 1, False, False), (1, 3.0, 3, True, True)]


def test_a_reset_of_everything_forgets_rows_that_were_due():
    told = [(rows(1, 1), np.ones(2), flags(1, 1), NO, {}), (rows(1, 1), np.ones(2), NO, NO, {})]
    env = GymnasiumVectorEnv(Scripted(AutoresetMode.NEXT_STEP, told))
    env.reset([1, 2])
    env.step(np.zeros(2, int))
    env.reset([1, 2])
    assert env.step(np.zeros(2, int)).valid is None


def finals():
    array = np.empty(2, object)
    array[1] = np.array([7.0], np.float32)
    alias = np.array([[0.0], [7.0]], np.float32)
    return {
        "an array of objects": {"final_obs": array, "_final_obs": flags(0, 1)},
        "the old name": {"final_observation": array, "_final_observation": flags(0, 1)},
        "a list": {"final_obs": [None, np.array([7.0], np.float32)]},
        "a batch": {"final_obs": alias},
        "a tensor": {"final_obs": pytest.importorskip("torch").from_numpy(alias)},
    }


@pytest.mark.parametrize("shape", list(finals()))
def test_same_step_final_observations_in_every_shape(shape):
    info = finals()[shape] | {"final_info": {"success": flags(0, 1), "_success": flags(0, 1)}, "success": flags(1, 0)}
    env = GymnasiumVectorEnv(Scripted("SameStep", [(rows(5, 0), np.array([1.0, 2.0]), NO, flags(0, 1), info)]))
    env.reset()
    step = env.step(np.zeros(2, int))
    assert step.final_obs.tolist() == [[7.0]] and step.obs.tolist() == [[5.0], [0.0]] and step.valid is None
    assert step.episodes == [(1, 2.0, 1, True, True)]
    for key in ("final_obs", "final_observation"):  # the environment goes on writing into what its info showed
        if key in info and hasattr(info[key], "shape") and info[key].ndim == 2:
            info[key][:] = -1
    assert step.final_obs.tolist() == [[7.0]]


@pytest.mark.parametrize("batched", [True, False])
def test_same_step_final_observations_of_dict_spaces(batched):
    def build(index):
        return {"a": rows(0, 3), "b": np.array([0, 1])} if batched else [None, {"a": np.array([3.0]), "b": 1}]

    space = spaces.Dict(a=spaces.Box(-9, 9, (1,)), b=spaces.Discrete(2))
    obs = {"a": rows(0, 0), "b": np.array([0, 0])}
    told = [(obs, np.ones(2), flags(0, 1), NO, {"final_obs": build(1)})]
    env = Scripted(AutoresetMode.SAME_STEP, told, space)
    env.reset = lambda **kwargs: (obs, {})
    env = GymnasiumVectorEnv(env)
    env.reset()
    final = env.step(np.zeros(2, int)).final_obs
    assert final["a"].tolist() == [[3.0]] and final["b"].tolist() == [[0.0, 1.0]]


def test_same_step_without_final_observations_is_an_error():
    env = GymnasiumVectorEnv(Scripted("SameStep", [(rows(0, 0), np.ones(2), flags(0, 1), NO, {})]))
    env.reset()
    with pytest.raises(EnvironmentFault, match=r"Environment 1 ended .*final_obs"):
        env.step(np.zeros(2, int))


def test_an_environment_that_does_not_say_how_it_resets_is_refused_unless_told():
    with pytest.raises(ConfigError, match="autoreset_mode"):
        GymnasiumVectorEnv(Scripted(None, []))
    assert GymnasiumVectorEnv(Scripted(None, []), autoreset_mode="NextStep").mode is AutoresetMode.NEXT_STEP


@pytest.mark.parametrize(
    ("obs", "rewards"), [(rows(0, np.nan), np.ones(2)), (rows(0, 0), np.array([1.0, np.inf]))], ids=["obs", "reward"]
)
def test_numbers_that_are_not_finite_name_their_environment_and_step(obs, rewards):
    env = GymnasiumVectorEnv(Scripted(AutoresetMode.NEXT_STEP, [(obs, rewards, NO, NO, {})]))
    env.reset()
    with pytest.raises(EnvironmentFault, match="Environment 1 returned a NaN or infinite number in step 1"):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_an_end_that_is_not_finite_is_fine_when_terminated_and_an_error_when_truncated(mode):
    def env(terminated, truncated):
        info = {"final_obs": rows(np.nan, 0)}
        obs = rows(np.nan, 1) if mode == "NextStep" else rows(0, 1)
        made = GymnasiumVectorEnv(Scripted(mode, [(obs, np.ones(2), terminated, truncated, info)]))
        made.reset()
        return made

    step = env(flags(1, 0), NO).step(np.zeros(2, int))
    assert step.final_obs.tolist() == [[0.0]] and np.isfinite(step.obs).all()
    with pytest.raises(EnvironmentFault, match="Environment 0"):
        env(NO, flags(1, 0)).step(np.zeros(2, int))


def test_a_wrong_shape_is_refused():
    env = GymnasiumVectorEnv(Scripted("NextStep", [(np.zeros((2, 3)), np.ones(2), NO, NO, {})]))
    env.reset()
    with pytest.raises(EnvironmentFault, match=r"shape \(2, 3\), where its space says \(2, 1\)"):
        env.step(np.zeros(2, int))


def test_seeds_go_to_each_environment_where_it_can_be_and_the_first_otherwise():
    scripted = Scripted("NextStep", [])
    GymnasiumVectorEnv(scripted).reset([5, 6])
    assert scripted.seeds[-1] == 5
    assert GymnasiumVectorEnv(SyncVectorEnv([Counting] * 2)).reset([5, 6])[:, 0].tolist() == [5, 6]


@pytest.mark.filterwarnings("ignore:.*ERROR.*:UserWarning")  # so Gymnasium logs what its workers raise
def test_a_failing_worker_of_gymnasium_ends_in_a_sentence():
    faults = {"step kill": "died", "step hang": "did not answer for 1 s", "step raise": "the pole is gone"}
    for fault, said in faults.items():
        made = AsyncVectorEnv([lambda fault=fault: Faulty(fault)] * 2, context="forkserver")
        env = GymnasiumVectorEnv(made, step_timeout_s=1.0)
        env.reset([1, 2])
        env.step(np.zeros(2, int))
        with pytest.raises(EnvironmentFault, match=said):
            env.step(np.zeros(2, int))
        env.close()
        assert not any(process.is_alive() for process in made.processes)


def test_gymnasium_makes_the_vector_environment_that_an_id_registers():
    env = make_vector_env(TrainConfig(env="CartPole-v1", vectorization="gymnasium"), 3, [1, 2, 3])
    assert env.description == "3 environments in CartPoleVectorEnv" and env.mode is AutoresetMode.NEXT_STEP
    steps = [env.step(np.ones(3, int)) for _ in range(30)]
    lost = [(t, i) for t, step in enumerate(steps) if step.valid is not None for i in np.flatnonzero(~step.valid)]
    ended = [(t, i) for t, step in enumerate(steps) for i in np.flatnonzero(step.terminated | step.truncated)]
    assert ended and lost == [(t + 1, i) for t, i in ended if t + 1 < len(steps)]
    assert sorted(e.env for step in steps for e in step.episodes) == sorted(i for _, i in ended)
    env.close()
    plain = make_vector_env(TrainConfig(env=Counting, vectorization="gymnasium"), 2, [1, 2])
    assert plain.description == "2 environments in SyncVectorEnv"
