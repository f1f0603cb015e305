"""The probe environments do what their answers say."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from upswing.envs.probes import PROBES, Probe
from upswing.envs.serial import SerialVectorEnv

GAMMA = 0.9


def best_returns(probe: type[Probe]) -> dict[float, set[float]]:
    """Discounted returns that the answers' own actions earn from each observation."""
    action_at = {answer.obs: answer.action or 0 for answer in probe.answers(GAMMA)}
    env, found = probe(), {}
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        seen, rewards, over = [], [], False
        while not over:
            seen.append(float(obs[0]))
            obs, reward, over, truncated, _ = env.step(action_at[seen[-1]])
            assert env.observation_space.contains(obs) and not truncated
            rewards.append(reward)
        for t, shown in enumerate(seen):
            found.setdefault(shown, set()).add(sum(GAMMA**k * reward for k, reward in enumerate(rewards[t:])))
    return found


@pytest.mark.parametrize("probe", PROBES)
def test_the_answers_are_what_the_best_actions_earn(probe):
    found = best_returns(probe)
    assert found == {answer.obs: {answer.value} for answer in probe.answers(GAMMA)}
    assert probe.isolates


@pytest.mark.parametrize("probe", [probe for probe in PROBES if probe.action_space.n == 2])
def test_the_other_action_earns_less(probe):
    for answer in probe.answers(GAMMA):
        env = probe()
        env.reset(seed=0)
        env.set_state(answer.obs)
        assert env.step(1 - answer.action)[1] == -1.0


@pytest.mark.parametrize("probe", PROBES)
def test_probes_are_proper_environments_that_can_be_saved(probe):
    check_env(probe(), skip_render_check=True)
    env = SerialVectorEnv([probe] * 3)
    env.reset([1, 2, 3])
    state = env.get_state()
    first = [env.step(np.zeros(3, int)).obs.tolist() for _ in range(9)]
    env.set_state(state)
    assert [env.step(np.zeros(3, int)).obs.tolist() for _ in range(9)] == first
