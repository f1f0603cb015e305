"""Environments on MuJoCo in compiled code: its C library is called without Python between.

from upswing.envs.native.mujoco import mujoco_env, qpos, qvel, scatter, simulate

def reset(state, obs, parameters, rng):
    scatter(state, parameters, rng, 0.01, 0.01)
    obs[:2] = qpos(state, parameters)

def step(state, action, obs, parameters, rng):
    simulate(state, action, parameters, 2)
    obs[:2] = qpos(state, parameters)
    return -abs(obs[1]), False

Mine = mujoco_env("Mine-v0", step, reset, xml="mine.xml", n_obs=2, max_episode_steps=500)
"""

from upswing.envs.native.mujoco.making import mujoco_env
from upswing.envs.native.mujoco.simulation import observe, qpos, qvel, scatter, settle, simulate

__all__ = ["mujoco_env", "observe", "qpos", "qvel", "scatter", "settle", "simulate"]
