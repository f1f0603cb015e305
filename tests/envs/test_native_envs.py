"""Compiled environments: Gymnasium's own step for step, the vector contract, and environments of one's own."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.utils.env_checker import check_env

from upswing.envs.contract import VectorEnv
from upswing.envs.native import NATIVE_ENVS, NativeVectorEnv, find, native_env
from upswing.errors import ConfigError, StorageError


def tell(env, state):
    """Put Gymnasium's environment into a compiled one's state."""
    env.unwrapped.state = state.astype(np.float32) if env.unwrapped.spec.id == "MountainCarContinuous-v0" else state
    if hasattr(env.unwrapped, "steps_beyond_terminated"):
        env.unwrapped.steps_beyond_terminated = None


FARTHEST = {
    "Acrobot-v1": [3.1, 3.1, 12.0, 28.0],
    "CartPole-v1": [2.4, 3.0, 0.21, 3.0],
    "MountainCar-v0": [0.6, 0.07],
    "MountainCarContinuous-v0": [0.6, 0.07],
    "Pendulum-v1": [10.0, 8.0],
}
"""The compiled environments that are Gymnasium's own, and how far from the middle their states are tried."""


@pytest.mark.parametrize("env_id", FARTHEST)
def test_each_step_is_gymnasiums(env_id):
    """300 random steps of 6 environments, of which two are put anywhere before each step, so that ends are seen too.

    Observations agree to the last bit of float32 but one, rewards to 1e-6.
    """
    env, theirs = NativeVectorEnv(find(env_id), 6), gym.make(env_id)
    theirs.reset(seed=0)
    env.action_space.seed(0)
    env.reset(list(range(6)))
    rng, ends, farthest = np.random.default_rng(0), 0, np.array(FARTHEST[env_id])
    for _ in range(300):
        env.worlds[0][:2] = (rng.uniform(-1.0, 1.0, (2, len(farthest))) * farthest).astype(np.float32)
        states, obs = env.worlds[0].copy(), None
        actions = np.stack([env.action_space.sample() for _ in range(6)])
        step = env.step(actions)
        ended = step.terminated | step.truncated
        for i in range(6):
            tell(theirs, states[i])
            obs, reward, terminated, _, _ = theirs.unwrapped.step(actions[i])
            mine = step.final_obs[ended[:i].sum()] if ended[i] else step.obs[i]
            np.testing.assert_allclose(mine, obs, rtol=2e-7, atol=1e-12)
            assert step.rewards[i] == pytest.approx(float(reward), rel=1e-6, abs=1e-6)
            assert step.terminated[i] == terminated
        ends += step.terminated.sum()
    assert ends > 20 or env_id == "Pendulum-v1"


@pytest.mark.parametrize("env_id", FARTHEST)
def test_whole_episodes_are_gymnasiums(env_id):
    """The state is only given at the start. After 60 steps rounding in sin and cos has not grown beyond 1e-5."""
    native, theirs = find(env_id)(), gym.make(env_id)
    theirs.reset(seed=3)
    native.reset(seed=3)
    tell(theirs, native.state.copy())
    native.action_space.seed(1)
    for _ in range(60):
        action = native.action_space.sample()
        mine, other = native.step(action), theirs.step(action)
        np.testing.assert_allclose(mine[0], other[0], atol=1e-5)
        assert mine[1] == pytest.approx(float(other[1]), abs=1e-4) and mine[2:4] == other[2:4]
        if mine[2] or mine[3]:
            return


@pytest.mark.parametrize("env_id", FARTHEST)
def test_spaces_and_time_limits_are_gymnasiums(env_id):
    spec, theirs = find(env_id), gym.make(env_id)
    assert spec.observation_space == theirs.observation_space and spec.action_space == theirs.action_space
    assert spec.max_episode_steps == theirs.spec.max_episode_steps


@pytest.mark.parametrize("env_id", FARTHEST)
def test_first_states_are_drawn_as_gymnasiums(env_id):
    """Over 3,000 resets means and spreads of the observations agree within the sampling error."""
    mine = NativeVectorEnv(find(env_id), 3000).reset(list(range(3000)))
    env = gym.make(env_id).unwrapped
    theirs = np.array([env.reset(seed=i)[0] for i in range(1000)])
    spread = theirs.std(axis=0)
    np.testing.assert_array_less(np.abs(mine.mean(axis=0) - theirs.mean(axis=0)), 0.15 * spread + 1e-6)
    np.testing.assert_allclose(mine.std(axis=0), spread, rtol=0.1, atol=1e-6)
    assert len(np.unique(mine[:, 0])) > 2500


