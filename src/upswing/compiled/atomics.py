"""Numbers that several threads read and write, for compiled code: int64 arrays, one entry at a time.

    load(a, i)        a[i]
    store(a, i, v)    a[i] = v
    add(a, i, v)      a[i] += v; the value before
    relax(turns)      a short wait; every so many turns the processor is offered to others

All are sequentially consistent: what a thread wrote before a `store` or `add`, others see after the `load` or `add`
that met it.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from upswing.compiled.compiler import inline

SYMBOL = "upswing_sched_yield"
NUMBERS = types.Array(types.int64, 1, "C")
ORDER, BYTES = "seq_cst", 8
TURNS = 1024  # of waiting before others get the processor: they may be what is waited for
IS_X86 = platform.machine() in ("x86_64", "AMD64")


def _register() -> Any:
    """Make the C library's sched_yield known by name; where it has none, a function that does nothing."""
    try:
        offer: Any = ctypes.CDLL(None).sched_yield
        binding.add_symbol(SYMBOL, ctypes.cast(offer, ctypes.c_void_p).value)
    except (AttributeError, OSError, TypeError):
        offer = numba.cfunc("i4()")(lambda: 0)
        binding.add_symbol(SYMBOL, offer.address)
    return offer


_KEPT = _register()


def _place(context: Any, builder: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(NUMBERS)(context, builder, array).data, [at])


def _lower_load(typingctx, array, at):
    def codegen(context, builder, signature, args):
        return builder.load_atomic(_place(context, builder, *args), ORDER, BYTES)

    return types.int64(NUMBERS, types.intp), codegen


def _lower_store(typingctx, array, at, value):
    def codegen(context, builder, signature, args):
        builder.store_atomic(args[2], _place(context, builder, *args[:2]), ORDER, BYTES)
        return context.get_dummy_value()

    return types.void(NUMBERS, types.intp, types.int64), codegen


def _lower_add(typingctx, array, at, value):
    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", _place(context, builder, *args[:2]), args[2], ORDER)

    return types.int64(NUMBERS, types.intp, types.int64), codegen


def _lower_pause(typingctx):
    def codegen(context, builder, signature, args):
        if IS_X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), codegen


def _lower_offer(typingctx):
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, SYMBOL), [])
        return context.get_dummy_value()

    return types.void(), codegen


load: Any = intrinsic(_lower_load)
store: Any = intrinsic(_lower_store)
add: Any = intrinsic(_lower_add)
_pause: Any = intrinsic(_lower_pause)
_offer: Any = intrinsic(_lower_offer)


@inline
def relax(turns):
    """Wait a moment, for the `turns`-th time in a row."""
    if turns % TURNS == TURNS - 1:
        _offer()
    else:
        _pause()
