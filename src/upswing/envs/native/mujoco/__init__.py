"""Environments on MuJoCo in compiled code: its C library is called without Python between.

`mujoco_env` makes one from a model, a step and a reset function; the others are what those are written with. An example
is in docs/own-environment.md.
"""

from upswing.envs.native.mujoco.making import mujoco_env
from upswing.envs.native.mujoco.simulation import observe, qpos, qvel, scatter, settle, simulate

__all__ = ["mujoco_env", "observe", "qpos", "qvel", "scatter", "settle", "simulate"]