@pytest.mark.parametrize(("env_id", "kwargs", "changed"), [
    ("CartPole-v1", {"sutton_barto_reward": True}, "reward"),
    ("Pendulum-v1", {"g": 3.0}, "obs"),
    ("MountainCar-v0", {"goal_velocity": 0.03}, None),
])  # fmt: skip
def test_arguments_reach_the_environment(env_id, kwargs, changed):
    native, theirs = find(env_id, kwargs)(), gym.make(env_id, **kwargs)
    plain = find(env_id)()
    for env in (native, plain):
        env.reset(seed=0)
    theirs.reset(seed=0)
    tell(theirs, native.state.copy())
    action = native.action_space.sample()
    mine, other, without = native.step(action), theirs.step(action), plain.step(action)
    np.testing.assert_allclose(mine[0], other[0], rtol=2e-7)
    assert mine[1] == pytest.approx(float(other[1]))
    assert (mine[1] != without[1]) == (changed == "reward") and (mine[0] != without[0]).any() == (changed == "obs")


def test_the_goal_counts_only_fast_enough():
    env = find("MountainCar-v0", {"goal_velocity": 0.05})()
    env.reset(seed=0)
    env.state[:] = 0.49, 0.04
    assert not env.step(1)[2]
    env.state[:] = 0.49, 0.06
    assert env.step(1)[2]


@pytest.mark.parametrize(("env", "kwargs"), [
    ("CartPole-v1", {"gravity": 3.0}),
    ("CartPole-v1", {"sutton_barto_reward": "yes"}),
    ("LunarLander-v3", {}),
    (CartPoleEnv, {}),
])  # fmt: skip
def test_what_has_no_compiled_form_is_left_to_gymnasium(env, kwargs):
    assert find(env, kwargs) is None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("env_id", NATIVE_ENVS)
def test_gymnasiums_checker_accepts_the_env(env_id):
    check_env(find(env_id)(), skip_render_check=True)


def actions_for(env, rng):
    if isinstance(env.action_space, gym.spaces.Discrete):
        return rng.integers(env.action_space.n, size=env.n_envs)
    return rng.uniform(-3.0, 3.0, (env.n_envs, *env.action_space.shape)).astype(np.float32)


def test_episodes_are_counted_and_reset_in_the_same_step():
    env, rng = NativeVectorEnv(find("CartPole-v1"), 5), np.random.default_rng(0)
    assert isinstance(env, VectorEnv)
    env.reset(list(range(5)))
    returns, n_episodes = np.zeros(5), 0
    for _ in range(300):
        step = env.step(actions_for(env, rng))
        returns += step.rewards
        ended = np.flatnonzero(step.terminated | step.truncated)
        assert [e.env for e in step.episodes] == ended.tolist()
        assert (step.final_obs is None) == (len(ended) == 0)
        for k, episode in enumerate(step.episodes):
            assert episode.ret == returns[episode.env] == episode.length
            assert episode.success_once is None and episode.success_at_end is None
            assert abs(step.final_obs[k][2]) > 0.2 or abs(step.final_obs[k][0]) > 2.3
            assert np.abs(step.obs[episode.env]).max() <= 0.05
        returns[ended] = 0.0
        n_episodes += len(ended)
    assert n_episodes > 20


def test_time_limits_truncate():
    env = NativeVectorEnv(find("Pendulum-v1"), 2)
    env.reset([0, 1])
    for t in range(1, 401):
        step = env.step(np.zeros((2, 1), np.float32))
        assert step.truncated.all() == (t % 200 == 0) and not step.terminated.any()


def test_environments_do_not_depend_on_their_neighbours():
    rng = np.random.default_rng(0)
    many, one = NativeVectorEnv(find("Acrobot-v1"), 4), NativeVectorEnv(find("Acrobot-v1"), 1)
    many.reset([5, 6, 7, 8])
    one.reset([7])
    for _ in range(600):
        actions = rng.integers(3, size=4)
        a, b = many.step(actions), one.step(actions[2:3])
        np.testing.assert_array_equal(a.obs[2], b.obs[0])


@pytest.mark.parametrize("env_id", NATIVE_ENVS)
def test_state_can_be_saved_and_restored(env_id):
    env, other = (NativeVectorEnv(find(env_id), 3) for _ in range(2))
    env.reset([1, 2, 3])
    rng = np.random.default_rng(0)
    for _ in range(30):
        env.step(actions_for(env, rng))
    np.testing.assert_array_equal(other.set_state(env.get_state()), env.obs)
    for _ in range(700):
        actions = actions_for(env, rng)
        a, b = env.step(actions), other.step(actions)
        np.testing.assert_array_equal(a.obs, b.obs)
        assert a.episodes == b.episodes


def test_saved_state_is_a_copy_and_must_fit():
    env = NativeVectorEnv(find("CartPole-v1"), 2)
    env.reset([0, 1])
    state = env.get_state()
    before = {k: v.copy() for k, v in state.items()}
    env.step(np.array([0, 1]))
    assert all(np.array_equal(before[k], state[k]) for k in state)
    with pytest.raises(StorageError, match="2 compiled CartPole-v1"):
        env.set_state(NativeVectorEnv(find("CartPole-v1"), 3).get_state())


