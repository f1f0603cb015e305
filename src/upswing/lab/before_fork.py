"""Imported once by the process that the runs of a study are forked from: torch, the doctor, the compiled engine.

Importing torch takes seconds, and loading the engine's machine code half a second, that no run shall pay for. What is
not on disk yet is compiled here, and not by several runs at the same time.
"""

import contextlib

import upswing.doctor.hook
import upswing.lab.worker  # noqa: F401
from upswing.compiled.compiler import prepare
from upswing.engine.native_engine import COLLECTING, UPDATING
from upswing.envs.native.vector import reset_all, step_all

with contextlib.suppress(Exception):  # a run that needs the engine says what is wrong with it
    prepare([*UPDATING, *COLLECTING, reset_all, step_all])
