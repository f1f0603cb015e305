"""Valid-action masks, in the three ways that environments tell them."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from envs.worlds import Counting, Masked
from upswing.config import TrainConfig
from upswing.envs.contract import ACTION_MASK
from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.envs.make import make_vector_env, random_actions
from upswing.envs.serial import SerialVectorEnv
from upswing.envs.workers import WorkerVectorEnv
from upswing.errors import ConfigError, EnvironmentFault

WAYS = {
    "serial": SerialVectorEnv,
    "workers": lambda factories: WorkerVectorEnv(factories, 1),
    "same step": lambda factories: GymnasiumVectorEnv(SyncVectorEnv(factories, autoreset_mode="SameStep")),
    "next step": lambda factories: GymnasiumVectorEnv(SyncVectorEnv(factories, autoreset_mode="NextStep")),
    "disabled": lambda factories: GymnasiumVectorEnv(SyncVectorEnv(factories, autoreset_mode="Disabled")),
}

HOWS = ("method", "info", "entry")

# A worker runs the same code as serial: one case shows that masks arrive.
CASES = [(way, how, multi) for way in [*list(WAYS)[2:], "serial"] for how in HOWS for multi in (False, True)]


@pytest.mark.parametrize(("way", "how", "multi"), [*CASES, ("workers", "info", True)])
def test_masks_join_the_observation_and_fit_the_state_they_are_for(way, how, multi):
    env = WAYS[way]([lambda: Masked(how, multi)] * 3)
    n = 5 if multi else 3
    assert env.observation_space[ACTION_MASK].shape == (n,) and env.observation_space[ACTION_MASK].dtype == bool
    name = "seen" if how == "entry" else "obs"
    assert set(env.observation_space.spaces) == {name, ACTION_MASK}
    obs = env.reset([10, 11, 12])
    rng = np.random.default_rng(0)
    ended = np.zeros(3, bool)
    for _ in range(9):
        mask = obs[ACTION_MASK]
        assert mask.dtype == bool and mask.shape == (3, n)
        for row in range(3):
            if not (ended[row] and way == "next step"):  # whose observation there is the last episode's
                t = int(obs[name][row, 2])
                assert np.flatnonzero(mask[row, :3]).tolist() == [t % 3] and mask[row, 3:].all()
        step = env.step(random_actions(env.action_space, obs, 3, rng))  # a forbidden one would be an error
        ended = step.terminated | step.truncated
        if ended.any():
            assert step.final_obs[ACTION_MASK].all() or way in ("next step", "disabled") or how == "entry"
            assert set(step.final_obs) == set(obs)
        obs = step.obs
    env.close()


def test_masks_can_be_declined():
    for how, space in (("method", spaces.Box), ("info", spaces.Box), ("entry", spaces.Dict)):
        for env in (
            SerialVectorEnv([lambda how=how: Masked(how)], action_masks=False),
            GymnasiumVectorEnv(SyncVectorEnv([lambda how=how: Masked(how)]), action_masks=False),
        ):
            assert isinstance(env.observation_space, space)
            obs = env.reset([1])
            assert ACTION_MASK not in obs
    config = TrainConfig(env=Masked, env_kwargs={"how": "info"}, action_masks=False)
    assert isinstance(make_vector_env(config, 1).observation_space, spaces.Box)


def test_environments_without_masks_stay_as_they_are():
    assert isinstance(SerialVectorEnv([Counting]).observation_space, spaces.Box)


def test_gymnasium_s_taxi_tells_masks_in_its_info():
    env = make_vector_env(TrainConfig(env="Taxi-v4"), 2, [1, 2])
    assert env.observation_space[ACTION_MASK].shape == (6,) and env.observation_space["obs"].shape == (500,)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros(3), "leaves no valid action"),
        (np.ones(4), "has 4 entries, but the actions are 3 choices in all"),
        (None, "has 1 entries"),
    ],
)
@pytest.mark.parametrize("how", ["method", "info"])
def test_a_mask_that_allows_nothing_or_does_not_fit_names_its_environment(how, mask, said):
    class Wrong(Masked):
        def mask(self):
            return mask if self.t == 1 and self.tag == 11 else super().mask()

    env = SerialVectorEnv([lambda: Wrong(how)] * 2)
    env.reset([10, 11])
    with pytest.raises(EnvironmentFault, match=f"Environment 1 broke its contract in step: the action mask {said}"):
        env.step(np.zeros(2, int))


def test_one_head_without_a_valid_choice_is_enough_to_be_wrong():
    class Wrong(Masked):
        def mask(self):
            return np.array([1, 1, 1, 0, 0])

    with pytest.raises(EnvironmentFault, match="leaves no valid action"):
        SerialVectorEnv([lambda: Wrong("method", multi=True)]).reset([0])


def test_heads_may_be_told_one_by_one():
    class Listed(Masked):
        def mask(self):
            return [np.array([0, 1, 0]), np.array([1, 0])]

    env = SerialVectorEnv([lambda: Listed("method", multi=True)])
    assert env.reset([0])[ACTION_MASK].tolist() == [[False, True, False, True, False]]


def test_an_info_that_falls_silent_is_an_error():
    class Silent(Masked):
        def info(self):
            return {} if self.t else super().info()

    env = SerialVectorEnv([lambda: Silent("info")])
    env.reset([0])
    with pytest.raises(EnvironmentFault, match="its info holds no 'action_mask' any more"):
        env.step(np.zeros(1, int))


def test_an_entry_of_the_wrong_size_is_refused_when_the_environment_is_made():
    class Wrong(Masked):
        def __init__(self):
            super().__init__("entry")
            self.action_space = spaces.Discrete(4)

    with pytest.raises(ConfigError, match="has 3 entries, but the actions are 4 choices"):
        SerialVectorEnv([Wrong])