def test_pictures():
    picture = NativeVectorEnv(find("CartPole-v1"), 2).render()
    assert picture.shape == (400, 600, 3) and picture.dtype == np.uint8
    assert find("Pendulum-v1")(render_mode="rgb_array").render().std() > 0
    with pytest.raises(ValueError, match="human"):
        own()(render_mode="human")


def own(**changes):
    from own_native_env import FOLLOW

    fields = ("observation_space", "action_space", "n_state", "max_episode_steps", "parameters", "success")
    given = {name: getattr(FOLLOW, name) for name in fields} | changes
    return native_env("Follow-v0", given.pop("step", FOLLOW.step), given.pop("reset", FOLLOW.reset), **given)


def test_ones_own_environment_serves_as_env_and_as_vector():
    from own_native_env import FOLLOW

    assert find(FOLLOW, {"gain": 0.5}).parameter_values.tolist() == [0.5, 0.0]
    env = FOLLOW(gain=0.5)
    obs, _ = env.reset(seed=4)
    again, _ = FOLLOW().reset(seed=4)
    np.testing.assert_array_equal(obs, again)
    after, reward, terminated, truncated, info = env.step(np.array([5.0]))  # clipped to 1
    assert after[0] == pytest.approx(obs[0] + 0.5) and reward == pytest.approx(-abs(after[0]))
    assert not terminated and not truncated and info == {"success": abs(after[0]) < 0.1}
    vector = NativeVectorEnv(FOLLOW, 3)
    vector.reset([4, 5, 6])
    np.testing.assert_array_equal(vector.obs[0], obs)
    for _ in range(25):
        step = vector.step(-np.sign(vector.obs[:, :1]))
    assert step.truncated.all() and all(e.success_once for e in step.episodes)
    assert vector.render().shape == (8, 8, 3)


def test_ones_own_environment_trains():
    from upswing.config import TrainConfig
    from upswing.engine.contract import Hyper
    from upswing.engine.native_engine import NativeEngine
    from upswing.policies import flatten_parameters, make_policy

    vector = NativeVectorEnv(own(), 8)
    config = TrainConfig(n_envs=8, n_steps=64, batch_size=64, gamma=0.9)
    policy = make_policy(config, vector.observation_space, vector.action_space, 0)
    flatten_parameters(policy)
    engine, means = NativeEngine(config, vector, policy, list(range(8)), 0), []
    for _ in range(40):
        rollout = engine.collect()
        engine.update(rollout, Hyper(1e-3, 0.2, None, 0.0, 10, None))
        means.append(rollout.raw_reward_mean)
    assert means[-1] > 0.5 * means[0] and rollout.episodes[0].success_once is True


def no_tuple(state, action, obs, parameters, rng):
    obs[0] = state[0]
    return 1.0


def uncompilable(state, action, obs, parameters, rng):
    return str(state[0]), {"a": 1}


def too_few(state, action, obs):
    return 0.0, False


def integers(state, action, obs, parameters, rng):
    obs[0] = 3
    return 1, 0 > 1


@pytest.mark.parametrize("step", [no_tuple, uncompilable])
def test_a_function_of_another_kind_is_refused_when_compiled(step):
    with pytest.raises(ConfigError, match=r"Follow-v0: step cannot be compiled as step\(state, action") as raised:
        _ = own(step=step).compiled
    assert "\n" not in str(raised.value)


def test_whole_numbers_are_converted():
    spec = own(step=integers, n_state=1, success=None)
    env = NativeVectorEnv(spec, 2)
    env.reset([0, 1])
    assert env.step(np.zeros((2, 1))).rewards.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("changes", "said"), [
    ({"step": too_few}, "takes 3 arguments"),
    ({"success": too_few}, "takes 3 arguments"),
    ({"observation_space": gym.spaces.Discrete(3)}, "not a Box"),
    ({"action_space": gym.spaces.Text(3)}, "none of"),
    ({"action_space": gym.spaces.Discrete(3, start=1)}, "counted from 1"),
    ({"n_state": 0}, "at least 1"),
    ({"max_episode_steps": 0}, "at least 1"),
])  # fmt: skip
def test_impossible_definitions_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        own(**changes)


def test_unknown_parameters_are_refused():
    with pytest.raises(ConfigError, match="gain, noise"):
        own()(speed=3.0)


def fails(state, action, obs, parameters, rng):
    if state[0] < 5.0:
        raise ValueError("the cart has left the rails")
    return 0.0, False


def test_an_exception_in_a_step_reaches_the_caller():
    env = NativeVectorEnv(own(step=fails), 1)
    env.reset([0])
    with pytest.raises(ValueError, match="left the rails"):
        env.step(np.zeros((1, 1)))
