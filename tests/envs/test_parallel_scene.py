"""Environments that live on a device: a world of tensors in place of the GPU's, which computes the same on the CPU."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from gymnasium import spaces

from upswing import TrainConfig, train
from upswing.config import check
from upswing.engine.device_normalizer import DeviceNormalizer
from upswing.engine.make import make_engine
from upswing.engine.normalizer import Normalizer
from upswing.envs.contract import Step
from upswing.envs.episodes import UNKNOWN, finished
from upswing.envs.maniskill.parallel import ParallelScene
from upswing.errors import EnvironmentFault
from upswing.evaluation import evaluate
from upswing.seeds import spawn_seeds


class World:
    """N points on a line, as ManiSkill has its worlds: tensors that alias its state, no automatic resets.

    Success is to be beyond 1; each step's action moves a point by its first component.
    """

    single_observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    single_action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    render_mode = None

    def __init__(self, n=3, device="cpu"):
        self.num_envs, self.device = n, device
        self.state = torch.zeros(n, 2)
        self.success = torch.zeros(n, dtype=torch.bool)
        self.resets, self.closed = [], False

    def reset(self, seed=None, options=None):
        rows = (options or {}).get("env_idx", torch.arange(self.num_envs))
        self.resets.append((seed, rows.tolist()))
        self.state[rows] = 0.0
        self.success[rows] = False
        return self.state, {}

    def step(self, action):
        assert isinstance(action, torch.Tensor) and action.dtype is torch.float32
        self.state[:, 0] += action[:, 0]
        self.state[:, 1] += 1.0
        self.success[:] = self.state[:, 0] > 1.0
        return self.state, self.state[:, 0], self.success, torch.zeros_like(self.success), {"success": self.success}

    def close(self):
        self.closed = True


def scene(n=3, limit=4, partial_reset=True):
    env = ParallelScene(World(n), limit, partial_reset)
    env.reset(list(range(n)))
    return env


def test_a_partial_reset_leaves_the_others_alone():
    env = scene()
    right = torch.tensor([[5.0, 0.0], [0.25, 0.0], [-1.0, 0.0]])  # beyond the bounds: clipped to 1
    first = env.step(right)
    assert first.final_obs is None and first.episodes == [] and first.valid is None
    second = env.step(right)
    assert second.terminated.tolist() == [True, False, False] and not second.truncated.any()
    assert second.final_obs.tolist() == [[2.0, 2.0]]
    assert second.obs.tolist() == [[0.0, 0.0], [0.5, 2.0], [-2.0, 2.0]]
    (episode,) = second.episodes
    assert episode == (0, 3.0, 2, True, True)
    assert env.world.resets[-1] == (None, [0])
    env.step(right)
    fourth = env.step(right)
    assert fourth.truncated.tolist() == [False, True, True] and fourth.terminated.tolist() == [True, False, False]
    assert [(e.env, e.length, e.success_once) for e in fourth.episodes] == [(0, 2, True), (1, 4, False), (2, 4, False)]


def test_without_partial_resets_only_the_clock_ends_an_episode():
    env = scene(partial_reset=False)
    there, back = torch.tensor([[1.0, 0.0]] * 3), torch.tensor([[-1.0, 0.0]] * 3)
    steps = [env.step(action) for action in (there, there, back, back)]
    assert [bool(step.terminated.any()) for step in steps] == [False] * 4
    assert steps[3].truncated.all()
    assert [(e.ret, e.success_once, e.success_at_end) for e in steps[3].episodes] == [(4.0, True, False)] * 3


def test_tensors_are_copies_and_stay_tensors():
    env = scene()
    step = env.step(torch.ones(3, 2))
    kept = step.obs.clone(), step.rewards.clone(), step.terminated.clone()
    env.step(torch.ones(3, 2))
    for part, before in zip((step.obs, step.rewards, step.terminated), kept, strict=True):
        assert isinstance(part, torch.Tensor) and torch.equal(part, before)


def test_a_number_that_is_not_finite_is_an_error():
    env = scene()
    with pytest.raises(EnvironmentFault, match="NaN or infinite number in step 1"):
        env.step(torch.full((3, 2), torch.nan))


class Host:
    """The same environments with arrays, for comparison."""

    def __init__(self, inner):
        self.inner, self.n_envs, self.description = inner, inner.n_envs, "the same on the host"
        self.observation_space, self.action_space = inner.observation_space, inner.action_space

    def reset(self, seeds=None):
        return self.inner.reset(seeds).numpy()

    def step(self, actions):
        obs, rewards, terminated, truncated, final, episodes, _ = self.inner.step(actions)
        final = None if final is None else final.numpy()
        return Step(obs.numpy(), rewards.numpy(), terminated.numpy(), truncated.numpy(), final, episodes)

    def get_state(self):
        return None

    def close(self):
        self.inner.close()


@pytest.mark.parametrize("normalized", [False, True])
def test_an_engine_learns_the_same_from_tensors_as_from_arrays(normalized):
    config = check(
        TrainConfig(
            env=World,
            n_envs=3,
            n_steps=16,
            batch_size=16,
            n_epochs=2,
            total_timesteps=96,
            engine="torch",
            normalize_obs=normalized,
            normalize_reward=normalized,
        )
    )
    engines = []
    for wrap in (lambda env: env, Host):
        engine, _ = make_engine(config, spawn_seeds(0, 3), wrap(scene()))
        assert isinstance(engine.normalizer, DeviceNormalizer) is (wrap is not Host)
        for _ in range(2):
            from upswing.engine.contract import Hyper

            rollout = engine.collect()
            engine.update(rollout, Hyper(3e-4, 0.2, None, 0.0, 2, None))
        engines.append((engine, rollout))
    (one, mine), (other, theirs) = engines
    assert len(mine.episodes) > 2
    for name in ("obs", "actions", "rewards", "terminated", "final_values", "values"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name), rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    for name, array in other.normalizer.arrays().items():
        np.testing.assert_allclose(one.normalizer.arrays()[name], array, rtol=1e-5)
    saved = one.snapshot()
    assert any("new episodes" in lost for lost in one.restore(saved))


def test_statistics_travel_between_device_and_host():
    config = TrainConfig(normalize_obs=True, normalize_reward=True)
    env = scene()
    there, here = DeviceNormalizer(config, env, env.device), Normalizer(config, env.observation_space, 3)
    there.observe(torch.randn(3, 2))
    here.load(there.arrays())
    again = DeviceNormalizer(config, env, env.device)
    again.load(here.arrays())
    obs = torch.randn(3, 2)
    np.testing.assert_allclose(again.scale(obs).numpy(), here.scale(obs.numpy()), rtol=1e-5)


def test_a_training_and_an_evaluation_from_beginning_to_end(tmp_path, monkeypatch):
    made = []

    def make(config, n_envs, seeds=None, **options):
        made.append(ParallelScene(World(n_envs), 4, partial_reset=not options.get("evaluation", False)))
        return made[-1]

    for module in ("upswing.engine.make", "upswing.keeping", "upswing.evaluation"):
        monkeypatch.setattr(f"{module}.make_vector_env", make)
    config = TrainConfig(
        env="PushCube-v1",
        n_envs=4,
        n_steps=8,
        total_timesteps=64,
        out_dir=str(tmp_path),
        n_eval_episodes=3,
        eval_freq=0,
    )
    result = train(config)
    from upswing.evaluation import load_agent
    from upswing.run.records import read_metrics

    metrics = read_metrics(result.run_dir)
    assert metrics["eval/episode_len"][-1] == 4.0
    assert all(env.world.closed for env in made)
    agent, _, _ = load_agent(result.run_dir)
    env = scene(partial_reset=False)
    assert isinstance(agent.act(env.reset()), torch.Tensor)
    assert evaluate(agent, env, 3, [0, 1, 2]).lengths == [4, 4, 4]


@pytest.mark.skipif(
    importlib.util.find_spec("mani_skill") is None,
    reason="ManiSkill is not installed: pip install 'upswing[maniskill]'",
)
@pytest.mark.filterwarnings("ignore")
def test_maniskills_own_world_fits():
    """The adapter for the GPU around a world of one environment on the CPU, which gives tensors just so."""
    from upswing.envs.maniskill.making import make_task

    world, limit = make_task(
        "PushCube-v1",
        "mani_skill.envs",
        1,
        {"obs_mode": "state", "sim_backend": "physx_cpu", "render_backend": "none"},
    )
    env = ParallelScene(world, 2, partial_reset=False)
    assert limit == 50 and env.observation_space.shape == (35,)
    first = env.reset([3])
    steps = [env.step(torch.zeros(1, 8)) for _ in range(2)]
    assert steps[1].truncated.tolist() == [True] and steps[1].final_obs.shape == (1, 35)
    assert steps[1].episodes[0].length == 2 and steps[1].episodes[0].success_once is False
    assert not torch.equal(steps[1].obs, steps[1].final_obs)
    assert torch.equal(env.reset([3]), first)
    env.close()


def test_statistics_of_arrays_and_tensors_end_alike():
    rows = np.array([1])
    unknown = np.full(2, UNKNOWN, np.int8)
    assert finished(rows, np.zeros(2), np.ones(2, int), unknown, unknown)[0].success_once is None
