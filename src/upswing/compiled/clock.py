"""The time of day inside compiled code, to tell how long an environment takes within a rollout of one call."""

from __future__ import annotations

import ctypes
import time
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SYMBOL = "upswing_clock_gettime"
CLOCK = getattr(time, "CLOCK_MONOTONIC", 0)


def _register() -> Any:
    """Make the C library's clock known by name; where it has none, one that stands still."""
    try:
        clock: Any = ctypes.CDLL(None).clock_gettime
        binding.add_symbol(SYMBOL, ctypes.cast(clock, ctypes.c_void_p).value)
    except (AttributeError, OSError, TypeError):
        clock = numba.cfunc("i4(i4, voidptr)")(lambda which, out: 0)
        binding.add_symbol(SYMBOL, clock.address)
    return clock


_KEPT = _register()


def _lower_nanoseconds(typingctx):
    """Nanoseconds, int64, since some moment; 0 where there is no clock."""

    def codegen(context, builder, signature, args):
        int64, int32, pointer = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
        pair = ir.ArrayType(int64, 2)  # struct timespec: seconds, nanoseconds
        out = cgutils.alloca_once_value(builder, ir.Constant(pair, [0, 0]))
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(int32, [int32, pointer]), SYMBOL)
        builder.call(function, [ir.Constant(int32, CLOCK), builder.bitcast(out, pointer)])
        read = builder.load(out)
        seconds, rest = builder.extract_value(read, 0), builder.extract_value(read, 1)
        return builder.add(builder.mul(seconds, ir.Constant(int64, 1_000_000_000)), rest)

    return types.int64(), codegen


nanoseconds: Any = intrinsic(_lower_nanoseconds)
