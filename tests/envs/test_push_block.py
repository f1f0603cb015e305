"""PushBlock-v0: its dynamics by hand, its reward, its pictures, and that it can be solved."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import upswing.envs.registry  # noqa: F401  registers the id
from upswing.envs.contract import VectorEnv
from upswing.envs.native import NativeVectorEnv, find
from upswing.envs.native import push_block as world

STAY = np.zeros(2, np.float32)


def placed(*state):
    env = find("PushBlock-v0")()
    env.reset(seed=0)
    env.state[:] = state
    return env


def test_it_is_a_gymnasium_id_and_gymnasiums_checker_accepts_it():
    env = gymnasium.make("PushBlock-v0", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    obs, _ = env.reset(seed=1)
    assert obs.shape == (10,) and env.observation_space.contains(obs)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(50)]
    assert ends[-1] == (False, True) and not any(a or b for a, b in ends[:-1])


def test_first_states_are_as_documented():
    state = NativeVectorEnv(find("PushBlock-v0"), 2000)
    state.reset(list(range(2000)))
    pusher, block, goal = np.split(state.worlds[0], 3, axis=1)
    np.testing.assert_allclose(np.linalg.norm(goal - block, axis=1), world.GOAL_DISTANCE)
    angle = np.arctan2(*(goal - block).T[::-1])
    assert np.abs(angle).max() <= np.pi / 3 and np.abs(angle).max() > 1.0
    assert (pusher[:, 0] < block[:, 0] - world.HALF_BLOCK - world.PUSHER_RADIUS).all()
    assert (np.linalg.norm(goal - block, axis=1) > world.GOAL_RADIUS).all()
    assert isinstance(state, VectorEnv)


def test_a_free_pusher_moves_alone():
    env = placed(-0.8, 0.0, 0.0, 0.0, 0.6, 0.0)
    env.step(np.array([1.0, -0.5], np.float32))
    np.testing.assert_allclose(env.state, [-0.72, -0.04, 0.0, 0.0, 0.6, 0.0])


def test_the_table_has_an_edge():
    env = placed(-0.94, 0.94, 0.0, 0.0, 0.6, 0.0)
    env.step(np.array([-1.0, 1.0], np.float32))
    np.testing.assert_allclose(env.state[:2], [-0.95, 0.95])


def test_pushing_a_face_moves_the_block_straight_on():
    """Pusher at 0.16 from the middle, touching at 0.15: of 0.08 the last 0.07 moves the block."""
    env = placed(-0.16, 0.05, 0.0, 0.0, 0.6, 0.0)
    env.step(np.array([1.0, 0.0], np.float32))
    np.testing.assert_allclose(env.state, [-0.08, 0.05, 0.07, 0.0, 0.6, 0.0], atol=1e-12)


def test_pushing_a_corner_moves_the_block_along_the_contacts_normal():
    """The pusher's middle lies (-0.02, 0.03) off the corner at (-0.1, 0.1), overlapping by 0.05 - 0.0361."""
    env = placed(-0.12, 0.13, 0.0, 0.0, 0.6, 0.0)
    env.step(STAY)
    gap = np.hypot(0.02, 0.03)
    np.testing.assert_allclose(env.state[2:4], [0.02 / gap * (0.05 - gap), -0.03 / gap * (0.05 - gap)])


@pytest.mark.parametrize(("pusher", "block"), [
    ((-0.08, 0.01), (0.07, 0.0)),
    ((0.08, 0.01), (-0.07, 0.0)),
    ((0.01, 0.09), (0.0, -0.06)),
    ((0.01, -0.09), (0.0, 0.06)),
])  # fmt: skip
def test_a_pusher_inside_the_block_moves_it_out_by_the_nearest_side(pusher, block):
    env = placed(*pusher, 0.0, 0.0, 0.6, 0.0)
    env.step(STAY)
    np.testing.assert_allclose(env.state[2:4], block, atol=1e-12)


def test_they_never_overlap_and_rewards_stay_within_bounds():
    env, rng = NativeVectorEnv(find("PushBlock-v0"), 64), np.random.default_rng(0)
    env.reset(list(range(64)))
    touched = 0
    for _ in range(49):
        towards = env.worlds[0][:, 2:4] - env.worlds[0][:, :2] + rng.normal(0.0, 0.05, (64, 2))
        before = env.worlds[0][:, 2:4].copy()
        step = env.step((towards / np.abs(towards).max(1, keepdims=True)).astype(np.float32))
        assert (step.rewards > 0).all() and (step.rewards <= 1).all() and not step.terminated.any()
        away = np.maximum(np.abs(env.worlds[0][:, 2:4] - env.worlds[0][:, :2]) - world.HALF_BLOCK, 0.0)
        assert (np.linalg.norm(away, axis=1) >= world.PUSHER_RADIUS - 1e-9).all()
        touched += int((env.worlds[0][:, 2:4] != before).any(1).sum())
    assert touched > 500


def test_the_reward_has_three_stages():
    far = placed(-0.7, 0.0, 0.0, 0.0, 0.6, 0.0)  # 0.55 from its place at -0.15
    assert far.step(STAY)[1] == pytest.approx((1 - np.tanh(1.5 * 0.55)) / 3)
    behind = placed(-0.15, 0.0, 0.0, 0.0, 0.6, 0.0)
    assert behind.step(STAY)[1] == pytest.approx((1 + 1 - np.tanh(1.5 * 0.6)) / 3)
    there = placed(-0.7, 0.0, 0.46, 0.0, 0.6, 0.0)
    assert there.step(STAY)[1] == 1.0 and there.step(STAY)[4] == {"success": True}
    assert placed(-0.7, 0.0, 0.44, 0.0, 0.6, 0.0).step(STAY)[4] == {"success": False}


def test_the_observation_is_as_documented():
    obs = placed(-0.8, 0.1, -0.1, 0.0, 0.5, 0.2).step(STAY)[0]
    np.testing.assert_allclose(obs, [-0.8, 0.1, -0.1, 0.0, 0.5, 0.2, 0.7, -0.1, 0.6, 0.2], atol=1e-6)


def test_its_picture_shows_all_three():
    picture = world.picture(np.array([-0.5, 0.0, 0.0, 0.0, 0.5, 0.5]))
    assert picture.shape == (400, 400, 3) and picture.dtype == np.uint8
    at = lambda x, y: picture[round((1 - y) * 200), round((x + 1) * 200)].tolist()  # noqa: E731
    assert at(-0.5, 0.0) == [59, 130, 246] and at(0.0, 0.0) == [251, 146, 60] and at(0.5, 0.5) == [187, 247, 208]
    solved = world.picture(np.array([-0.5, 0.0, 0.45, 0.5, 0.5, 0.5]))
    assert solved[100, 290].tolist() == [220, 38, 38]


def test_a_window_can_be_had_where_there_are_pictures():
    env = find("PushBlock-v0")(render_mode="human")
    assert env.unwrapped.render_mode == "rgb_array" and type(env).__name__ == "HumanRendering"


@pytest.mark.timeout(120)
def test_its_preset_solves_it(tmp_path):
    from upswing import evaluate_run, preset, train

    result = train(preset("PushBlock-v0", out_dir=str(tmp_path), eval_freq=0, checkpoint_freq=0))
    score = evaluate_run(result.run_dir, which="latest", n_episodes=200)
    assert score.success_once >= 0.95 and score.success_at_end >= 0.9
