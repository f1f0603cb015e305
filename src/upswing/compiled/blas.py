"""SciPy's OpenBLAS for compiled code: sgemm without Python, and its threads while training.

The symbol is registered by name before any kernel is loaded, since machine code that refers to it is stored on disk:
an address would be another one in the next process, and a name that is not known crashes it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import threadpoolctl
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from upswing.compiled.compiler import inline

SYMBOL = "upswing_sgemm"
PLAIN, TRANSPOSED = ord("N"), ord("T")
ONE = np.float32(1.0)
FLOATS = types.Array(types.float32, 1, "C")

binding.add_symbol(SYMBOL, get_cython_function_address("scipy.linalg.cython_blas", "sgemm"))


def _lower_sgemm(typingctx, transa, transb, m, n, k, alpha, a, a_at, lda, b, b_at, ldb, beta, c, c_at, ldc):
    """Fortran's sgemm on float32 [n] buffers, each from an offset."""
    signature = types.void(
        *(types.intp,) * 5,
        types.float32,
        *(FLOATS, types.intp, types.intp) * 2,
        types.float32,
        FLOATS,
        *(types.intp,) * 2,
    )

    def codegen(context, builder, signature, args):
        byte, int32, pointer = ir.IntType(8), ir.IntType(32), ir.IntType(8).as_pointer()

        def by_reference(value, narrow=None):
            return cgutils.alloca_once_value(builder, builder.trunc(value, narrow) if narrow else value)

        def element(array, offset):
            return builder.gep(context.make_array(FLOATS)(context, builder, array).data, [offset])

        transa, transb, m, n, k, alpha, a, a_at, lda, b, b_at, ldb, beta, c, c_at, ldc = args
        fortran = (
            *(by_reference(flag, byte) for flag in (transa, transb)),
            *(by_reference(size, int32) for size in (m, n, k)),
            by_reference(alpha),
            element(a, a_at),
            by_reference(lda, int32),
            element(b, b_at),
            by_reference(ldb, int32),
            by_reference(beta),
            element(c, c_at),
            by_reference(ldc, int32),
        )
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer] * len(fortran)), SYMBOL
        )
        builder.call(function, [builder.bitcast(each, pointer) for each in fortran])
        return context.get_dummy_value()

    return signature, codegen


_sgemm: Any = intrinsic(_lower_sgemm)


@inline
def multiply(rows, inner, columns, a, a_at, b, b_at, beta, c, c_at):
    """C = A B + beta C for row-major A [rows, inner], B [inner, columns], C [rows, columns] inside flat buffers."""
    # Fortran reads row-major memory as the transpose, and Cᵀ = Bᵀ Aᵀ
    _sgemm(PLAIN, PLAIN, columns, rows, inner, ONE, b, b_at, columns, a, a_at, inner, beta, c, c_at, columns)


@inline
def multiply_transposed(rows, inner, columns, a, a_at, b, b_at, beta, c, c_at):
    """C = Aᵀ B + beta C for row-major A [inner, rows], B [inner, columns], C [rows, columns] inside flat buffers."""
    _sgemm(PLAIN, TRANSPOSED, columns, rows, inner, ONE, b, b_at, columns, a, a_at, rows, beta, c, c_at, columns)


class _Threads:
    """BLAS on one thread while anyone is inside; several trainings in one process count as one."""

    def __init__(self) -> None:
        self.lock, self.users = threading.Lock(), 0
        self.controller: threadpoolctl.ThreadpoolController | None = None
        self.limits: threadpoolctl.threadpool_limits | None = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """One thread inside; on leaving, what it was before."""
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.controller = self.controller or threadpoolctl.ThreadpoolController().select(user_api="blas")
                self.limits = self.controller.limit(limits=1)
        try:
            yield
        finally:
            with self.lock:
                self.users -= 1
                if self.users == 0 and self.limits is not None:
                    self.limits.restore_original_limits()


one_blas_thread = _Threads().one
