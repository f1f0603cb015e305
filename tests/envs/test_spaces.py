"""Encoding of observations, and of actions on their way to the environment."""

import numpy as np
import pytest
from gymnasium import spaces

from envs.worlds import Spaced
from upswing.envs.serial import SerialVectorEnv
from upswing.envs.spaces import clip_to_space, encode, encode_action_space, encode_space, has_images
from upswing.errors import ConfigError

IMAGE = spaces.Box(0, 255, (8, 6, 3), np.uint8)


def test_discrete_observations_become_one_hot():
    space = spaces.Discrete(4, start=2)
    assert encode_space(space) == spaces.Box(0, 1, (4,))
    assert encode(space, 3).tolist() == [0, 1, 0, 0]
    assert encode(space, np.array([2, 5])).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert encode(space, 3).dtype == np.float32


@pytest.mark.parametrize("value", [1, 6, -1])
def test_a_choice_outside_its_space_is_refused(value):
    with pytest.raises(ValueError):
        encode(spaces.Discrete(4, start=2), value)


def test_multidiscrete_observations_become_one_hots_side_by_side():
    space = spaces.MultiDiscrete([2, 3], start=[0, 1])
    assert encode_space(space).shape == (5,)
    assert encode(space, np.array([1, 1])).tolist() == [0, 1, 1, 0, 0]
    assert encode(space, np.array([[0, 3], [1, 2]])).tolist() == [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0]]
    square = spaces.MultiDiscrete(np.array([[2, 2], [2, 2]]))
    assert encode(square, np.array([[0, 1], [1, 0]])).tolist() == [1, 0, 0, 1, 0, 1, 1, 0]
    assert encode(square, np.zeros((5, 2, 2), int)).shape == (5, 8)


def test_multibinary_and_boxes():
    assert encode(spaces.MultiBinary((2, 2)), np.array([[1, 0], [0, 1]])).tolist() == [1, 0, 0, 1]
    assert encode(spaces.MultiBinary(3), np.ones((7, 3), np.int8)).dtype == np.float32
    wide = spaces.Box(np.array([-1e300, 0.0]), np.array([1e300, np.inf]), dtype=np.float64)
    encoded = encode_space(wide)
    assert encoded.dtype == np.float32
    assert encoded.low[0] == np.finfo(np.float32).min and np.isposinf(encoded.high[1])
    assert encode(wide, np.array([0.1, 2.0])).dtype == np.float32
    assert encode_space(spaces.Box(0, 255, (128,), np.uint8)).dtype == np.float32


def test_images_stay_bytes_and_are_not_copied():
    picture = np.ones((2, 8, 6, 3), np.uint8)
    assert encode_space(IMAGE) is IMAGE
    assert np.shares_memory(encode(IMAGE, picture), picture)
    assert has_images(IMAGE) and has_images(spaces.Dict(a=IMAGE)) and not has_images(spaces.Box(0, 255, (8, 6, 3)))


def test_dicts_become_flat_dicts_of_boxes():
    space = spaces.Dict(a=spaces.Discrete(2), b=spaces.Dict(c=spaces.Box(-1, 1, (2,)), d=IMAGE))
    encoded = encode_space(space)
    assert set(encoded.spaces) == {"a", "b.c", "b.d"}
    assert encoded["b.d"] is IMAGE
    obs = encode(space, space.sample())
    assert encoded.contains(obs)


@pytest.mark.parametrize(
    "space",
    [spaces.Tuple([spaces.Discrete(2)]), spaces.Text(3), spaces.Graph(spaces.Discrete(2), None), spaces.Dict()],
)
def test_spaces_that_cannot_become_arrays_are_refused(space):
    with pytest.raises(ConfigError, match="the environment's observation"):
        encode_space(space)


def test_action_spaces_are_flat_and_count_from_zero():
    assert encode_action_space(spaces.Discrete(3, start=5)) == spaces.Discrete(3)
    assert encode_action_space(spaces.MultiDiscrete([[2, 3]])) == spaces.MultiDiscrete([2, 3])
    assert encode_action_space(spaces.MultiBinary((2, 3))) == spaces.MultiBinary(6)
    box = encode_action_space(spaces.Box(-2, np.inf, (2, 3), np.float64))
    assert box.shape == (6,) and box.dtype == np.float32 and np.isposinf(box.high).all()


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Box(0, 5, (2,), np.int32), spaces.Dict(a=spaces.Discrete(2))])
def test_action_spaces_nobody_can_act_in_are_refused(space):
    with pytest.raises(ConfigError, match="action space"):
        encode_action_space(space)


def test_box_actions_are_clipped_in_a_copy_and_choices_shifted():
    space = spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 2.0]), dtype=np.float64)
    given = np.array([[-3.0, 1.0], [0.5, 9.0]], np.float32)
    clipped = clip_to_space(given, space)
    assert clipped.tolist() == [[-1.0, 1.0], [0.5, 2.0]]
    assert clipped.dtype == np.float64 and given[0, 0] == -3.0
    assert clip_to_space(np.array([0, 2]), spaces.Discrete(3, start=-1)).tolist() == [-1, 1]
    assert clip_to_space(np.array([[1, 0]]), spaces.MultiDiscrete([2, 2], start=[10, 20])).tolist() == [[11, 20]]
    assert clip_to_space(np.ones((4, 6)), spaces.Box(-1, 1, (2, 3))).shape == (4, 2, 3)


OBSERVATIONS = [
    spaces.Discrete(5, start=1),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary((2, 2)),
    spaces.Box(-1, 1, (2, 3), np.float64),
    IMAGE,
    spaces.Dict(a=spaces.Discrete(3), b=IMAGE, c=spaces.Dict(d=spaces.Box(-5, 5, (), np.float32))),
]
ACTIONS = [
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([[2, 3]], start=[[1, 1]]),
    spaces.MultiBinary((2, 2)),
    spaces.Box(-0.5, 0.5, (2, 2), np.float64),
    spaces.Box(-0.5, 0.5, (), np.float32),
]


@pytest.mark.parametrize("observation", OBSERVATIONS, ids=str)
@pytest.mark.parametrize("action", ACTIONS, ids=str)
def test_every_pair_of_spaces_steps_in_an_environment(observation, action):
    env = SerialVectorEnv([lambda: Spaced(observation, action)] * 2)
    obs = env.reset([1, 2])
    rng = np.random.default_rng(0)
    shape = (2, *env.action_space.shape)
    for t in range(1, 9):
        actions = np.zeros(shape) if action is not ACTIONS[3] else rng.normal(size=shape) * 3
        step = env.step(actions)
        assert (step.final_obs is not None) == (t % 4 == 0)
        for given in (obs, step.obs, *([step.final_obs] if t % 4 == 0 else [])):
            for key, part in given.items() if isinstance(given, dict) else [(None, given)]:
                box = env.observation_space[key] if key else env.observation_space
                assert part.dtype == box.dtype and all(box.contains(np.asarray(row)) for row in part)


def test_observations_are_those_of_the_environment():
    space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-5, 5, (2,), np.float64))
    env = SerialVectorEnv([lambda: Spaced(space, spaces.Discrete(2))])
    obs = env.reset([7])
    space.seed(7)
    sample = space.sample()
    assert obs["a"][0].tolist() == encode(space["a"], sample["a"]).tolist()
    assert obs["b"][0].tolist() == sample["b"].astype(np.float32).tolist()
