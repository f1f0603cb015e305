"""A MuJoCo model with the memory that one thread simulates it in, as compiled code is told of them."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from llvmlite import binding

from upswing.errors import ConfigError

# what compiled code finds at the end of an environment's parameters
MODEL, DATA, SPEC, NQ, NV, TIMESTEP, QPOS0, XPOS, CFRC_EXT = range(-9, 0)

REMEMBERED = (
    mujoco.mjtState.mjSTATE_TIME,
    mujoco.mjtState.mjSTATE_QPOS,
    mujoco.mjtState.mjSTATE_QVEL,
    mujoco.mjtState.mjSTATE_WARMSTART,
    mujoco.mjtState.mjSTATE_CTRL,
)
"""What is carried from step to step, in the order in which MuJoCo puts it into a vector. With it a step is exact."""

NAMES = ("mj_step", "mj_forward", "mj_setState", "mj_getState", "mj_rnePostConstraint")


def _register() -> None:
    """Make MuJoCo's functions known to compiled code by name: addresses would not hold for code kept on disk."""
    library = ctypes.CDLL(str(_library()))
    for name in NAMES:
        binding.add_symbol(f"upswing_{name}", ctypes.cast(getattr(library, name), ctypes.c_void_p).value)


def _library() -> Path:
    """The file of MuJoCo's C library, which lies beside its Python module."""
    folder = Path(mujoco.__file__).parent
    for pattern in ("libmujoco.so.*", "libmujoco*.dylib", "mujoco.dll"):
        for file in folder.glob(pattern):
            return file
    raise ConfigError(f"MuJoCo's library is not in {folder}: reinstall the package mujoco.")


_register()


@cache
def load(xml: str) -> mujoco.MjModel:
    """The model in the file `xml`; it is not changed by simulating, so that everyone may share it."""
    try:
        model = mujoco.MjModel.from_xml_path(xml)
    except ValueError as error:
        raise ConfigError(f"MuJoCo cannot read {xml}: {str(error).splitlines()[0]}") from error
    physical = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    if physical != 1 + model.nq + model.nv:
        raise ConfigError(
            f"{xml} has actuators or plugins with a state of their own, which compiled environments do not remember: "
            f"make a Gymnasium MujocoEnv of it."
        )
    if model.opt.enableflags & int(getattr(mujoco.mjtEnableBit, "mjENBL_SLEEP", 0)):
        raise ConfigError(
            f"{xml} lets bodies sleep, which MuJoCo remembers outside its state: leave the flag sleep out, or make a "
            f"Gymnasium MujocoEnv of it."
        )
    return model


def remembered(model: mujoco.MjModel) -> int:
    """How many numbers of an environment's state are MuJoCo's."""
    return mujoco.mj_stateSize(model, sum(REMEMBERED))


class Physics:
    """A model and one thread's working memory. `numbers` is valid while this lives."""

    def __init__(self, xml: str):
        self.model = load(xml)
        self.data = mujoco.MjData(self.model)
        model, data = self.model, self.data
        at = (model.qpos0, data.xpos, data.cfrc_ext)
        sizes = (sum(REMEMBERED), model.nq, model.nv, model.opt.timestep)
        # float64 is exact for every address in use: they have at most 48 bits
        addresses = (each.ctypes.data for each in at)
        self.numbers = np.array([model._address, data._address, *sizes, *addresses], np.float64)

    def __reduce__(self) -> Any:
        raise TypeError("A simulator's memory cannot be copied: make another environment, and set its state.")
